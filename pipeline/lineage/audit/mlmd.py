"""ML Metadata and the records -> every way in which the store does not say what the records say.

The store is a witness, not the source: records, ledger and manifest are enough to audit with. Of what was executed on
Kubeflow it need not know anything, but what it knows has to agree. What the records know of an execution is looked for
in the store by the URIs of its outputs: states, events in both directions, `sha256`, `record` and the other custom
properties, execution properties, contexts. What they do not know, such as times, names and ids, is not compared.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.lineage import store
from pipeline.lineage.artifacts import ROOT_MARK, ArtifactEntry
from pipeline.lineage.audit import files
from pipeline.lineage.audit.evidence import record_path
from pipeline.lineage.audit.findings import COMPLETENESS, FAIL, UNKNOWN, Finding
from pipeline.lineage.audit.store_reader import Artifact, BrokeDown, Execution, Snapshot, StoreReader, Unasked
from pipeline.lineage.records import ExecutionRecord
from pipeline.metadata_url import OPTION, PASSWORD_VARIABLE, Address, SqliteFile

STORE: Final = "metadata store"
ENOUGH: Final = "records and ledger are enough to audit with, and `mnist-tfx lineage rebuild` makes the store again"
GIVE: Final = f"`lineage audit {OPTION} URL` names another store, {PASSWORD_VARIABLE} its password"
COMPLETE, CACHED, LIVE = "COMPLETE", "CACHED", "LIVE"
INPUT, OUTPUT = "INPUT", "OUTPUT"

TFX_OWN: Final = frozenset({"tfx_version", "is_external", "name", "state", "producer_component", "pipeline_name"})
"""Custom properties that TFX's launcher adds when it publishes, after the record was written."""

