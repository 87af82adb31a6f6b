"""The row index that an execution of ExampleGen left: which rows its splits hold, by digest.

An index is compared with the digest on record before anything is read from it, and never held as a whole: a row is found
by bisection, and what has to look at each row goes through a block at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from components.digest import BLOCK_LEVEL
from components.errors import EnvironmentProblem
from components.features import SPLITS
from pipeline.lineage.rows.leaves import RowTree
from pipeline.lineage.steps import ExecutionSummary
from pipeline.provenance import plain_files, record_store
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.row_file import DIGEST_BYTES, PIXELS, ROW_BYTES, RowFile
from pipeline.root.paths import RunPaths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALL: Final = "all"
"""Stands for the rows of all splits together, where a split is named."""

FOLDER: Final = "row_index"

Field = Literal["row", "pixels"]
"""Which digests of rows are meant: of pixels and label, or of the pixels alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Occurrence:
    """The place of an image: its split, its label there, its row digest, and its number among the split's leaves."""

    split: str
    label: int
    row_digest: bytes
    index: int

    def __str__(self) -> str:
        return f"{self.split} row {self.index}, label {self.label}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "split": self.split,
            "label": self.label,
            "row_digest": self.row_digest.hex(),
            "index": self.index,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many rows of a file are in a data set; duplicates count as often as both have them.

    Attributes:
      total: in all splits together.
      splits: {split: rows}.
    """

    total: int
    splits: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RowIndex:
    """The rows of one data set.

    Attributes:
      step: the execution that ingested it.
      splits: {split: its rows, sorted by row digest}.
      folder: with the `.blocks` that ingest kept of each tree; None where there are none.
    """

    step: ExecutionSummary
    splits: Mapping[str, RowFile]
    folder: Path | None = None
    _trees: dict[str, RowTree] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def rows_digest(self) -> str:
        """The recorded Merkle root over all rows."""
        return root_of(self.step, ALL)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.splits.values())

    def overlap(self, digests: NDArray[np.bytes_], field: Field) -> Overlap:
        """Return how many of the given rows are in each split, and in all.

        Args:
          digests: `S32` [n].
          field: which digests they are.
        """
        import numpy as np

        given, times = np.unique(digests, return_counts=True)
        held = {split: _counts(rows, given, field) for split, rows in self.splits.items()}
        shared = {split: int(np.minimum(times, counts).sum()) for split, counts in held.items()}
        return Overlap(total=int(np.minimum(times, sum(held.values())).sum()), splits=shared)

    def known(self, pixels: Iterable[bytes]) -> list[bytes]:
        """Return those of many pixels digests that are there, in their order."""
        import numpy as np

        given = list(pixels)
        some, places = np.unique(np.array(given, "S32"), return_inverse=True)
        held = np.sum([_counts(rows, some, "pixels") for rows in self.splits.values()], axis=0)
        return [digest for digest, count in zip(given, held[places].tolist(), strict=True) if count]

    def occurrences(self, digest: bytes, field: Field = "pixels") -> list[Occurrence]:
        """Return where the image with this digest is: under whatever label if it is that of its pixels."""
        result = []
        for split, rows in self.splits.items():
            for index in rows.with_row(digest) if field == "row" else rows.with_pixels(digest):
                label, row_digest = rows.label(index), rows.row_digest(index)
                result.append(Occurrence(split=split, label=label, row_digest=row_digest, index=index))
        return result

    def with_pixels(self, pixels: NDArray[np.bytes_]) -> Iterator[tuple[str, bytes, int]]:
        """Yield split, row digest and label of every row that has one of many pixels digests, `S32` [n]."""
        import numpy as np

        given = np.unique(pixels)
        for split, rows in self.splits.items():
            for found, _ in _matches(rows, given, "pixels"):
                for row in found:
                    yield split, row[:DIGEST_BYTES].tobytes(), int(row[PIXELS.stop :].view("<i8")[0])

    def tree(self, split: str) -> RowTree:
        """Return the tree over a split's row digests, or over `ALL`.

        Raises:
          EnvironmentProblem: if its root is not the one on record.
        """
        if split not in self._trees:
            self._trees[split] = self._tree(split)
        return self._trees[split]

    def _tree(self, split: str) -> RowTree:
        files = [*self.splits.values()] if split == ALL else [self.splits[split]]
        wanted, got = root_of(self.step, split), ""
        # Whoever wrote them, blocks that have the recorded root are those of the tree. Without them all rows are hashed.
        for blocks in (*self._kept_blocks(split, sum(map(len, files))), None):
            tree = RowTree(files, blocks)
            if (got := tree.root.hex()) == wanted:
                return tree
        where = f"{self.step.node} {self.step.record[:12]}, rows of {split}"
        raise EnvironmentProblem("its row index is not what was recorded", where=where, wanted=wanted, got=got)

    def _kept_blocks(self, split: str, rows: int) -> Iterator[list[bytes]]:
        """Yield the blocks that ingest kept of the tree over so many rows, if it did."""
        with contextlib.suppress(EnvironmentProblem):
            data = plain_files.read_plain(self.folder / f"{split}.blocks") if self.folder is not None else b""
            blocks = [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]
            if len(blocks) == -(-rows >> BLOCK_LEVEL):
                yield blocks


def _counts(rows: RowFile, digests: NDArray[np.bytes_], field: Field) -> NDArray[np.intp]:
    """Return how often each digest occurs among the rows of a split; `digests` are different ones in ascending order."""
    import numpy as np

    found = [np.bincount(which, minlength=len(digests)) for _, which in _matches(rows, digests, field)]
    counts: NDArray[np.intp] = np.sum([np.zeros(len(digests), np.intp), *found], axis=0)
    return counts


def _matches(
    rows: RowFile, digests: NDArray[np.bytes_], field: Field
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.intp]]]:
    """Yield the rows of a split that have one of some digests, a block at a time.

    Args:
      rows: of the split.
      digests: different ones in ascending order, `S32` [n].
      field: which digests they are.

    Yields:
      the rows' bytes [m, ROW_BYTES], and which of `digests` each of them has [m].
    """
    import numpy as np

    # Few rows share their first eight bytes with any of them, and numbers are compared ten times faster than texts.
    words = _first_words(np.ascontiguousarray(digests).view(np.uint8).reshape(-1, DIGEST_BYTES))
    start = 0 if field == "row" else PIXELS.start
    for block in rows.blocks() if len(digests) else ():
        read = np.frombuffer(block, np.uint8).reshape(-1, ROW_BYTES)
        own = _first_words(read[:, start:])
        near = read[words[np.minimum(np.searchsorted(words, own), len(words) - 1)] == own]
        texts = np.ascontiguousarray(near[:, start : start + DIGEST_BYTES]).view(f"S{DIGEST_BYTES}")[:, 0]
        at = np.minimum(np.searchsorted(digests, texts), len(digests) - 1)
        same = digests[at] == texts
        yield near[same], at[same]


def _first_words(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each digest [n, 32] as a number that sorts as they do."""
    import numpy as np

    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def root_of(step: ExecutionSummary, split: str) -> str:
    """Return the recorded Merkle root over a split's row digests, or over `ALL`; "" if none was recorded."""
    data: Mapping[str, Any] = step.data or {}
    part = data if split == ALL else data.get("splits", {}).get(split, {})
    return str(part.get("rows_digest", ""))


