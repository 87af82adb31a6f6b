"""Requests to delete an image: where a root holds it, what learned from it, what takes it away, and what shows that it is gone.

A row is known by its pixels, whatever label it has. What is asked for is answered from row indexes and records, as
`impact` does; the files are looked for on the disk. Nothing here removes anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput, CannotTell, MnistTfxError
from components.ingest.source import INPUTS, SOURCES, read_sources
from pipeline.lineage.downstream import Match, propagate
from pipeline.lineage.impact import CANNOT_TELL, Impact, Model, impact
from pipeline.lineage.imported_pictures import pictures_behind
from pipeline.lineage.index import IndexedVersion, LineageIndex, left_out
from pipeline.lineage.rows import given_rows
from pipeline.lineage.rows.data_sets import DataSet, data_sets
from pipeline.lineage.rows.index import ALL, Field, RowIndex
from pipeline.lineage.rows.proofs import RowProof, prove
from pipeline.lineage.rows.usage import index_of
from pipeline.lineage.steps import ExecutionSummary
from pipeline.lineage.trace import trace
from pipeline.provenance.records import EXCLUDED
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths
from pipeline.root.user_cache import kept_reports
from pipeline.stages import INGEST

if TYPE_CHECKING:
    from pipeline.lineage.rows.given_rows import Show

COPY, EXAMPLES, REPORT, SOURCE = "copy of the data", "examples", "report", "source"
PICTURE: Final = "picture"
ROWS, PICTURES = "holds the rows", "may show some of them"
AMONG, NOT_HERE = "holds the rows among others", "is what the rows were imported from; not found here"
LEARNED: Final = frozenset({"autoencoder", "classifier", "itself"})
"""Parts in a model that leave something of a row in its weights; to be measured on, or compared with, leaves nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldRow:
    """A row that was asked about, in a data set of the root.

    Attributes:
      row_digest: of its pixels and label.
      split: that holds it.
      label: that it has there.
      data_set: the Merkle root over all rows of the data set.
    """

    row_digest: str
    split: str
    label: int
    data_set: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holder:
    """A file or folder that is there now and holds the rows, or pictures of them.

    Attributes:
      kind: `copy of the data`, `examples`, `report`; or outside of what the root keeps `source`, the file that was given,
        and `picture`, which that was imported from.
      path: relative to the root; absolute for a source, and for chapters of a report in the user's cache; by the record of the import for a picture that was not found.
      what: whether it holds the rows, alone or among others, or may show some of them.
      versions: served versions that were made with it.
    """

    kind: str
    path: str
    what: str
    versions: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Erasure:
    """What a request to delete comes to.

    Attributes:
      found: the question, and the models that the rows went into.
      rows: where they are, by data set.
      holders: what holds them on this disk, as far as the root knows.
      left_out: digests that the newest version was made without already; a new list has to keep them.
    """

    found: Impact
    rows: tuple[HeldRow, ...]
    holders: tuple[Holder, ...]
    left_out: tuple[str, ...]

    @property
    def digests(self) -> tuple[str, ...]:
        """The row digests to leave out, each once."""
        return tuple(sorted({row.row_digest for row in self.rows}))

    @property
    def learned(self) -> tuple[Model, ...]:
        """The models that have something of the rows in their weights."""
        return tuple(model for model in self.found.models if LEARNED & set(model.role))

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that are served now and were made with the rows."""
        return tuple(model.version for model in self.found.models if model.served and model.version is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "answer": self.found.answer,
            "given": self.found.given.name,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "models": [model.to_dict() for model in self.found.models],
            "holders": [{**dataclasses.asdict(one), "versions": list(one.versions)} for one in self.holders],
            "left_out_before": list(self.left_out),
            "unknown": list(self.found.unknown),
            "basis": list(self.found.basis),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbsenceCheck:
    """Whether rows are gone from a version.

    Attributes:
      version: its number.
      digest: of its model.
      present: digests of the rows that are among those of the version all the same.
      rows: how many rows the version was made from.
      roots: Merkle roots over them.
      proofs: of a single picture: that no row of the version has its pixels, with any label.
      learned: whether something of the rows is in the version's weights by way of another model.
      kept: what else holds them on this disk, as far as the root knows.
      unknown: what is kept and could not be compared, in words.
    """

    version: int
    digest: str
    present: tuple[str, ...]
    rows: int
    roots: tuple[str, ...]
    proofs: tuple[RowProof, ...]
    learned: bool
    kept: tuple[Holder, ...]
    unknown: tuple[str, ...] = ()

    @property
    def absent(self) -> bool:
        """Whether the version was made without them."""
        return not self.present and not self.learned

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        lists = {name: list(fields[name]) for name in ("present", "roots", "unknown")}
        kept = [{**dataclasses.asdict(one), "versions": list(one.versions)} for one in self.kept]
        proofs = [proof.to_dict() for proof in self.proofs]
        return {**fields, **lists, "kept": kept, "proofs": proofs, "absent": self.absent}


def erasure(lineage: LineageIndex, given: Sequence[str], show: Show = given_rows.in_silence) -> Erasure:
    """Return where a root holds the rows of pictures or data files, or the row with a digest.

    Raises:
      BadInput: if it is nothing that has rows, or no row digest of this root.
      CannotTell: if its pixels, or a data set that may hold them, cannot be known.
    """
    found = impact(lineage, given, show)
    held = _Held.of(found, data_sets(lineage))
    if found.answer == CANNOT_TELL and (found.rows is None or found.given.doubts):
        raise cannot_tell(found)
    if found.rows is None and not held.rows:
        raise BadInput("no digest of a row", where=found.given.name, wanted="a picture, data files or a row digest")
    return Erasure(
        found=found,
        rows=tuple(dict.fromkeys(held.rows)),
        holders=tuple(_holders(lineage, held, given)),
        left_out=left_out_of_newest(lineage),
    )


def check_absence(
    lineage: LineageIndex, given: Sequence[str], version: int | None, show: Show = given_rows.in_silence
) -> AbsenceCheck:
    """Return whether the rows are gone from a version, by default the newest, and what else holds them.

    Raises:
      BadInput: as `erasure`, or if there is no such version.
      CannotTell: as `erasure`, or if the version's own rows cannot be read.
    """
    found = impact(lineage, given, show)
    ingested = tuple(data_sets(lineage))
    held = _Held.of(found, ingested)
    # Data sets that were collected cannot be compared any more, and need not be; but what is asked about has to be known.
    if found.given.doubts or (found.rows is None and not held.rows and not _is_left_out(lineage, found)):
        raise cannot_tell(found)
    version_trace = trace(lineage, version)
    ingests = [step for _, step in version_trace.steps if step.data is not None]
    if not ingests:
        raise CannotTell("its rows are not on record", where=f"version {version_trace.push.version}")
    indexes = [index_of(lineage, step) for step in ingests]
    present = [row for index in indexes for row in _rows_in(index, found)]
    return AbsenceCheck(
        version=version_trace.push.version,
        digest=version_trace.push.digest,
        present=tuple(sorted({row.row_digest for row in present})),
        rows=sum(map(len, indexes)),
        roots=tuple(index.rows_digest for index in indexes),
        proofs=tuple(_absences(found, indexes, present)),
        learned=_has_learned(lineage, found, version_trace.push),
        kept=tuple(one for one in _holders(lineage, held, given) if one.what != NOT_HERE),
        unknown=tuple(_unreadable(lineage, ingested)),
    )


def cannot_tell(found: Impact) -> MnistTfxError:
    """Return why it cannot be told which models something went into."""
    reasons = found.unknown or ("its rows are not known here",)
    error = CannotTell.of_several([CannotTell(reason) for reason in reasons])
    error.hint = found.hint
    return error


def _is_left_out(lineage: LineageIndex, found: Impact) -> bool:
    """Whether the digest that is asked about is that of a row which some execution read and left out."""
    return any(found.given.digests[:1] and found.given.digests[0] in _matched(step) for step in lineage.ingests)


def _matched(step: ExecutionSummary) -> frozenset[str]:
    """Return the digests of the rows that an execution read and left out."""
    unmatched = (step.data or {}).get(EXCLUDED, {}).get("unmatched", ())
    return frozenset(left_out(step.parameters)) - frozenset(unmatched)


def _unreadable(lineage: LineageIndex, ingested: Iterable[DataSet]) -> Iterator[str]:
    """Yield why rows that are kept cannot be compared; what was collected holds nothing."""
    for one in ingested:
        outputs = [output for step in one.steps for output in step.makes if output.channel == EXAMPLES]
        places = [output.path for output in outputs if (lineage.root / output.path).is_dir()]
        if one.index is None and places:
            yield f"{places[0]} may hold it: {one.why_not}"


def left_out_of_newest(lineage: LineageIndex) -> tuple[str, ...]:
    """Return the digests that the newest version was made without; none where nothing is served, or it does not say."""
    if lineage.newest is None:
        return ()
    steps = [step for _, step in trace(lineage).steps if step.node == INGEST]
    return tuple(sorted({digest for step in steps for digest in left_out(step.parameters)}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Held:
    """The rows, and the executions of ExampleGen that have them in their row index."""

    rows: tuple[HeldRow, ...]
    steps: tuple[ExecutionSummary, ...]
    digests: frozenset[str]

    @staticmethod
    def of(found: Impact, ingested: Iterable[DataSet]) -> _Held:
        rows: list[HeldRow] = []
        steps: list[ExecutionSummary] = []
        labels = 0
        for one in ingested:
            labels = max(labels, 0 if one.settings is None else one.settings.label_count)
            here = [] if one.index is None else list(_rows_in(one.index, found))
            rows += here
            steps += one.steps if here else ()
        pictures = found.rows.first if found.rows is not None else ()
        possible = {picture.row_digest(label).hex() for picture in pictures for label in range(labels)}
        digests = possible | {row.row_digest for row in rows} | set(found.given.digests)
        return _Held(rows=tuple(rows), steps=tuple(steps), digests=frozenset(digests))


def _rows_in(index: RowIndex, found: Impact) -> Iterator[HeldRow]:
    """Yield the rows of a data set that are asked about: those with the same pixels."""
    if found.rows is None:
        fields: tuple[Field, ...] = ("row", "pixels")
        digests = [bytes.fromhex(text) for text in found.given.digests]
        occurrences = [one for digest in digests for field in fields for one in index.occurrences(digest, field)]
        for one in occurrences:
            yield HeldRow(row_digest=one.row_digest.hex(), split=one.split, label=one.label, data_set=index.rows_digest)
        return
    for split, row, label in index.with_pixels(found.rows.pixels):
        yield HeldRow(row_digest=row.hex(), split=split, label=label, data_set=index.rows_digest)


def _steps_that_left_out(lineage: LineageIndex, held: _Held) -> Iterator[ExecutionSummary]:
    """Yield the executions that read the rows in their files, and left them out."""
    yield from (step for step in lineage.ingests if held.digests & _matched(step))


def _pictures(
    lineage: LineageIndex, steps: Iterable[ExecutionSummary], held: _Held, given: Sequence[str]
) -> Iterator[Holder]:
    """Yield the files that the rows were imported from."""
    for step in steps:
        for one in pictures_behind(lineage, step, held.digests, given):
            what = NOT_HERE if one.path is None else ROWS if one.alone else AMONG
            yield Holder(kind=PICTURE, path=str(one.path or one.name), what=what)


def _holders(lineage: LineageIndex, held: _Held, given: Sequence[str]) -> Iterator[Holder]:
    ingested = held.steps
    read = [*ingested, *_steps_that_left_out(lineage, held)]
    versions = _versions_behind(lineage)
    by_folder: dict[str, set[int]] = {}
    for step in read:
        folder = str((step.parameters or {}).get("input_base", ""))
        if folder.startswith(f"{INPUTS}/") and (lineage.root / folder).is_dir():
            by_folder.setdefault(folder, set()).update(versions.get(step.record, ()))
    for folder, some in sorted(by_folder.items()):
        yield Holder(kind=COPY, path=folder, what=ROWS, versions=tuple(sorted(some)))
        yield from (Holder(kind=SOURCE, path=path, what=ROWS) for path in _sources(lineage.root / folder))
    yield from dict.fromkeys(_pictures(lineage, read, held, given))
    for step in sorted({step.record: step for step in ingested}.values(), key=lambda step: step.started):
        for output in step.makes:
            if output.channel == EXAMPLES and (lineage.root / output.path).is_dir():
                some = versions.get(step.record, set())
                yield Holder(kind=EXAMPLES, path=output.path, what=ROWS, versions=tuple(sorted(some)))
    records = {step.record for step in ingested}
    paths = RunPaths(lineage.root)
    for run in runs(lineage.root) if paths.ledger.is_file() else ():
        report = paths.report(run.run_id)
        if report.is_file() and any(node.record in records for node in run.nodes):
            yield Holder(kind=REPORT, path=paths.relative(report), what=PICTURES)
    for record in sorted(records):
        yield from (Holder(kind=REPORT, path=str(kept), what=PICTURES) for kept in kept_reports(record))


def _sources(folder: Path) -> Iterator[str]:
    """Yield the files that the copies in a folder were made from, as far as they are there and hold the same."""
    from components.ingest.payload import payload_digest

    try:
        noted = {entry["path"]: entry["payload_digest"] for entry in read_sources(folder / SOURCES)}
    except MnistTfxError:
        return
    for path, digest in noted.items():
        with contextlib.suppress(MnistTfxError, OSError):
            if payload_digest(Path(path)).payload == digest:
                yield path


def _versions_behind(lineage: LineageIndex) -> Mapping[str, set[int]]:
    """Return {record: served versions that were made from what it made}."""
    result: dict[str, set[int]] = {}
    for push in lineage.pushes:
        if push.served:
            for _, step in trace(lineage, push.version).steps:
                result.setdefault(step.record, set()).add(push.version)
    return result


def _absences(found: Impact, indexes: Sequence[RowIndex], present: Sequence[HeldRow]) -> Iterator[RowProof]:
    from pipeline.lineage.rows.data_sets import settings_of

    if found.picture is None or present:
        return
    for index in indexes:
        settings = settings_of(index.step)
        if settings.shape == (found.picture.height, found.picture.width):
            yield prove(index, found.picture, ALL, settings.label_count)


def _has_learned(lineage: LineageIndex, found: Impact, push: IndexedVersion) -> bool:
    """Whether the rows reached the weights of a version, directly or through a model that it was built on."""
    # By rows alone: a version may have read the same file, and left these rows out of it.
    matches: list[Match] = [
        one for one in found.found if one.splits and (one.overlap is not None or found.rows is None)
    ]
    roles = propagate(lineage, matches).roles
    return any(digest == push.digest and LEARNED & some for (_, digest), some in roles.items())
