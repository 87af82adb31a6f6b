"""Rows with their digests, the split each belongs to, and the shard of that split.

Everything here depends on what a row holds, and by choice of the recipe on its number in the file; never on the file's
name, form or container. So the same data gives the same splits, shards and row index, however it was delivered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from components.digest import pixels_digest, row_digest, row_prefix
from components.errors import BadInput
from components.features import SPLITS, TEST, TRAIN, VALIDATION
from components.settings import DataSettings, HashSplit, Split, parse_split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from components.ingest.chunk import Chunk

Rows = NDArray[np.void]
"""Structured array [n] of `row_type`: rows with digests, as they travel through the Beam pipeline."""

INDEX: Final = np.dtype([("row", "V32"), ("pixels", "V32"), ("label", "<i8")])
"""One row of the row index: `row_digest`, `pixels_digest` (32 raw bytes each) and the label."""

SHARD_PIXELS: Final = 1 << 23
"""Pixels in one output shard, about, up to `FEW_SHARDS` of them: 10,699 rows of MNIST."""

FEW_SHARDS: Final = 16
"""As many tasks read a split at once as it has shards; from so many on, shards grow before they become more."""

LARGEST_SHARD_PIXELS: Final = 1 << 27
"""Pixels in the largest shard, about: 171,000 rows of MNIST.

A worker holds one shard in memory, 150 MB with digests, so twice as much would be 300 MB in each of many workers; and of
2.7 million rows of MNIST on, shards of this size are more than `FEW_SHARDS`."""

CHUNK_PIXELS: Final = 1 << 22
"""Pixels in one chunk of input, about."""

UNIT_PIXELS: Final = 1 << 25
"""Pixels that one task reads, about: 42,799 rows of MNIST. They are held in memory, twice while they are sorted."""


def row_type(pixels: int) -> np.dtype[Any]:
    """Return the type of a row with its digests: an `INDEX` entry and `pixels` bytes."""
    return np.dtype([*INDEX.descr, ("image", "u1", (pixels,))])


def chunk_rows(data: DataSettings) -> int:
    """Return how many rows a parser should hand over at a time."""
    return max(1, CHUNK_PIXELS // data.pixels)


def unit_rows(data: DataSettings) -> int:
    """Return how many rows one task reads, at most."""
    return max(1, UNIT_PIXELS // data.pixels)


def digested(chunk: Chunk, data: DataSettings) -> Rows:
    """Return the rows of a chunk with their digests, in the chunk's order."""
    prefix = row_prefix(*data.shape)
    images = [image.tobytes() for image in chunk.pixels]
    labels = chunk.labels.tolist()
    rows = np.empty(len(chunk), dtype=row_type(data.pixels))
    rows["pixels"] = _raw(pixels_digest(prefix, image) for image in images)
    rows["row"] = _raw(row_digest(prefix, image, label) for image, label in zip(images, labels, strict=True))
    rows["label"], rows["image"] = chunk.labels, chunk.pixels
    return rows


