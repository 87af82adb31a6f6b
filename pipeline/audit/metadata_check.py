"""The check of ML Metadata: every way in which the store does not say what the records say.

The store is a witness, not the source: records, ledger and manifest are enough to audit with. Of what was executed on
Kubeflow it need not know anything, but what it knows has to agree. What the records know of an execution is looked for
in the store by the URIs of its outputs: types, states, events in both directions with their paths, `sha256`, `record`
and the other properties, splits, and the contexts of executions and of what they made. What the records do not know,
such as times, names and ids, is not compared: docs/explanation/audit.md lists it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem, shortened
from components.untrusted import is_file
from pipeline.audit.evidence import record_path
from pipeline.audit.findings import FAIL, UNKNOWN, Finding, completeness
from pipeline.metadata import store
from pipeline.metadata.address import OPTION, PASSWORD_VARIABLE, Address, SqliteFile
from pipeline.metadata.reader import Artifact, BrokeDown, Content, Event, Execution, Snapshot, StoreReader, Unasked
from pipeline.metadata.types import (
    NODE,
    PIPELINE,
    PIPELINE_RUN,
    SPLIT_TYPES,
    execution_type_name,
    json_list,
    split_names,
)
from pipeline.provenance import plain_files
from pipeline.provenance.artifacts import ROOT_MARK, ArtifactEntry
from pipeline.provenance.records import ExecutionRecord

STORE: Final = "metadata store"
ENOUGH: Final = "records and ledger are enough to audit with, and `mnist-tfx lineage rebuild` makes the store again"
GIVE: Final = f"`lineage audit {OPTION} URL` names another store, {PASSWORD_VARIABLE} its password"
COMPLETE, CACHED, LIVE, DELETED = "COMPLETE", "CACHED", "LIVE", "DELETED"
INPUT, OUTPUT = "INPUT", "OUTPUT"

TFX_OWN: Final = frozenset({"tfx_version", "is_external", "name", "state", "producer_component", "pipeline_name"})
"""Custom properties that TFX's launcher adds when it publishes, after the record was written."""

Known = Mapping[str, ExecutionRecord]
Edge = tuple[str, int, str]
"""Channel, index, and path of the artifact relative to the root."""

