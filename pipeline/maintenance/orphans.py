"""The survey of a root, and what in it lacks its counterpart: served, recorded, running or stored alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from components import serving
from components.errors import MnistTfxError
from pipeline.metadata.store import StoreLost, open_store
from pipeline.provenance.ledger import Chain, Event, Line, Push, read_ledger
from pipeline.provenance.own_code import folder_name, own_digests
from pipeline.provenance.record_store import Records, scan
from pipeline.provenance.records import ExecutionRecord, Record, RunRecord
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths

REPAIR: Final = "lineage repair"
COLLECT: Final = "lineage gc"
REBUILD: Final = "lineage rebuild"
RUN_AGAIN: Final = "run"

_INPUT: Final = re.compile(r"\binputs/([\w.-]+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orphan:
    """One thing without its counterpart.

    Attributes:
      kind: what it is, such as `served-unrecorded`.
      where: path relative to the root, or the ledger line or execution.
      why: what is missing, in words.
      bytes: on disk; 0 for what is no file.
      remedy: the command that deals with it; empty where none does.
    """

    kind: str
    where: str
    why: str
    remedy: str
    bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Survey:
    """A root as it is read once: no run may be at work in it.

    Attributes:
      paths: its files.
      ledger: its verified lines.
      records: all of them, committed or not.
    """

    paths: RunPaths
    ledger: Chain
    records: Records

    @staticmethod
    def of(paths: RunPaths) -> Survey:
        """Read a root.

        Raises:
          EnvironmentProblem: if the ledger is broken.
        """
        return Survey(paths, read_ledger(paths.ledger), scan(paths.records))

    @cached_property
    def committed(self) -> dict[str, ExecutionRecord]:
        """{hash: record} of the executions that the ledger commits; those that cannot be read are left out."""
        records = {hash_: self.read(hash_) for hash_ in self.ledger.order}
        return {hash_: record for hash_, record in records.items() if isinstance(record, ExecutionRecord)}

    @cached_property
    def uncommitted(self) -> dict[str, Record]:
        """{hash: record} of those that no line of the ledger names."""
        named = {line.record for line in self.ledger.lines}
        records = {hash_: self.read(hash_) for hash_ in self.records if hash_ not in named}
        return {hash_: record for hash_, record in records.items() if record is not None}

    @cached_property
    def serving(self) -> ServingDirectory:
        """The serving directory as the ledger knows it."""
        return ServingDirectory(self.paths, self.ledger)

    @cached_property
    def staged(self) -> StagedDirectory:
        """The staged versions as the ledger knows them."""
        return StagedDirectory(self.paths, self.ledger)

    @cached_property
    def unended(self) -> tuple[Push, ...]:
        """The pushes of versions that are there, by runs of this machine that were killed before they recorded their end."""
        found = ((push, self.committed.get(push.record or "")) for push in unended(self.paths, self.ledger))
        return tuple(push for push, record in found if record is not None and record.in_store)

    @cached_property
    def unreadable(self) -> tuple[str, ...]:
        """Hashes of the committed records that cannot be read: what they made or read is not known."""
        return tuple(hash_ for hash_ in self.ledger.order if self.read(hash_) is None)

    @cached_property
    def damaged(self) -> tuple[tuple[Line, MnistTfxError], ...]:
        """The lines whose records are missing or cannot be read, each with why; runs and executions alike."""
        lines = {line.record: line for line in self.ledger.of(Event.COMMIT, Event.RUN) if line.record is not None}
        problems = ((line, self._problem(hash_)) for hash_, line in lines.items())
        return tuple((line, problem) for line, problem in problems if problem is not None)

    def _problem(self, hash_: str) -> MnistTfxError | None:
        try:
            _ = self.records[hash_]
        except MnistTfxError as err:
            return err
        return None

    def read(self, hash_: str) -> Record | None:
        """Return a record, or None where the audit has something to say about it."""
        try:
            return self.records[hash_]
        except MnistTfxError:
            return None

    def key_of(self, line: Line) -> str | None:
        """Return the node key that an intent, or the line that settles one, was written for."""
        intent = self.ledger.line(line.details.get("intent")) or line
        key = intent.details.get("key")
        return None if key is None else str(key)


def unended(paths: RunPaths, ledger: Chain) -> tuple[Push, ...]:
    """Return the pushes of the versions that are there whose run has no record of how it ended, lowest first."""
    numbers = sorted({*ledger.versions, *ledger.staged})
    pushes = (ledger.origin(number) for number in numbers if paths.version(number).is_dir())
    return tuple(push for push in pushes if push is not None and ledger.run_record(push.run_id) is None)


def orphans(root: Path, say: Callable[[str], None]) -> tuple[Orphan, ...]:
    """Return what is orphaned in a root.

    Raises:
      BadInput: if no pipeline has run here.
      EnvironmentProblem: if a run is under way, the ledger is broken or the store locked.
    """
    with exclusive_lock(root) as paths:
        survey = Survey.of(paths)
        return (
            *_served(survey),
            *_foreign(survey),
            *_gone(survey),
            *_staged(survey),
            *_missing(survey),
            *_dead(paths, say),
            *_intents(survey),
            *_records(survey),
            *_runs(survey),
            *_unreadable(survey),
            *_artifacts(survey),
            *_inputs(survey),
            *_checkpoints(survey),
            *_stages(paths),
        )


def _served(survey: Survey) -> Iterator[Orphan]:
    half = {one.version for _, one in survey.staged.half_promoted}
    for served in (one for one in survey.serving.unrecorded if one.version not in half):
        path = survey.paths.relative(served.path)
        why = "served, but no line of the ledger says that it was pushed"
        yield Orphan(kind="served-unrecorded", where=path, why=why, remedy=REPAIR, bytes=size(served.path))


def _foreign(survey: Survey) -> Iterator[Orphan]:
    for entry in survey.serving.foreign:
        why = f"{entry.what}; TF Serving takes it for version {entry.number}: move it out of there"
        # A link is not followed, and what is in a folder of somebody else's is not ours to count.
        yield Orphan(kind="served-stranger", where=entry.path, why=why, remedy="")


def _gone(survey: Survey) -> Iterator[Orphan]:
    for version in survey.serving.missing:
        path = f"{survey.paths.serving.name}/{version}"
        why = "pushed and not pruned, but gone: put the folder back from a copy"
        yield Orphan(kind="served-missing", where=path, why=why, remedy="")


def _staged(survey: Survey) -> Iterator[Orphan]:
    relative = survey.paths.relative
    for _, served in survey.staged.half_promoted:
        why = "in service, but no line of the ledger says that its promotion was completed"
        yield Orphan(kind="half-promoted", where=relative(served.path), why=why, remedy=REPAIR)
    for version in survey.staged.missing:
        why = "staged, neither promoted nor pruned, but gone: put the folder back from a copy, or `serving prune --staged`"
        yield Orphan(kind="staged-missing", where=relative(survey.paths.staged / str(version)), why=why, remedy="")
    for one in survey.staged.unrecorded:
        why = "no line of the ledger says that it was staged: a push was killed, or somebody put it there"
        where, remedy = relative(one.path), "serving prune --staged"
        yield Orphan(kind="staged-unrecorded", where=where, why=why, remedy=remedy, bytes=size(one.path))


def _missing(survey: Survey) -> Iterator[Orphan]:
    collected = survey.ledger.collected()
    for hash_, record in survey.committed.items():
        for entry in record.artifacts:
            if entry.path not in collected and not (survey.paths.root / entry.path).exists():
                why = f"recorded by {record.node} ({hash_[:12]}), but gone"
                yield Orphan(kind="recorded-missing", where=entry.path, why=why, remedy=RUN_AGAIN)


def _dead(paths: RunPaths, say: Callable[[str], None]) -> Iterator[Orphan]:
    try:
        unfinished = open_store(paths, say=say, read_only=True).unfinished()
    except StoreLost as err:
        yield Orphan(kind="store-lost", where=paths.metadata.name, why=err.what, remedy=REBUILD)
        return
    for execution in unfinished:
        why = f"{execution.type}: RUNNING, but no run is at work"
        yield Orphan(kind="dead-execution", where=f"execution {execution.id}", why=why, remedy=REPAIR)


def _intents(survey: Survey) -> Iterator[Orphan]:
    for line in survey.ledger.unsettled():
        why = f"{line.node} of run {line.run_id} neither finished nor failed"
        yield Orphan(kind="open-intent", where=f"ledger line {line.sequence}", why=why, remedy=REPAIR)


def _records(survey: Survey) -> Iterator[Orphan]:
    settled = {(line.run_id, line.node) for line in survey.ledger.of(Event.LOST, Event.COMMIT)}
    for hash_, record in survey.uncommitted.items():
        # What an intent left behind that was lost, or came to another record when it was repaired, is accounted for.
        if isinstance(record, RunRecord) or (record.run_id, record.node) not in settled:
            path = f"{survey.paths.records.name}/{hash_}.json"
            why = f"no line of the ledger commits it (run {record.run_id})"
            yield Orphan(
                kind="uncommitted-record", where=path, why=why, remedy=REPAIR, bytes=size(survey.paths.root / path)
            )


def _runs(survey: Survey) -> Iterator[Orphan]:
    for push in survey.unended:
        why = f"its push of version {push.version} is recorded, its own end is not"
        yield Orphan(kind="run-unrecorded", where=f"run {push.run_id}", why=why, remedy=REPAIR)


def _unreadable(survey: Survey) -> Iterator[Orphan]:
    for line, _ in survey.damaged:
        path = f"{survey.paths.records.name}/{line.record}.json"
        unknown = f"what became of run {line.run_id}"
        if line.record in survey.unreadable:
            unknown = "which artifacts and inputs belong to nothing"
        why = f"missing or changed: until it is back, nobody can tell {unknown}"
        yield Orphan(kind="unreadable-record", where=path, why=why, remedy="lineage audit")


def _artifacts(survey: Survey) -> Iterator[Orphan]:
    if survey.unreadable:
        return
    paths = {e.path for record in survey.committed.values() for e in record.artifacts}
    for folder in artifact_folders(survey.paths):
        path = survey.paths.relative(folder)
        if path not in paths:
            why = "no committed record made it: what a killed execution had written"
            yield Orphan(kind="unknown-artifact", where=path, why=why, remedy=COLLECT, bytes=size(folder))


def _inputs(survey: Survey) -> Iterator[Orphan]:
    if survey.unreadable:
        return
    used = inputs_of(survey.committed.values())
    for folder in input_folders(survey.paths):
        if folder.name not in used:
            path, why = survey.paths.relative(folder), "no record reads it"
            yield Orphan(kind="unused-input", where=path, why=why, remedy=COLLECT, bytes=size(folder))


def _checkpoints(survey: Survey) -> Iterator[Orphan]:
    wanted = open_keys(survey, latest_runs(survey.ledger, 1))
    for folder in children(survey.paths.checkpoints):
        taken = size(folder)
        if taken and folder.name not in wanted:
            path, why = survey.paths.relative(folder), "the newest run left no training unfinished that it belongs to"
            yield Orphan(kind="stale-checkpoint", where=path, why=why, remedy=COLLECT, bytes=taken)


def _stages(paths: RunPaths) -> Iterator[Orphan]:
    for stage in (*serving.stages(paths.serving), *serving.stages(paths.staged)):
        why = "left by a killed push; TF Serving does not see it"
        yield Orphan(kind="stage", where=paths.relative(stage), why=why, remedy=COLLECT, bytes=size(stage))


def latest_runs(ledger: Chain, count: int) -> frozenset[str]:
    """Return the ids of the last runs that executed something or ended, by the ledger's order."""
    seen = dict.fromkeys(
        line.run_id for line in reversed(ledger.lines) if line.event in (Event.INTENT, Event.COMMIT, Event.RUN)
    )
    return frozenset(list(seen)[:count])