def _raw(digests: Iterable[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(digests), dtype="V32")


def by_digest(rows: Rows) -> Rows:
    """Return the rows sorted by row digest; equal digests are equal rows, so there is but one such order."""
    return rows[digest_order(rows)]


def digest_order(rows: Rows) -> NDArray[np.intp]:
    """Return the places of the rows in the order of their row digests, [n]; fast where rows come in sorted runs."""
    # numpy has no order for raw bytes ("V"); at a fixed width its byte strings ("S") compare as memcmp does.
    return np.argsort(np.ascontiguousarray(rows["row"]).view("S32"), kind="stable")


def check_split(split: Split, parts: Collection[str]) -> None:
    """Refuse a split by row number that does not fit the parts at hand.

    Args:
      split: the recipe's split.
      parts: "train", and "test" where the data has an official test part.

    Raises:
      BadInput: when there is no training part, or a split by row number would leave the test split empty or mix it.
    """
    if TRAIN not in parts:
        raise BadInput("no training part", where="data", wanted="files named *train* (or *.tra)", got=", ".join(parts))
    if isinstance(split, HashSplit):
        return
    kind, _ = parse_split(split)
    if kind == "tail" and TEST not in parts:
        raise BadInput(
            f"split {split} takes validation rows from the training part and needs a test part",
            where="data",
            hint="add the test files, or cut them off with --set 'data.split={validation: 0.1, test: 0.2}'",
        )
    if kind == "rows" and TEST in parts:
        raise BadInput(
            f"split {split} takes its test rows from the training part, but there is a test part as well",
            where="data",
            hint="keep the test part with --set 'data.split={validation: 0.1}', or give the training file alone",
        )


def check_totals(totals: Mapping[str, int], split: Split) -> None:
    """Refuse a split by row number for which the parts have too few rows.

    Args:
      totals: rows by part of the data.
      split: the recipe's split.

    Raises:
      BadInput: with both numbers.
    """
    if isinstance(split, HashSplit):
        return
    kind, sizes = parse_split(split)
    wanted = f"more than {sizes[0]} rows in the training part" if kind == "tail" else f"{sum(sizes)} rows or more"
    if totals[TRAIN] < sum(sizes) + (kind == "tail"):
        raise BadInput(
            f"split {split} takes more rows than there are",
            where="data",
            wanted=wanted,
            got=f"{totals[TRAIN]} rows",
            hint="give more rows, or set data.split",
        )


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which split each row goes to.

    Attributes:
      split: the recipe's split.
      totals: rows by part of the data, "train" and, where there is an official one, "test". Splits by hash look at
        which parts there are, splits by row number at how many rows they have.
    """

    split: Split
    totals: Mapping[str, int]

    def expected(self) -> dict[str, int]:
        """Return how many rows each split has, or has on average: by hash, it is known before the rows are."""
        rows = self.totals[TRAIN]
        if isinstance(self.split, HashSplit):
            share = self.split.validation, 0.0 if TEST in self.totals else self.split.test
            sizes = {TRAIN: rows * (1 - sum(share)), VALIDATION: rows * share[0], TEST: rows * share[1]}
        else:
            kind, counts = parse_split(self.split)
            taken, test = (rows, 0) if kind == "tail" else counts
            validation = counts[0] if kind == "tail" else taken * HashSplit().validation
            sizes = {TRAIN: taken - validation, VALIDATION: validation, TEST: test}
        if TEST in self.totals:
            sizes[TEST] = self.totals[TEST]
        return {split: max(0, round(size)) for split, size in sizes.items()}

    def taken(self) -> int:
        """Return how many rows get a split at all: a recipe that counts rows leaves the rest out."""
        if isinstance(self.split, HashSplit) or parse_split(self.split)[0] == "tail":
            return sum(self.totals.values())
        return min(self.totals[TRAIN], sum(parse_split(self.split)[1]))

    def codes(self, rows: Rows, part: str, start: int) -> NDArray[np.intp]:
        """Return the split of each row, [n], as its number in `SPLITS`; -1 for a row that no split takes.

        Args:
          rows: rows of one part, neighbours in it.
          part: the part that they come from.
          start: number of the first of them within the part.
        """
        if part == TEST:
            return np.full(len(rows), SPLITS.index(TEST))
        if isinstance(self.split, HashSplit):
            test = 0.0 if TEST in self.totals else self.split.test
            return _by_hash(rows, validation=self.split.validation, test=test)
        number = np.arange(start, start + len(rows))
        kind, sizes = parse_split(self.split)
        if kind == "tail":
            is_tail = number >= self.totals[part] - sizes[0]
            return np.where(is_tail, SPLITS.index(VALIDATION), SPLITS.index(TRAIN))
        # The recipe counts train and test rows; validation rows are cut from the train ones, as they are by default.
        train = _by_hash(rows, validation=HashSplit().validation, test=0.0)
        rest = np.where(number < sum(sizes), SPLITS.index(TEST), -1)
        return np.where(number < sizes[0], train, rest)


def _by_hash(rows: Rows, *, validation: float, test: float) -> NDArray[np.intp]:
    position = _first_words(rows["pixels"])
    below_validation = position < _words_below(validation)
    below_test = position < _words_below(validation + test)
    codes = np.where(below_test, SPLITS.index(TEST), SPLITS.index(TRAIN))
    return np.where(below_validation, SPLITS.index(VALIDATION), codes)


def _first_words(digests: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each digest, big-endian: a uniform position in 0 to 2**64 - 1."""
    return np.ascontiguousarray(digests).view(">u8").reshape(-1, 4)[:, 0].astype(np.uint64)


def _words_below(share: float) -> np.uint64:
    return np.uint64(min(int(share * 2.0**64), 2**64 - 1))


def shard_count(rows: int, data: DataSettings) -> int:
    """Return into how many files a split of so many rows goes: known from the number and the geometry alone."""
    pixels = rows * data.pixels
    return max(1, min(FEW_SHARDS, -(-pixels // SHARD_PIXELS)), -(-pixels // LARGEST_SHARD_PIXELS))


def first_prefix(number: int, count: int) -> int:
    """Return the smallest 32-bit prefix of a digest in one of `count` equal ranges of digests, such as a shard."""
    return -(-(number << 32) // count)


def shard_numbers(rows: Rows, shards: int) -> NDArray[np.intp]:
    """Return the shard of each row, [n]: the prefix of its digest, so that shards in order are rows in order."""
    # 32 bits of the digest times the count stay within 64 bits.
    return ((_first_words(rows["row"]) >> np.uint64(32)) * np.uint64(shards) >> np.uint64(32)).astype(np.intp)


@dataclass(frozen=True)
class Exclusions:
    """Rows that are left out, by row digest.

    They are taken away after rows got their splits: the others stay where they would be with them.

    Attributes:
      digests: `DataSettings.exclude`.
    """

    digests: tuple[str, ...]

    def among(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which rows are to be left out, [n]."""
        if not self.digests:
            return np.zeros(len(rows), bool)
        listed = np.frombuffer(bytes.fromhex("".join(self.digests)), "S32")
        return np.isin(np.ascontiguousarray(rows["row"]).view("S32"), listed)

    def unmatched(self, left_out: Rows) -> list[str]:
        """Return the digests that no row had, given the rows that were left out."""
        matched = {digest.tobytes().hex() for digest in left_out["row"]}
        return [digest for digest in self.digests if digest not in matched]


def check_counts(counts: Mapping[str, int], split: Split, left_out: Mapping[str, int] | None = None) -> None:
    """Refuse data of which a split got no rows, or fewer than the recipe says.

    Args:
      counts: rows by split.
      split: the recipe's split.
      left_out: rows that were taken away on purpose, by split.

    Raises:
      BadInput: naming the split, and what to change.
    """
    if not isinstance(split, HashSplit):
        kind, sizes = parse_split(split)
        wanted = {VALIDATION: sizes[0]} if kind == "tail" else {TEST: sizes[1]}
        for name, asked in wanted.items():
            rows = asked - (left_out or {}).get(name, 0)
            if counts.get(name, 0) != rows:
                raise BadInput(
                    f"the {name} split of {split} is short of rows", where="data", wanted=rows, got=counts.get(name, 0)
                )
    for name in SPLITS:
        if not counts.get(name, 0):
            raise BadInput(
                f"the {name} split is empty",
                where="data",
                wanted="at least 1 row in each split",
                got=", ".join(f"{split_name} {counts.get(split_name, 0)}" for split_name in SPLITS),
                hint=f"give more rows, or change data.split, which is {split}",
            )
