"""Counts over the row indexes of all splits: repeated rows, images with two labels, and test images seen in training.

An index is sorted by row digest, so equal rows are neighbours and are counted block by block. Equal images have equal
pixels digests, by which nothing is sorted: they are looked at in ranges of these, as many as keep the rows of one in
memory, and each range takes one pass over the indexes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import EnvironmentProblem
from components.features import TEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Index = NDArray[np.void]
    """Structured array with `row` and `pixels` (32-byte digests) and `label`, in memory or mapped."""

BLOCK: Final = 1 << 16
"""Rows that are looked at at a time: 5 MB."""

HELD: Final = 1 << 21
"""Rows of a range of images, about: 100 bytes each while they are sorted."""

_ENTRY: Final = np.dtype([("pixels", "S32"), ("label", "<i8"), ("split", "u1"), ("times", "<i8"), ("place", "<i8")])
"""Equal rows of a split: what they are, how many, and the first one's number in the index."""


@dataclass(kw_only=True)
class RowCounts:
    """What was counted.

    Attributes:
      duplicates: {split: rows that repeat another of the same split}.
      conflicts: images that have more than one label, in whatever splits.
      conflict: pixels digest and labels of the first of them; None without any.
      leaks: {split other than test: rows of test whose image is in it too}.
      leaked: {split: pixels digest of the first such row of test}.
    """

    duplicates: dict[str, int]
    conflicts: int = 0
    conflict: tuple[bytes, list[int]] | None = None
    leaks: dict[str, int] = field(default_factory=dict)
    leaked: dict[str, bytes] = field(default_factory=dict)


def count_rows(indexes: Mapping[str, Index]) -> RowCounts:
    """Count over the indexes of all splits; memory does not grow with the number of rows.

    Raises:
      EnvironmentProblem: if one is not sorted by row digest.
    """
    counts = RowCounts(duplicates={split: _duplicates(split, index) for split, index in indexes.items()})
    splits, first = list(indexes), dict[str, int]()
    if TEST in indexes:
        counts.leaks = {split: 0 for split in splits if split != TEST}
    ranges = max(1, -(-sum(map(len, indexes.values())) // HELD))
    for number in range(ranges):
        images = _Images(_entries(indexes, number, ranges))
        if len(images.starts):
            images.count_conflicts(counts)
            for split in counts.leaks:
                images.count_leaks(counts, split, splits, first)
    return counts


def _duplicates(split: str, index: Index) -> int:
    count, last = 0, np.empty(0, "S32")
    for rows in _blocks(index):
        digests = np.concatenate([last, _texts(rows["row"])])
        if (digests[1:] < digests[:-1]).any():
            raise EnvironmentProblem("a row index is not sorted", where=split, hint="run again with --no-cache")
        count += int(np.count_nonzero(digests[1:] == digests[:-1]))
        last = digests[-1:]
    return count


def _blocks(index: Index) -> Iterator[Index]:
    for start in range(0, len(index), BLOCK):
        yield index[start : start + BLOCK]


def _texts(digests: NDArray[Any]) -> NDArray[np.bytes_]:
    # numpy has no order for raw bytes ("V"); at a fixed width its byte strings ("S") compare as memcmp does.
    return np.ascontiguousarray(digests).view("S32")


def _entries(indexes: Mapping[str, Index], number: int, ranges: int) -> NDArray[np.void]:
    """Return the entries of all splits whose pixels digests are in one of several equal ranges."""
    found = [np.empty(0, _ENTRY)]
    for code, index in enumerate(indexes.values()):
        for at, rows in enumerate(_blocks(index)):
            texts, pixels = _texts(rows["row"]), np.ascontiguousarray(rows["pixels"])
            # Equal rows are one entry, so that an image that comes a million times takes no more room than another.
            starts = np.flatnonzero(np.concatenate([[True], texts[1:] != texts[:-1]]))
            times = np.diff(np.append(starts, len(rows)))
            prefix = pixels.view(">u4").reshape(-1, 8)[starts, 0].astype(np.uint64)
            inside = (prefix * np.uint64(ranges) >> np.uint64(32)) == number
            entries = np.empty(int(np.count_nonzero(inside)), _ENTRY)
            entries["pixels"] = _texts(pixels)[starts[inside]]
            entries["label"] = rows["label"][starts[inside]]
            entries["split"], entries["times"] = code, times[inside]
            entries["place"] = at * BLOCK + starts[inside]
            found.append(entries)
    return np.concatenate(found)


class _Images:
    """Entries in the order of their images."""

    def __init__(self, entries: NDArray[np.void]) -> None:
        self.entries = entries[np.argsort(entries["pixels"], kind="stable")]
        pixels = self.entries["pixels"]
        is_first = np.concatenate([np.ones(min(1, len(pixels)), bool), pixels[1:] != pixels[:-1]])
        self.starts = np.flatnonzero(is_first)

    def count_conflicts(self, counts: RowCounts) -> None:
        """Count images with more than one label; ranges come in the order of images, and so does the first of them."""
        labels = np.ascontiguousarray(self.entries["label"])
        lowest, highest = np.minimum.reduceat(labels, self.starts), np.maximum.reduceat(labels, self.starts)
        torn = np.flatnonzero(lowest != highest)
        counts.conflicts += len(torn)
        if len(torn) and counts.conflict is None:
            ends = np.append(self.starts, len(labels))
            given = labels[ends[torn[0]] : ends[torn[0] + 1]]
            counts.conflict = self._digest(self.starts[torn[0]]), np.unique(given).tolist()

    def count_leaks(self, counts: RowCounts, split: str, splits: list[str], first: dict[str, int]) -> None:
        """Count rows of test whose image a split has; `first` holds the number of the first such row in test's index."""
        is_test = self.entries["split"] == splits.index(TEST)
        seen = np.logical_or.reduceat(self.entries["split"] == splits.index(split), self.starts)
        rows = np.add.reduceat(np.where(is_test, self.entries["times"], 0), self.starts)
        leaked = seen & (rows > 0)
        counts.leaks[split] += int(rows[leaked].sum())
        if leaked.any():
            last = np.iinfo(np.int64).max
            places = np.minimum.reduceat(np.where(is_test, self.entries["place"], last), self.starts)
            places[~leaked] = last
            image = int(places.argmin())
            if places[image] < first.get(split, last):
                first[split] = int(places[image])
                counts.leaked[split] = self._digest(self.starts[image])

    def _digest(self, at: np.intp) -> bytes:
        # numpy drops trailing zero bytes of a fixed-width string.
        return bytes(self.entries["pixels"][at]).ljust(32, b"\0")