def open_index(root: Path, step: ExecutionSummary) -> RowIndex:
    """Return the row index that an execution of ExampleGen left.

    Raises:
      EnvironmentProblem: if it is gone, or is not what was recorded.
    """
    record = record_store.read(RunPaths(root).records, step.record)
    entries = record.outputs.get("examples", ()) if isinstance(record, ExecutionRecord) else ()
    if not entries:
        raise EnvironmentProblem("made no Examples", where=f"record {step.record}")
    [entry] = entries
    folder = root / entry.path / FOLDER
    splits = {split: _read(folder / f"{split}.npy", entry.files.get(f"{FOLDER}/{split}.npy", {})) for split in SPLITS}
    return RowIndex(step=step, splits=splits, folder=folder)


def open_any(root: Path, steps: Sequence[ExecutionSummary]) -> RowIndex:
    """Return the row index of one of several executions that ingested equal rows.

    Raises:
      EnvironmentProblem: if none of them can be read, as `open_index`.
    """
    problem = EnvironmentProblem("nothing was ingested", where=root)
    for step in steps:
        try:
            return open_index(root, step)
        except EnvironmentProblem as err:  # noqa: PERF203  # any one will do
            problem = err
    raise problem


def _read(path: Path, recorded: Mapping[str, Any]) -> RowFile:
    rows = RowFile(path)
    if (got := rows.sha256()) != recorded.get("sha256"):
        raise EnvironmentProblem("row index was changed", where=path, wanted=recorded.get("sha256"), got=got)
    return rows