def open_keys(survey: Survey, runs: Iterable[str]) -> frozenset[str]:
    """Return the keys of the work that these runs began and that nothing has committed: it may be resumed."""
    began = set(runs)
    begun_keys = {
        survey.key_of(line) for line in survey.ledger.lines if line.event == Event.INTENT and line.run_id in began
    }
    done = {record.key for record in survey.committed.values()}
    return frozenset(key for key in begun_keys if key is not None and key not in done)


def inputs_of(records: Iterable[ExecutionRecord]) -> frozenset[str]:
    """Return the names of the input folders that records mention in their parameters, and of their copies of code."""
    found: set[str] = set()
    for record in records:
        texts = (value for value in record.parameters.values() if isinstance(value, str))
        found.update(name for text in texts for name in _INPUT.findall(text))
        if own := own_digests(record.code.files):
            found.add(folder_name(own))
    return frozenset(found)


def artifact_folders(paths: RunPaths) -> list[Path]:
    """Return every `artifacts/<node>/<channel>/<execution>`, recorded or not; TFX's own `.system` folders are left out."""
    channels = (channel for node in children(paths.artifacts) for channel in children(node))
    return [execution for channel in channels for execution in children(channel)]


def input_folders(paths: RunPaths) -> list[Path]:
    """Return every folder of copied data or schema files."""
    return children(paths.inputs)


def children(folder: Path) -> list[Path]:
    """Return the entries of a folder by name, hidden files left out; a link to a folder is not entered."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def size(path: Path) -> int:
    """Return the bytes that removing a file or folder would free: what is linked elsewhere too does not count."""
    entries = [path] if path.is_symlink() or not path.is_dir() else path.rglob("*")
    files = (one.lstat() for one in entries if one.is_symlink() or one.is_file())
    return sum(status.st_size for status in files if status.st_nlink == 1)


def as_dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Return frozen values as JSON objects."""
    return [dataclasses.asdict(one) for one in values]
