"""The Beam pipeline from files of pixels and labels to sharded TFRecords and their row index.

    file -> chunks -> rows with digests -> split -> shard -> sorted, encoded, written

An element is a chunk of rows as the bytes of one structured array (`components.ingest.rows.row_type`), never a single
row. Which rows a shard holds, and in which order, follows from their digests, so equal data gives equal bytes in
whatever order and form it came. Workers get everything through their DoFns' arguments and write below the artifact's
folder, which they share with the process that started the pipeline.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apache_beam as beam
import numpy as np

from components import disk
from components.digest import canonical_json
from components.errors import BadInput, MnistTfxError
from components.features import SPLITS
from components.files import replacing
from components.ingest.encode import encode, tfrecord
from components.ingest.forms import READERS
from components.ingest.rows import (
    INDEX,
    Assignment,
    Exclusions,
    Rows,
    by_digest,
    check_totals,
    chunk_rows,
    digested,
    row_type,
    shard_count,
    shard_numbers,
)
from components.profile import profile
from components.progress import Count
from components.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from components.ingest.chunk import Chunk
    from components.ingest.data_files import Part
    from components.ingest.forms import Plan

PARTIAL: Final = ".partial"
"""Folder in the artifact for what workers hand back: removed before the artifact is published."""

EXCLUDED: Final = "excluded-"
"""Before the name of a split: the rows of it that are left out, of which nothing but digest and label is handed back."""

NO_SPLIT: Final = "none"
"""Stands for the rows that no split takes, which a digest that is left out can match as well."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is parsed in one go: images and their labels, or one file with both.

    Attributes:
      part: "train" or "test".
      files: absolute paths; images and labels, or the one file.
      rows: how many rows it has.
      start: how many rows of the same part come before it.
    """

    part: str
    files: tuple[str, ...]
    rows: int
    start: int


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

    def chunks(self, unit: Unit) -> Iterator[Chunk]:
        """Parse one unit."""
        files, data = [Path(file) for file in unit.files], self.data
        return READERS[self.form].chunks(files, data, rows=chunk_rows(data), plan=self.plan)


def planned(parts: Sequence[Part], form: str, settings: str, folder: Path) -> Job:
    """Count rows and find what only all files together tell, so that every chunk can be dealt with by itself.

    Args:
      parts: the input, one unit each.
      form: of the files, one of `components.ingest.forms`.
      settings: `DataSettings` as JSON.
      folder: where the artifact is written.

    Raises:
      BadInput: when a file cannot be read, no column can be the label, or the split takes more rows than there are.
    """
    units, rows_before = [], Counter[str]()
    for part in parts:
        rows = READERS[form].rows(part.files)
        files = tuple(str(file) for file in part.files)
        units.append(Unit(part=part.split, files=files, rows=rows, start=rows_before[part.split]))
        rows_before[part.split] += rows
    check_totals(rows_before, DataSettings.from_json(settings).split)
    plan = READERS[form].checked_plan([part.files for part in parts], DataSettings.from_json(settings))
    return Job(units=tuple(units), form=form, settings=settings, plan=plan, folder=str(folder))


def write_examples(pipeline: beam.Pipeline, job: Job) -> None:
    """Add all stages to `pipeline`; `WriteShard` says what they write."""
    _ = (
        pipeline
        | "Units" >> beam.Create(job.units)
        | "Read" >> beam.ParDo(Read(job))
        | "Shard" >> beam.ParDo(Shard(job))
        | "Group" >> beam.GroupByKey()
        | "Write" >> beam.ParDo(WriteShard(job))
    )


class Read(beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """Unit -> (part, number of the first row in the part, rows with their digests)."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, unit: Unit) -> Iterator[tuple[str, int, Rows]]:
        """Parse and digests one unit."""
        data, count = self.job.data, 0
        before = sum(other.rows for other in self.job.units[: self.job.units.index(unit)])
        progress = Count("rows read", sum(other.rows for other in self.job.units), done=before)
        with carrying(self.job):
            for chunk in self.job.chunks(unit):
                count += len(chunk)
                progress.add(len(chunk))
                yield unit.part, unit.start + chunk.start, digested(chunk, data)
            if count != unit.rows:
                raise BadInput("changed while it was being read", where=unit.files[0], wanted=unit.rows, got=count)


