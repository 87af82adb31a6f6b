"""The row index that an execution of ExampleGen left: which rows its splits hold, by digest.

An index is compared with the digest on record before anything is read from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from components.digest import sha256_bytes
from components.errors import EnvironmentProblem
from components.features import SPLITS
from components.untrusted import LARGEST_ARRAYS, read_bytes
from pipeline.lineage.index import ExecutionSummary
from pipeline.lineage.rows.merkle import Tree
from pipeline.provenance import record_store
from pipeline.provenance.records import ExecutionRecord
from pipeline.root.paths import RunPaths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.ingest.rows import Rows

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
      splits: {split: rows sorted by row digest}.
    """

    step: ExecutionSummary
    splits: Mapping[str, Rows]
    _trees: dict[str, Tree] = dataclasses.field(default_factory=dict, repr=False)

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

        shared = {split: _shared(digests, _texts(rows[field])) for split, rows in self.splits.items()}
        everything = np.concatenate([_texts(rows[field]) for rows in self.splits.values()])
        return Overlap(total=_shared(digests, everything), splits=shared)

    def known(self, pixels: Iterable[bytes]) -> list[bytes]:
        """Return those of many pixels digests that are there, in their order."""
        import numpy as np

        given = list(pixels)
        texts = np.array(given, "S32")
        held = np.concatenate([_texts(rows["pixels"]) for rows in self.splits.values()])
        return [digest for digest, here in zip(given, np.isin(texts, held).tolist(), strict=True) if here]

    def occurrences(self, digest: bytes, field: Field = "pixels") -> list[Occurrence]:
        """Return where the image with this digest is: under whatever label if it is that of its pixels."""
        result = []
        for split, rows in self.splits.items():
            for index in (_texts(rows[field]) == digest.rstrip(b"\0")).nonzero()[0].tolist():
                row = rows[index]
                label, row_digest = int(row["label"]), row["row"].tobytes()
                result.append(Occurrence(split=split, label=label, row_digest=row_digest, index=index))
        return result

    def tree(self, split: str) -> Tree:
        """Return the tree over a split's row digests, or over `ALL`.

        Raises:
          EnvironmentProblem: if its root is not the one on record.
        """
        if split not in self._trees:
            self._trees[split] = self._tree(split)
        return self._trees[split]

    def _tree(self, split: str) -> Tree:
        chosen = self.splits.values() if split == ALL else [self.splits[split]]
        tree = Tree(sorted(digest.tobytes() for rows in chosen for digest in rows["row"]))
        if (got := tree.root.hex()) != (wanted := root_of(self.step, split)):
            where = f"{self.step.node} {self.step.record[:12]}, rows of {split}"
            raise EnvironmentProblem("its row index is not what was recorded", where=where, wanted=wanted, got=got)
        return tree


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
    return RowIndex(step=step, splits=splits)


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


def _read(path: Path, recorded: Mapping[str, Any]) -> Rows:
    from components.arrays import parse_npy
    from components.ingest.rows import INDEX

    data = read_bytes(path, limit=LARGEST_ARRAYS, error=EnvironmentProblem)
    if (got := sha256_bytes(data)) != recorded.get("sha256"):
        raise EnvironmentProblem("row index was changed", where=path, wanted=recorded.get("sha256"), got=got)
    rows: Rows = parse_npy(data, where=path, error=EnvironmentProblem)
    if rows.dtype != INDEX or rows.ndim != 1:
        raise EnvironmentProblem("not a row index", where=path, wanted=INDEX, got=f"{rows.dtype} {rows.shape}")
    return rows


def _texts(digests: NDArray[np.void]) -> NDArray[np.bytes_]:
    # numpy has no order for raw bytes ("V"); at a fixed width its byte strings ("S") compare as memcmp does.
    import numpy as np

    return np.ascontiguousarray(digests).view("S32")


def _shared(given: NDArray[np.bytes_], held: NDArray[np.bytes_]) -> int:
    import numpy as np

    some, some_times = np.unique(given, return_counts=True)
    others, other_times = np.unique(held, return_counts=True)
    _, at, there = np.intersect1d(some, others, assume_unique=True, return_indices=True)
    return int(np.minimum(some_times[at], other_times[there]).sum())
