"""The difference between the rows of two ingests: added, removed, relabelled and moved, split by split.

A row is known by its digest alone, so that it does not matter in which files, in what form or order rows were given.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from components.digest import sha256_bytes
from components.errors import BadInput, printable
from components.untrusted import LARGEST_ARRAYS, read_bytes
from pipeline.provenance.records import DATA, ExecutionRecord

EXAMPLES_SHOWN: Final = 5
ROW_BYTES: Final = 72
"""One row of the index: row digest and pixels digest (32 bytes each) and the label as int64, little-endian."""

Rows = Counter[bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowChange:
    """One row as it changed.

    Attributes:
      row: row digest; of a relabelled row, the one it had before.
      pixels: digest of its pixels alone.
      label: before, or of an added row, now.
      new_label: of a relabelled row.
      split: where a moved row went.
    """

    row: str
    pixels: str
    label: int
    new_label: int | None = None
    split: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitChange:
    """What became of one split.

    Attributes:
      split: its name; a moved row is counted where it was before.
      before: how many rows it had.
      after: how many it has; moved rows may come from elsewhere.
      counts: rows `added`, `removed`, `relabelled` and `moved`; None if the index of one side cannot be read.
      first: the first few of each, by digest.
    """

    split: str
    before: int
    after: int
    counts: Mapping[str, int] | None
    first: Mapping[str, tuple[RowChange, ...]] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rows changed, or at least did."""
        return abs(self.after - self.before) or 1 if self.counts is None else sum(self.counts.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingest:
    """One side.

    Attributes:
      name: how it is called in messages.
      root: of its pipeline.
      record: of ExampleGen's execution.
    """

    name: str
    root: Path
    record: ExecutionRecord

    def digests(self) -> dict[str, tuple[int, str]]:
        """Return {split: (rows, Merkle root over them)}, as recorded."""
        splits = self.record.extra.get(DATA, {}).get("splits", {})
        return {split: (part["rows"], part["rows_digest"]) for split, part in splits.items()}

    def rows(self, split: str) -> Rows:
        """Return a split's rows.

        Raises:
          LookupError: saying why they cannot be known.
        """
        entry = self.record.outputs["examples"][0]
        path, name = self._index_file(split), _index_name(split)
        try:
            data = read_bytes(path, limit=LARGEST_ARRAYS)
        except BadInput as err:
            raise LookupError(f"{printable(path)} of {self.name} is gone") from err
        if entry.files.get(name, {}).get("sha256") != sha256_bytes(data):
            raise LookupError(f"{printable(path)} of {self.name} is not what was recorded")
        return _count_rows(data)

    def index_files(self) -> list[Path]:
        """Return the files that its rows are read from."""
        return [self._index_file(split) for split in self.digests()]

    def _index_file(self, split: str) -> Path:
        return self.root / self.record.outputs["examples"][0].path / _index_name(split)


def _index_name(split: str) -> str:
    return f"row_index/{split}.npy"


def row_changes(before: Ingest, after: Ingest) -> tuple[tuple[SplitChange, ...], tuple[str, ...]]:
    """Return the splits that differ, and in words what could not be found out about them.

    A split whose recorded digests are equal is not read.
    """
    old, new = before.digests(), after.digests()
    differing = [split for split in {**old, **new} if old.get(split) != new.get(split)]
    sizes = {split: (old.get(split, (0, ""))[0], new.get(split, (0, ""))[0]) for split in differing}
    try:
        gone = {split: before.rows(split) if split in old else Rows() for split in differing}
        come = {split: after.rows(split) if split in new else Rows() for split in differing}
    except LookupError as err:
        unread = tuple(SplitChange(split=s, before=b, after=a, counts=None) for s, (b, a) in sizes.items())
        return unread, (f"which rows changed: {err.args[0]}",)
    return _compare_split(gone, come, sizes), ()


def _compare_split(
    old: Mapping[str, Rows], new: Mapping[str, Rows], sizes: Mapping[str, tuple[int, int]]
) -> tuple[SplitChange, ...]:
    removed = {split: old[split] - new[split] for split in sizes}
    added = {split: new[split] - old[split] for split in sizes}
    moved = {split: _taken_by_others(split, removed[split], added) for split in sizes}
    result = []
    for split, (before, after) in sizes.items():
        kinds = {"relabelled": _relabelled(removed[split], added[split]), "moved": moved[split]}
        kinds |= {"added": _plain(added[split]), "removed": _plain(removed[split])}
        counts = {kind: len(kinds[kind]) for kind in ("added", "removed", "relabelled", "moved")}
        first = {kind: tuple(kinds[kind][:EXAMPLES_SHOWN]) for kind in counts if kinds[kind]}
        result.append(SplitChange(split=split, before=before, after=after, counts=counts, first=first))
    return tuple(result)


def _taken_by_others(split: str, removed: Rows, added: Mapping[str, Rows]) -> list[RowChange]:
    """Take out of `removed` what another split got, and out of that split's `added` too."""
    moved = []
    for other, rows in added.items():
        if other != split:
            common = removed & rows
            removed.subtract(common)
            rows.subtract(common)
            moved += [_change(row, split=other) for row in sorted(common.elements())]
    return moved


def _relabelled(removed: Rows, added: Rows) -> list[RowChange]:
    """Take out of both the rows of which the pixels stayed and the label did not."""
    by_pixels: dict[bytes, list[bytes]] = {}
    for row in sorted(added.elements()):
        by_pixels.setdefault(row[32:64], []).append(row)
    changes = []
    for row in sorted(removed.elements()):
        if others := by_pixels.get(row[32:64]):
            other = others.pop(0)
            changes.append(_change(row, new_label=_label(other)))
            removed[row] -= 1
            added[other] -= 1
    return changes


def _plain(rows: Rows) -> list[RowChange]:
    return [_change(row) for row in sorted(rows.elements())]


def _change(row: bytes, *, new_label: int | None = None, split: str | None = None) -> RowChange:
    return RowChange(row=row[:32].hex(), pixels=row[32:64].hex(), label=_label(row), new_label=new_label, split=split)


def _label(row: bytes) -> int:
    return int.from_bytes(row[64:], "little", signed=True)


def _count_rows(npy: bytes) -> Rows:
    """Return the rows of a `.npy` file; numpy itself would take longer to import than this takes to read 70,000."""
    # The header's length stands at byte 8 (format 1.0, which numpy writes for such a type); rows follow it.
    start = 10 + int.from_bytes(npy[8:10], "little")
    return Rows(npy[place : place + ROW_BYTES] for place in range(start, len(npy), ROW_BYTES))


def total(changes: Iterable[SplitChange]) -> int:
    """Return how many rows changed in all."""
    return sum(change.count for change in changes)
