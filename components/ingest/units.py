"""What the tasks of an ingest read: each some rows of some files, cut so that one file is read by many of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components import disk
from components.errors import BadInput
from components.features import SPLITS
from components.files import replacing
from components.ingest.forms import READERS
from components.ingest.partial import PARTIAL
from components.ingest.payload import is_gzip, payload_blocks
from components.ingest.rows import (
    UNIT_PIXELS,
    Assignment,
    Exclusions,
    check_totals,
    chunk_rows,
    row_type,
    shard_count,
    unit_rows,
)
from components.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from components.ingest.chunk import Chunk
    from components.ingest.data_files import Part
    from components.ingest.extents import Extent
    from components.ingest.forms import Plan, Reader

_EXAMPLE_BYTES: Final = 64
"""Bytes of an Example, and of its entries in the row index, beside one for each pixel; a large pixel takes two."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one task reads: all rows of some files, or a run of them.

    Attributes:
      part: "train" or "test".
      files: absolute paths; images and labels, or the one file with both.
      rows: how many rows it has.
      start: how many rows of the same part come before it.
      extent: which rows of the files these are; None for all.
      payloads: where to read them; the files themselves, or decompressed copies of them.
    """

    part: str
    files: tuple[str, ...]
    rows: int
    start: int
    extent: Extent | None = None
    payloads: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every stage of the pipeline knows.

    Attributes:
      units: all input, in order.
      form: of the files, one of `components.ingest.forms`.
      settings: `DataSettings` as JSON.
      plan: what only all files together tell.
      folder: where the artifact is written.
    """

    units: tuple[Unit, ...]
    form: str
    settings: str
    plan: Plan
    folder: str

    @property
    def data(self) -> DataSettings:
        """The settings, parsed."""
        return DataSettings.from_json(self.settings)

    @property
    def exclusions(self) -> Exclusions:
        """The rows to leave out."""
        return Exclusions(self.data.exclude)

    @property
    def assignment(self) -> Assignment:
        """The rule that gives rows their splits."""
        totals: Counter[str] = Counter()
        for unit in self.units:
            totals[unit.part] += unit.rows
        return Assignment(split=self.data.split, totals=dict(totals))

    @property
    def rows(self) -> int:
        """How many rows are read."""
        return sum(unit.rows for unit in self.units)

    def rows_of_files(self) -> dict[str, int]:
        """Return how many rows each file has, in order; of a pair both have as many."""
        rows: Counter[str] = Counter()
        for unit in self.units:
            rows.update(dict.fromkeys(unit.files, unit.rows))
        return dict(rows)

    def shards(self) -> dict[str, int]:
        """Return into how many files each split goes."""
        expected, data = self.assignment.expected(), self.data
        return {split: shard_count(expected.get(split, 0), data) for split in SPLITS}

    def chunks(self, unit: Unit) -> Iterator[Chunk]:
        """Parse one unit.

        Raises:
          BadInput: about the first file that has a fault, with all that is wrong in that file.
        """
        try:
            yield from self._chunks(unit.payloads or unit.files, unit.extent)
        except BadInput:
            # Which task meets a fault first is chance, and it knows of no others in the same file.
            for files in dict.fromkeys(other.files for other in self.units):
                for _ in self._chunks(files, None):
                    pass
                if files == unit.files:
                    break
            raise

    def _chunks(self, files: Sequence[str], extent: Extent | None) -> Iterator[Chunk]:
        paths, data = [Path(file) for file in files], self.data
        return READERS[self.form].chunks(paths, data, rows=chunk_rows(data), plan=self.plan, extent=extent)


def planned(
    parts: Sequence[Part], form: str, settings: str, folder: Path, *, sizes: Mapping[str, int] | None = None
) -> Job:
    """Count rows and find what only all files together tell, so that every unit can be dealt with by itself.

    Args:
      parts: the input.
      form: of the files, one of `components.ingest.forms`.
      settings: `DataSettings` as JSON.
      folder: where the artifact is written; it has a folder `PARTIAL`.
      sizes: {name of a file: bytes of its payload}, of those that are known.

    Raises:
      BadInput: when a file cannot be read, no column can be the label, or the split takes more rows than there are.
      EnvironmentProblem: when there is no room for the artifact.
    """
    data, reader, units, rows_before = DataSettings.from_json(settings), READERS[form], [], Counter[str]()
    plan = reader.checked_plan([part.files for part in parts], data)
    for number, part in enumerate(parts):
        place = folder / PARTIAL / f"payload-{number}"
        payloads = _seekable(part.files, place, sizes or {}) if reader.by_offset else part.files
        extents = _extents(reader, part, payloads, unit_rows(data))
        for extent in extents:
            units.append(
                Unit(
                    part=part.split,
                    files=tuple(map(str, part.files)),
                    rows=extent.rows,
                    start=rows_before[part.split],
                    extent=extent if len(extents) > 1 else None,
                    payloads=tuple(map(str, payloads)),
                )
            )
            rows_before[part.split] += extent.rows
    check_totals(rows_before, data.split)
    job = Job(units=tuple(units), form=form, settings=settings, plan=plan, folder=str(folder))
    # What travels from readers to writers is still there when the Examples are.
    disk.require(folder, job.rows * (row_type(data.pixels).itemsize + data.pixels + _EXAMPLE_BYTES))
    return job


def _extents(reader: Reader, part: Part, payloads: Sequence[Path], rows: int) -> list[Extent]:
    try:
        return reader.extents(payloads, rows=rows)
    except BadInput:
        reader.extents(part.files, rows=rows)  # says it under a name that its owner knows
        raise


def _seekable(files: Sequence[Path], place: Path, sizes: Mapping[str, int]) -> tuple[Path, ...]:
    """Return files that can be read from any byte on: those that are compressed and large are decompressed first.

    A gzip file can only be read from its beginning: by one task, or by each of several up to its own rows. The copies in
    the root stay as they came, a fifth of the size, and these go with `PARTIAL`.
    """
    return tuple(
        # Under its own name, which says to readers of tables what it holds.
        _decompressed(file, place / file.name, sizes[file.name])
        if sizes.get(file.name, 0) > UNIT_PIXELS and is_gzip(file)
        else file
        for file in files
    )


def _decompressed(file: Path, target: Path, size: int) -> Path:
    disk.require(target.parent, size)
    try:
        target.parent.mkdir(exist_ok=True)
        with replacing(target, durable=False) as copy:
            for block in payload_blocks(file):
                copy.write(block)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=target, need=size) from err
    return target