class Shard(beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """What `Read` gives -> ((split, shard, number of shards), rows as bytes).

    Shards without rows come as well, so that the files of a split are as many as their names say.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[str, int, Rows]) -> Iterator[tuple[tuple[str, int, int], bytes]]:
        """Deal out one chunk."""
        part, start, rows = element
        assignment, data = self.job.assignment, self.job.data
        codes, expected = assignment.codes(rows, part, start), assignment.expected()
        excluded = self.job.exclusions.among(rows)
        if excluded.any():
            for code, split in ((-1, NO_SPLIT), *enumerate(SPLITS)):
                if len(own := rows[excluded & (codes == code)]):
                    yield (f"{EXCLUDED}{split}", 0, 1), own.tobytes()
            rows, codes = rows[~excluded], codes[~excluded]
        for code, split in enumerate(SPLITS):
            own = rows[codes == code]
            shards = shard_count(expected.get(split, 0), data)
            numbers = shard_numbers(own, shards)
            for shard in range(shards if len(own) else 0):
                yield (split, shard, shards), own[numbers == shard].tobytes()


class WriteShard(beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """((split, shard, number of shards), chunks) -> the shard's TFRecord, and its row index and profile in `PARTIAL`."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[tuple[str, int, int], Iterable[bytes]]) -> None:
        """Write one shard."""
        (split, shard, shards), blocks = element
        data = self.job.data
        rows: Rows = by_digest(np.frombuffer(b"".join(blocks), dtype=row_type(data.pixels)))
        if split.startswith(EXCLUDED):
            with carrying(self.job):
                self._write(f"{PARTIAL}/{split}-{shard:05d}.index", index_of(rows).tobytes())
            return
        pixels, labels = np.ascontiguousarray(rows["image"]), np.ascontiguousarray(rows["label"])
        name = f"data_tfrecord-{shard:05d}-of-{shards:05d}"
        with carrying(self.job):
            self._write(f"Split-{split}/{name}", tfrecord(encode(pixels, labels)))
            self._write(f"{PARTIAL}/{split}-{shard:05d}.index", index_of(rows).tobytes())
            self._write(f"{PARTIAL}/{split}-{shard:05d}.profile", canonical_json(profile(pixels, labels, data)))

    def _write(self, name: str, content: bytes) -> None:
        keep(Path(self.job.folder), name, content)


def index_of(rows: Rows) -> Rows:
    """Return the rows without their pixels, as they stand in the row index."""
    index = np.empty(len(rows), dtype=INDEX)
    for field in INDEX.fields or ():
        index[field] = rows[field]
    return index


def keep(folder: Path, name: str, content: bytes) -> None:
    """Write a file of the artifact in one step: a bundle that is tried again finds a whole file or none.

    Raises:
      EnvironmentProblem: when there is no room for it, naming file and size.
    """
    part = folder / PARTIAL / f"{uuid.uuid4().hex}.part"
    try:
        # Not durable: the artifact counts once its record does, and an execution that was cut short starts over.
        with replacing(folder / name, part=part, durable=False) as file:
            file.write(content)
    except OSError as err:
        err.filename = str(folder / name)  # the part's own name says nothing to anybody
        raise disk.problem(err, "cannot be written", where=folder / name, need=len(content)) from err


REFUSAL: Final = ".refusal"

_CARRIED: Final = re.compile(r"<mnist-tfx:([A-Za-z0-9+/=]+)>")


@contextlib.contextmanager
def carrying(job: Job) -> Iterator[None]:
    """Turn a known failure into one whose text carries it: Beam's runners pass on a worker's text, not its exception.

    Some pass on nothing at all, as Spark does with a submitted jar: a file beside the artifact's parts says it as well.
    """
    try:
        yield
    except MnistTfxError as err:
        said = json.dumps(err.to_dict())
        with contextlib.suppress(MnistTfxError, OSError):  # of a disk that is full, or a folder that is gone
            keep(Path(job.folder), f"{PARTIAL}/{uuid.uuid4().hex}{REFUSAL}", said.encode())
        raise RuntimeError(f"{err} <mnist-tfx:{base64.b64encode(said.encode()).decode()}>") from err


def carried(err: BaseException, folder: Path | None = None) -> MnistTfxError | None:
    """Return the known failure that came over with `err`, or that a worker left in a folder; None if there is none."""
    found = _CARRIED.search(str(err))
    if found is not None:
        return MnistTfxError.from_dict(json.loads(base64.b64decode(found[1])))
    left = () if folder is None else sorted((folder / PARTIAL).glob(f"*{REFUSAL}"))
    return next((MnistTfxError.from_dict(json.loads(file.read_text())) for file in left), None)