Difference = tuple[str, str, str]
"""What differs, wanted, and what is there."""


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A snapshot, asked by paths relative to the root."""

    snapshot: Snapshot
    places: tuple[str, ...]
    name: str

    def at(self, path: str) -> list[Artifact]:
        """Return the artifacts whose URI is a path below the root."""
        return [artifact for place in self.places for artifact in self.snapshot.artifacts.get(f"{place}/{path}", ())]

    def makers(self, artifact_ids: set[int]) -> list[Execution]:
        """Return the executions that gave one of these artifacts, made or cached, oldest first."""
        givers = {execution for artifact in artifact_ids for execution in self._givers.get(artifact, ())}
        return [self.snapshot.executions[id_] for id_ in sorted(givers & self.snapshot.executions.keys())]

    def edges(self, content: Content, side: str) -> set[Edge]:
        """Return the edges of an execution on one side."""
        events = [event for event in content.events if event.type == side]
        return {(event.channel, event.index, self._path(event.artifact)) for event in events}

    @functools.cached_property
    def _givers(self) -> Mapping[int, set[int]]:
        givers: dict[int, set[int]] = collections.defaultdict(set)
        for execution in self.snapshot.executions.values():
            for event in execution.content.events:
                if event.type == OUTPUT:
                    givers[event.artifact].add(execution.id)
        return givers

    @functools.cached_property
    def _uris(self) -> Mapping[int, str]:
        return {artifact.id: uri for uri, all_ in self.snapshot.artifacts.items() for artifact in all_}

    def _path(self, artifact: int) -> str:
        uri = self._uris.get(artifact, f"artifact {artifact}, which no record knows")
        return next((uri[len(place) + 1 :] for place in self.places if uri.startswith(f"{place}/")), uri)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """What comparing some records with the store came to.

    Attributes:
      findings: where they differ.
      agreeing: number of records that the store agrees with.
      left_out: what was not compared, and why; None if all was.
    """

    findings: tuple[Finding, ...] = ()
    agreeing: int = 0
    left_out: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Witness:
    """A metadata store, asked once about each record, whatever the number of versions that stand on it.

    Attributes:
      path: of `metadata.db`.
      elsewhere: address of the store that is asked in its stead, if any.
      reused: {record: runs that had its outputs cached}.
      runs: all that are on record.
      collected: paths of the artifacts that were removed on purpose.
      places: absolute paths of the root, now and when it was last written to.
      reader: asks the store.
    """

    path: Path
    reused: Mapping[str, frozenset[str]]
    runs: frozenset[str]
    collected: frozenset[str]
    places: tuple[str, ...]
    reader: StoreReader
    elsewhere: Address | None = None
    _answers: dict[str, tuple[Finding, ...] | None] = dataclasses.field(default_factory=dict, repr=False)
    _problems: list[EnvironmentProblem] = dataclasses.field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """What findings call the store."""
        return self.path.name if self.elsewhere is None else shortened(self.elsewhere)

    def ask_ahead(self, records: Known) -> None:
        """Send the question of `check`, so that the store is read while something else is done."""
        unknown = self._not_asked_about(records)
        with contextlib.suppress(EnvironmentProblem):  # which `check` meets too, and says
            if unknown and not self._problems and not self._has_none(records):
                self._look()
                self.reader.ask_ahead(self._address, *self._question(unknown.values()))

    def check(self, records: Known) -> Compared:
        """Compare records with the store; those that it has been asked about before are not asked about again."""
        from_pods = _from_pods(records)
        if self._has_none(records):
            return Compared(left_out="no metadata store of this root's: executions were not compared")
        try:
            if not self._problems:
                self._look()
                self._ask_about(self._not_asked_about(records))
        except EnvironmentProblem as err:
            self._problems.append(err)
        if self._problems:
            return self._unasked(self._problems[0])
        answers = [self._answers[hash_] for hash_ in records]
        seen = [findings for findings in answers if findings is not None]
        if from_pods and self.elsewhere is not None and not seen:
            what = "was not asked: all of it was executed on Kubeflow, and the store never saw it"
            return Compared(findings=(_about(self.name, what, level=UNKNOWN),), left_out="executions were not compared")
        missing = len(answers) - len(seen)
        left_out = f"{missing} executions on Kubeflow, which the metadata store never saw" if missing else None
        findings = tuple(itertools.chain.from_iterable(seen))
        return Compared(findings=findings, agreeing=sum(not one for one in seen), left_out=left_out)

    def _has_none(self, records: Known) -> bool:
        """Whether there is no store of the root's, and for what was executed in pods there need not be one."""
        return _from_pods(records) and self.elsewhere is None and not os.path.lexists(self.path)

    def _not_asked_about(self, records: Known) -> Known:
        return {hash_: record for hash_, record in records.items() if hash_ not in self._answers}

    def _look(self) -> None:
        """Raise EnvironmentProblem if there can be no store at the address."""
        if not isinstance(self._address, SqliteFile):
            return
        file = self._address.path
        kind = plain_files.kind_of(file)
        if self.elsewhere is not None and not is_file(file):
            raise Unasked("there is no such file" if kind is None else f"it is a {kind}, and no file")
        if kind not in (None, plain_files.FILE) and self.elsewhere is None:
            raise EnvironmentProblem("is no plain file", where=file, got=kind)
        store.check(file)

    def _unasked(self, err: EnvironmentProblem) -> Compared:
        # Row 13 of the faults: a ledger without its store is not what a run leaves behind.
        level = UNKNOWN if isinstance(err, Unasked) else FAIL
        got = None if err.got is None else str(err.got)
        if level == FAIL:
            finding = _about(self.name, f"{err.what} ({ENOUGH})", got=got)
        elif self.elsewhere:
            finding = _about(self.name, f"was not asked, {err.what}: {GIVE} ({ENOUGH})", got=got, level=level)
        else:
            what = "was not asked, so that executions were not compared"
            finding = _about(self.name, what, got=got, level=level)
        return Compared(findings=(finding,), left_out=f"{self.name}: executions were not compared")

    @property
    def _address(self) -> Address:
        return SqliteFile(path=self.path) if self.elsewhere is None else self.elsewhere

    def _ask_about(self, records: Known) -> None:
        """Answer for each record: the findings, None for one that the store never saw."""
        if not records:
            return
        try:
            stored = self._ask(records.values())
        except BrokeDown:
            # Some row is more than ml_metadata bears: asked one by one, the records tell whose it is.
            self._answers.update({hash_: self._compare_alone(hash_, record) for hash_, record in records.items()})
            return
        self._answers.update({hash_: self._compare(stored, hash_, record) for hash_, record in records.items()})

    def _compare_alone(self, hash_: str, record: ExecutionRecord) -> tuple[Finding, ...] | None:
        try:
            return self._compare(self._ask([record]), hash_, record)
        except BrokeDown as err:
            where = f"{self.name}: {record_path(hash_)} ({record.node})"
            return (_about(where, err.what, got=str(err.got)),)

    def _compare(self, stored: _Stored, hash_: str, record: ExecutionRecord) -> tuple[Finding, ...] | None:
        if not record.in_store and not any(stored.at(entry.path) for _, _, entry in _outputs(record)):
            return None
        return tuple(self._differences(stored, hash_, record))

    def _differences(self, stored: _Stored, hash_: str, record: ExecutionRecord) -> Iterator[Finding]:
        where = f"{stored.name}: {record_path(hash_)} ({record.node})"
        artifact_ids = set()
        for channel, _, entry in _outputs(record):
            artifacts = stored.at(entry.path)
            if len(artifacts) != 1:
                yield _about(where, f"artifacts at {entry.path}", wanted="1", got=str(len(artifacts)))
                continue
            artifact_ids.add(artifacts[0].id)
            for what, wanted, got in self._artifact_differences(artifacts[0], entry, hash_, record):
                yield _about(where, f"{channel} at {entry.path}: {what}", wanted=wanted, got=got)
        makers = stored.makers(artifact_ids)
        if artifact_ids:
            for what, wanted, got in self._state_differences(makers, hash_):
                yield _about(where, what, wanted=wanted, got=got)
        # Hundreds of executions may say the same: what is wrong with one of them is with all.
        differences: dict[Content, tuple[Difference, ...]] = {}
        for execution in makers:
            content = execution.content
            if content not in differences:
                differences[content] = tuple(_content_differences(stored, content, record))
            for what, wanted, got in (*differences[content], *_context_differences(execution, record)):
                yield _about(f"{where}, execution {execution.id}", what, wanted=wanted, got=got)

    def _state_differences(self, makers: list[Execution], hash_: str) -> Iterator[Difference]:
        """Yield where states do not say which execution made the outputs, and which runs had them cached."""
        cached = [execution for execution in makers if execution.state == CACHED]
        others = len(makers) - len(cached)
        if others != 1:
            yield "executions that made its outputs", "1", str(others)
        runs = self.reused.get(hash_, frozenset())
        in_store = {name for execution in cached for kind, name in execution.contexts if kind == PIPELINE_RUN}
        for run in sorted(runs - in_store):
            yield "executions that had its outputs cached", f"one in run {run}", "none"
        for run in sorted((in_store & self.runs) - runs):
            yield "executions that had its outputs cached", "none", f"one in run {run}"

    def _artifact_differences(
        self, artifact: Artifact, entry: ArtifactEntry, hash_: str, record: ExecutionRecord
    ) -> Iterator[Difference]:
        if artifact.type != entry.type:
            yield "type", entry.type, artifact.type
        states = (LIVE, DELETED) if entry.path in self.collected else (LIVE,)
        if artifact.state not in states:
            yield "state", LIVE, artifact.state
        ours = entry.properties.keys()
        own = {name: value for name, value in artifact.properties.items() if name not in TFX_OWN - ours}
        yield from _differences({**entry.properties, "sha256": entry.sha256, "record": hash_}, own)
        if record.in_store:
            published = {name: value for name, value in artifact.properties.items() if name in TFX_OWN - ours}
            yield from _published_differences(published, record)
            yield from _split_differences(artifact, entry)
            for kind, name in sorted(_contexts(record, record.run_id) - artifact.contexts):
                yield f"{kind} context", name, "none"

    def _ask(self, some: Iterable[ExecutionRecord]) -> _Stored:
        return _Stored(self.reader.ask(self._address, *self._question(some)), self.places, self.name)

    def _question(self, some: Iterable[ExecutionRecord]) -> tuple[list[str], list[str]]:
        """Return the URIs of what some records say was made, and of what was read."""
        records = list(some)
        written = [entry.path for record in records for _, _, entry in _outputs(record)]
        read = [path for record in records for _, _, path in sorted(_inputs(record))]
        return self._uris(written), self._uris(read)

    def _uris(self, paths: list[str]) -> list[str]:
        return [f"{place}/{path}" for path in dict.fromkeys(paths) for place in self.places]