Known = Mapping[str, ExecutionRecord]
Edge = tuple[str, int, str]
"""Channel, index, and path of the artifact relative to the root."""


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A snapshot, asked by paths relative to the root."""

    snapshot: Snapshot
    places: tuple[str, ...]
    name: str

    def at(self, path: str) -> list[Artifact]:
        """Returns the artifacts whose URI is a path below the root."""
        return [found for place in self.places for found in self.snapshot.artifacts.get(f"{place}/{path}", ())]

    def makers(self, made: set[int]) -> list[Execution]:
        """Returns the executions that gave one of these artifacts, made or cached, oldest first."""
        givers = {event.execution for event in self.snapshot.events if event.type == OUTPUT and event.artifact in made}
        return [execution for id_, execution in sorted(self.snapshot.executions.items()) if id_ in givers]

    def edges(self, execution: Execution, side: str) -> set[Edge]:
        """Returns the edges of an execution on one side."""
        events = [event for event in self.snapshot.events if (event.execution, event.type) == (execution.id, side)]
        return {(event.channel, event.index, self._path(event.artifact)) for event in events}

    def odd_events(self, execution: Execution) -> int:
        """Returns how many events of an execution are neither input nor output."""
        events = [event for event in self.snapshot.events if event.execution == execution.id]
        return sum(event.type not in (INPUT, OUTPUT) for event in events)

    def _path(self, artifact: int) -> str:
        uris = (uri for uri, all_ in self.snapshot.artifacts.items() if artifact in [found.id for found in all_])
        uri = next(uris, f"artifact {artifact}, which no record knows")
        return next((uri[len(place) + 1 :] for place in self.places if uri.startswith(f"{place}/")), uri)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Witness:
    """A metadata store and the records that it is compared with.

    Attributes:
      path: of `metadata.db`.
      elsewhere: address of the store that is asked in its stead, if any.
      known: the records.
      reused: {record: number of runs that had its outputs cached}.
      places: absolute paths of the root, now and when it was last written to.
      reader: asks the store.
    """

    path: Path
    known: Known
    reused: Mapping[str, int]
    places: tuple[str, ...]
    reader: StoreReader
    elsewhere: Address | None = None

    @property
    def name(self) -> str:
        """What findings call the store."""
        return self.path.name if self.elsewhere is None else str(self.elsewhere)

    def check(self) -> tuple[tuple[Finding, ...], int]:
        """Returns the findings, and the number of records that the store agrees with."""
        from_pods = bool(self.known) and not any(record.in_store for record in self.known.values())
        if from_pods and self.elsewhere is None and not os.path.lexists(self.path):
            return (), 0
        file = self._address.path if isinstance(self._address, SqliteFile) else None
        kind = None if file is None else files.kind_of(file)
        if self.elsewhere is None and kind not in (None, files.FILE):
            return (_about(self.name, "is no plain file", got=kind),), 0
        try:
            if file is not None and self.elsewhere is not None and not file.is_file():
                raise Unasked("there is no such file")
            if file is not None:
                store.check(file)
            found = self._compare()
        except EnvironmentProblem as err:
            # Row 13 of the faults: a ledger without its store is not what a run leaves behind.
            level = UNKNOWN if isinstance(err, Unasked) else FAIL
            got = None if err.got is None else str(err.got)
            what = f"was not asked, {err.what}: {GIVE}" if self.elsewhere and level == UNKNOWN else err.what
            return (_about(self.name, f"{what} ({ENOUGH})", got=got, level=level),), 0
        seen = [findings for findings in found if findings is not None]
        if from_pods and self.elsewhere is not None and not seen:
            what = "was not asked: all of it was executed on Kubeflow, and the store never saw it"
            return (_about(self.name, what, level=UNKNOWN),), 0
        return tuple(itertools.chain.from_iterable(seen)), sum(not findings for findings in seen)

    @property
    def _address(self) -> Address:
        return SqliteFile(path=self.path) if self.elsewhere is None else self.elsewhere

    def _compare(self) -> list[list[Finding] | None]:
        """Returns the findings about each record, None for one that the store never saw."""
        try:
            stored = self._ask(list(self.known.values()))
        except BrokeDown:
            # Some row is more than ml_metadata bears: asked one by one, the records tell whose it is.
            return [self._compare_alone(hash_, record) for hash_, record in self.known.items()]
        return [self._differences(stored, hash_, record) for hash_, record in self.known.items()]

    def _compare_alone(self, hash_: str, record: ExecutionRecord) -> list[Finding] | None:
        try:
            return self._differences(self._ask([record]), hash_, record)
        except BrokeDown as err:
            where = f"{self.name}: {record_path(hash_)} ({record.node})"
            return [_about(where, err.what, got=str(err.got))]

    def _differences(self, stored: _Stored, hash_: str, record: ExecutionRecord) -> list[Finding] | None:
        if not record.in_store and not any(stored.at(entry.path) for _, _, entry in _outputs(record)):
            return None
        return list(_check_record(stored, hash_, record, self.reused.get(hash_, 0)))

    def _ask(self, some: list[ExecutionRecord]) -> _Stored:
        made = [entry.path for record in some for _, _, entry in _outputs(record)]
        read = [path for record in some for _, _, path in sorted(_inputs(record))]
        snapshot = self.reader.ask(self._address, self._uris(made), self._uris(read))
        return _Stored(snapshot, self.places, self.name)

    def _uris(self, paths: list[str]) -> list[str]:
        return [f"{place}/{path}" for path in paths for place in self.places]


def _check_record(stored: _Stored, hash_: str, record: ExecutionRecord, reused: int) -> Iterator[Finding]:
    where = f"{stored.name}: {record_path(hash_)} ({record.node})"
    made = set()
    for channel, _, entry in _outputs(record):
        found = stored.at(entry.path)
        if len(found) != 1:
            yield _about(where, f"artifacts at {entry.path}", wanted="1", got=str(len(found)))
            continue
        made.add(found[0].id)
        for what, wanted, got in _artifact_differences(found[0], entry, hash_):
            yield _about(where, f"{channel} at {entry.path}: {what}", wanted=wanted, got=got)
    makers = stored.makers(made)
    cached = sum(execution.state == CACHED for execution in makers)
    if made and len(makers) - cached != 1:
        yield _about(where, "executions that made its outputs", wanted="1", got=str(len(makers) - cached))
    if made and cached < reused:
        yield _about(where, "executions that had its outputs cached", wanted=f"at least {reused}", got=str(cached))
    for execution in makers:
        yield from _check_execution(stored, execution, record, f"{where}, execution {execution.id}")


def _check_execution(stored: _Stored, execution: Execution, record: ExecutionRecord, where: str) -> Iterator[Finding]:
    contexts = {("pipeline", record.pipeline), ("node", f"{record.pipeline}.{record.node}")}
    if execution.state != CACHED:
        contexts.add(("pipeline_run", record.run_id))
        if execution.state != COMPLETE:
            yield _about(where, "state", wanted=COMPLETE, got=execution.state)
    outputs = {(channel, index, entry.path) for channel, index, entry in _outputs(record)}
    for side, wanted in ((OUTPUT, outputs), (INPUT, _inputs(record))):
        told = stored.edges(execution, side)
        for channel, index, path in sorted(wanted - told):
            yield _about(where, f"{side.lower()} event {channel}[{index}]", wanted=path, got="none")
        for channel, index, path in sorted(told - wanted):
            yield _about(where, f"{side.lower()} event {channel}[{index}]", wanted="none", got=path)
    if odd := stored.odd_events(execution):
        yield _about(where, "events that are neither input nor output", wanted="0", got=str(odd))
    for name, wanted_value, got in _differences(record.parameters, execution.properties):
        yield _about(where, f"property {name}", wanted=wanted_value, got=got)
    for kind, name in sorted(contexts - execution.contexts):
        yield _about(where, f"{kind} context", wanted=name, got="none")


def _artifact_differences(artifact: Artifact, entry: ArtifactEntry, hash_: str) -> Iterator[tuple[str, str, str]]:
    if artifact.type != entry.type:
        yield "type", entry.type, artifact.type
    if artifact.state != LIVE:
        yield "state", LIVE, artifact.state
    own = {name: value for name, value in artifact.properties.items() if name not in TFX_OWN - entry.properties.keys()}
    yield from _differences({**entry.properties, "sha256": entry.sha256, "record": hash_}, own)


def _differences(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields (name, wanted, found) of properties that differ, are missing, or are there without a reason."""
    for name in sorted(wanted.keys() | told.keys()):
        if name not in wanted or name not in told or not _same(wanted[name], told[name]):
            yield name, _short(wanted.get(name)), _short(told.get(name))