def _from_pods(records: Known) -> bool:
    """Whether all of it was executed on Kubeflow."""
    return bool(records) and not any(record.in_store for record in records.values())


def _content_differences(stored: _Stored, content: Content, record: ExecutionRecord) -> Iterator[Difference]:
    if content.state not in (COMPLETE, CACHED):
        yield "state", COMPLETE, content.state
    kind = execution_type_name(record.node, record.parameters) if record.in_store else None
    if kind is not None and content.type != kind:
        yield "type", kind, content.type
    outputs = {(channel, index, entry.path) for channel, index, entry in _outputs(record)}
    for side, wanted in ((OUTPUT, outputs), (INPUT, _inputs(record))):
        edges = stored.edges(content, side)
        for channel, index, path in sorted(wanted - edges):
            yield f"{side.lower()} event {channel}[{index}]", path, "none"
        for channel, index, path in sorted(edges - wanted):
            yield f"{side.lower()} event {channel}[{index}]", "none", path
    yield from _event_differences(content.events, record)
    # TFX's launcher declares none of them; Kubeflow's does.
    told_properties = content.properties if record.in_store else {**content.declared, **content.properties}
    for name, wanted_value, got in _differences(record.parameters, told_properties):
        yield f"property {name}", wanted_value, got


def _event_differences(events: Sequence[Event], record: ExecutionRecord) -> Iterator[Difference]:
    if odd := sum(event.type not in (INPUT, OUTPUT) for event in events):
        yield "events that are neither input nor output", "0", str(odd)
    # Kubeflow's launcher writes paths of another form.
    for event in events if record.in_store else ():
        if event.path is not None:
            yield f"path of an {event.type.lower()} event", "a channel and an index", event.path


def _context_differences(execution: Execution, record: ExecutionRecord) -> Iterator[Difference]:
    """Yield the contexts that an execution lacks, or is in without a reason; TFX has others of its own."""
    runs = sorted(name for kind, name in execution.contexts if kind == PIPELINE_RUN)
    if execution.state == CACHED and len(runs) != 1:
        yield f"{PIPELINE_RUN} context", "1", ", ".join(runs) or "none"
    # A cached execution is in the context of the run that had it cached.
    wanted = _contexts(record, runs[0] if execution.state == CACHED and runs else record.run_id)
    stored = {(kind, name) for kind, name in execution.contexts if kind in (PIPELINE, PIPELINE_RUN, NODE)}
    for kind, name in sorted(wanted - stored):
        yield f"{kind} context", name, "none"
    for kind, name in sorted(stored - wanted):
        if execution.state != CACHED or kind != PIPELINE_RUN:
            yield f"{kind} context", "none", name


def _contexts(record: ExecutionRecord, run: str) -> set[tuple[str, str]]:
    return {(PIPELINE, record.pipeline), (PIPELINE_RUN, run), (NODE, f"{record.pipeline}.{record.node}")}


def _published_differences(stored: Mapping[str, Any], record: ExecutionRecord) -> Iterator[Difference]:
    """Yield where what TFX itself noted when it published contradicts the record; it need not have noted it."""
    wanted = {
        "tfx_version": record.environment.packages.get("tfx"),
        "is_external": 0,
        "producer_component": record.node,
        "pipeline_name": record.pipeline,
    }
    for name in sorted(stored.keys() & wanted.keys()):
        if wanted[name] is not None and stored[name] != wanted[name]:
            yield name, _short(wanted[name]), _short(stored[name])


def _split_differences(artifact: Artifact, entry: ArtifactEntry) -> Iterator[Difference]:
    """Yield that the splits which TFX reads from an artifact are not those that it has folders for."""
    for name in sorted(artifact.declared.keys() - SPLIT_TYPES.get(entry.type, {}).keys()):
        yield f"property {name}", "none that its type declares", _short(artifact.declared[name])
    if entry.type in SPLIT_TYPES:
        names = split_names(entry)
        wanted, stored = json_list(names) if names else None, artifact.declared.get("split_names")
        if stored != wanted:
            yield "split_names", _short(wanted), _short(stored)


def _differences(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield (name, wanted, found) of properties that differ, are missing, or are there without a reason."""
    for name in sorted(wanted.keys() | stored.keys()):
        if name not in wanted or name not in stored or not _same(wanted[name], stored[name]):
            yield name, _short(wanted.get(name)), _short(stored.get(name))


def _inputs(record: ExecutionRecord) -> set[Edge]:
    return {(channel, i, ref.path) for channel, refs in record.inputs.items() for i, ref in enumerate(refs)}


def _outputs(record: ExecutionRecord) -> list[tuple[str, int, ArtifactEntry]]:
    return [
        (channel, i, entry) for channel, entries in sorted(record.outputs.items()) for i, entry in enumerate(entries)
    ]


def _same(wanted: Any, stored: Any) -> bool:
    if isinstance(wanted, str) and ROOT_MARK in wanted:
        # A property keeps the root's path of the day it was written, wherever the root has been moved since.
        return isinstance(stored, str) and _fits(wanted.split(ROOT_MARK), stored)
    return bool(wanted == stored)


def _fits(parts: list[str], text: str) -> bool:
    """Whether a text is `parts` joined by one and the same absolute path."""
    gaps = len(parts) - 1
    length, rest = divmod(len(text) - sum(map(len, parts)), gaps)
    place = text[len(parts[0]) : len(parts[0]) + length]
    return not rest and length > 0 and place.startswith("/") and text == place.join(parts)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _about(where: str, what: str, *, wanted: str | None = None, got: str | None = None, level: str = FAIL) -> Finding:
    return completeness(STORE, where, what, wanted=wanted, got=got, level=level)