def _inputs(record: ExecutionRecord) -> set[Edge]:
    return {(channel, i, ref.path) for channel, refs in record.inputs.items() for i, ref in enumerate(refs)}


def _outputs(record: ExecutionRecord) -> list[tuple[str, int, ArtifactEntry]]:
    return [(channel, i, entry) for channel, made in sorted(record.outputs.items()) for i, entry in enumerate(made)]


def _same(wanted: Any, told: Any) -> bool:
    if isinstance(wanted, str) and ROOT_MARK in wanted:
        # A property keeps the root's path of the day it was written, wherever the root has been moved since.
        return isinstance(told, str) and _fits(wanted.split(ROOT_MARK), told)
    return bool(wanted == told)


def _fits(parts: list[str], told: str) -> bool:
    """Whether a text is `parts` joined by one and the same absolute path."""
    gaps = len(parts) - 1
    length, rest = divmod(len(told) - sum(map(len, parts)), gaps)
    place = told[len(parts[0]) : len(parts[0]) + length]
    return not rest and length > 0 and place.startswith("/") and told == place.join(parts)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _about(where: str, what: str, *, wanted: str | None = None, got: str | None = None, level: str = FAIL) -> Finding:
    return Finding(verdict=COMPLETENESS, link=STORE, where=where, what=what, wanted=wanted, got=got, level=level)
