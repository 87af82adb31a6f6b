"""The history of a root, run by run: its state, its accuracy, the version and the data, and what changed before it.

It is what commands, pages and evidence show of runs and versions. A `HistoryReader` keeps what it has read: the ledger only
grows and records never change, so that what was read once is not read again.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem, MnistTfxError, shortened
from pipeline.lineage.diff.diff import CAUSES, VersionDiff, causes
from pipeline.lineage.periods import Period, period_of
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance import at_work, ledger, record_store
from pipeline.provenance.accuracy import Accuracy, accuracy_of
from pipeline.provenance.approvals import Approval, Approvals, read_approvals
from pipeline.provenance.choice import part_of
from pipeline.provenance.ledger import Chain, Event
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.provenance.runs import RUNNING, Unrecorded, without_record
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.paths import RunPaths
from pipeline.stages import CLASSIFIER

SERVED, REPLACED, ROLLED_BACK, PRUNED, MISSING = "served", "replaced", "rolled back", "pruned", "missing"
STAGED: Final = "staged"
NOT_PUSHED: Final = "not pushed"
OK: Final = "ok"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionFacts:
    """A version that was pushed, into service or only staged.

    Attributes:
      version: its number.
      sha256: tree digest of its model, by the ledger.
      run_id: the run that made it what it is.
      state: `served`, the one that a server loads; `replaced` by a higher number; `rolled back`, where a rollback replaced
        it; `staged`, waiting for promotion; `pruned`; or `missing`.
      period: when it was the one to load.
      restored: the version whose bytes it serves again; None if it is no rollback.
      approvals: of its bytes, oldest first, whatever became of them.
    """

    version: int
    sha256: str
    run_id: str
    state: str
    period: Period
    restored: int | None = None
    approvals: tuple[Approval, ...] = ()

    @property
    def is_approved(self) -> bool:
        """Whether one of its approvals is valid."""
        return any(one.valid for one in self.approvals)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a run read.

    Attributes:
      digest: Merkle root over its rows, or, before they were ingested, the digest of its first file.
      names: of its files.
    """

    digest: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """One run.

    Attributes:
      run_id: its id.
      recipe: its name; empty where nothing tells.
      state: how it ended, or what became of its version since; `running`, `killed` or `unfinished` without a record.
      started: UTC; empty where nothing tells.
      finished: UTC; None without a record.
      note: what it is doing, or why it did not end well, in one line.
      accuracy: on the test split; None where there was no evaluation.
      version: that it ended with; None if with none.
      data: what it read; None where nothing tells.
      role: its part in a sweep, in words; empty if it was a run of its own.
    """

    run_id: str
    recipe: str
    state: str
    started: str
    finished: str | None = None
    note: str = ""
    accuracy: Accuracy | None = None
    version: VersionFacts | None = None
    data: DataSet | None = None
    role: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self.state == RUNNING


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """All runs and versions of a root.

    Attributes:
      chain: the ledger that tells of them.
      runs: oldest first, those at work last.
      versions: by number.
    """

    chain: Chain
    runs: tuple[RunFacts, ...]
    versions: Mapping[int, VersionFacts]

    def run(self, run_id: str) -> RunFacts | None:
        """Return a run by its whole id."""
        return next((run for run in self.runs if run.run_id == run_id), None)


class HistoryReader:
    """Reads the history of a root, again and again, from any thread.

    Args:
      root: absolute path of the root.
    """

    def __init__(self, root: Path) -> None:
        self._paths = RunPaths(root)
        self._lock = threading.Lock()
        self._read = b""
        self._chain = Chain()
        self._records: dict[str, RunRecord | str] = {}
        self._changes: dict[tuple[str, str], str] = {}

    def read(self) -> History:
        """Return the history as it is now.

        Raises:
          EnvironmentProblem: if the ledger is broken, or cannot be read.
        """
        with self._lock:
            # Before the ledger: a run that ends meanwhile has its line there before it takes its file away.
            working, dead = at_work.at_work(self._paths), at_work.killed(self._paths)
            chain = self._follow_ledger()
            directory, staged = ServingDirectory(self._paths, chain), StagedDirectory(self._paths, chain)
            versions = {one.version: one for one in _versions(directory, staged)}
            ended = [run for line in chain.lines if (run := self._ended(line, versions)) is not None]
            others = [_unrecorded(one) for one in without_record(chain, working, dead)]
            early = [one for one in others if not one.is_running]
            runs = sorted([*ended, *early], key=lambda run: run.started) if early else ended
            return History(chain=chain, runs=(*runs, *(one for one in others if one.is_running)), versions=versions)

    def changes(self, history: History, runs: Iterable[RunFacts]) -> dict[str, str]:
        """Return {run id: what changed since the version before, in a few words} of those runs that can be compared."""
        records = record_store.scan(self._paths.records)
        result = {}
        for run in runs:
            before = _version_before(history, run)
            if before is not None:
                result[run.run_id] = self._change(history.chain, records, before, run)
        return result

    def change(self, history: History, run: RunFacts) -> str:
        """Return what changed since the version before, in a few words; nothing where that cannot be compared."""
        return self.changes(history, [run]).get(run.run_id, "")

    def _change(self, chain: Chain, records: Records, before: RunFacts, after: RunFacts) -> str:
        pair = chain.run_record(before.run_id), chain.run_record(after.run_id)
        if pair[0] is None or pair[1] is None:
            return ""
        if pair not in self._changes:
            try:
                sides = [_recorded(self._paths.root, records, hash_) for hash_ in pair if hash_ is not None]
                self._changes[pair[0], pair[1]] = in_words(causes(*_alike(*sides)))
            except MnistTfxError as err:
                return f"cannot be told: {shortened(err.what)}"  # not kept: what is gone may come back
        return self._changes[pair[0], pair[1]]

    def _follow_ledger(self) -> Chain:
        if not os.path.lexists(self._paths.ledger):
            self._read, self._chain = b"", Chain()
            return self._chain
        data = ledger.ledger_bytes(self._paths.ledger)
        whole = data[: data.rfind(b"\n") + 1]
        if self._read and whole.startswith(self._read):
            new = ledger.parse_ledger(whole[len(self._read) :], after=self._chain.head, where=self._paths.ledger)
            # The same object as long as nothing is new: it keeps what it has worked out of its lines.
            self._chain = Chain((*self._chain.lines, *new.lines)) if new.lines else self._chain
        else:
            self._chain = ledger.parse_ledger(whole, where=self._paths.ledger)
        self._read = whole
        return self._chain

    def _ended(self, line: ledger.Line, versions: Mapping[int, VersionFacts]) -> RunFacts | None:
        if line.event != Event.RUN or line.record is None:
            return None
        found = self._run_record(line.record)
        if isinstance(found, RunRecord):
            return _facts(found, versions)
        return RunFacts(run_id=line.run_id, recipe="", state="unreadable", started=line.time, note=found)

    def _run_record(self, hash_: str) -> RunRecord | str:
        """Return a run's record, or in one line why it cannot be read."""
        if hash_ not in self._records:
            try:
                found = record_store.read(self._paths.records, hash_)
            except MnistTfxError as err:
                return shortened(err)
            self._records[hash_] = found if isinstance(found, RunRecord) else "its record is of no run"
        return self._records[hash_]


def in_words(change: VersionDiff) -> str:
    """Return what changed in a few words, also where no model came of it."""
    if CLASSIFIER in change.after.executions:
        return change.verdict
    named = [f"{section.kind} ({section.count})" for section in change.sections if section.kind in CAUSES]
    return ", ".join(named) or "nothing that is recorded"


def _versions(directory: ServingDirectory, staged: StagedDirectory) -> Iterator[VersionFacts]:
    approvals, there = read_approvals(directory.ledger), {one.version for one in staged.recorded}
    yield from _in_service(directory, approvals)
    for version in set(directory.ledger.staged) - directory.pushes.keys():
        push = directory.ledger.origin(version)
        if push is not None:
            gone = MISSING if version in staged.stagings else PRUNED
            yield VersionFacts(
                version=version,
                sha256=push.sha256,
                run_id=push.run_id,
                state=STAGED if version in there else gone,
                period=period_of(directory.ledger, version),
                approvals=approvals.of(push.sha256),
            )


def _in_service(directory: ServingDirectory, approvals: Approvals) -> Iterator[VersionFacts]:
    lines = [line for line in directory.ledger.lines if line.event == Event.PUSHED]
    restored = {line.details["version"]: line.details.get("restored") for line in lines}
    rolled_back = {line.details.get("rolled_back_from") for line in lines}
    there = {one.version for one in directory.recorded}
    newest = max(there, default=None)
    for version, push in directory.pushes.items():
        if version in directory.pruned:
            state = PRUNED
        elif version not in there:
            state = MISSING
        elif version == newest:
            state = SERVED
        else:
            state = ROLLED_BACK if version in rolled_back else REPLACED
        origin = restored.get(version)
        yield VersionFacts(
            version=version,
            sha256=push.sha256,
            run_id=push.run_id,
            state=state,
            period=period_of(directory.ledger, version),
            restored=origin if isinstance(origin, int) else None,
            approvals=approvals.of(push.sha256),
        )


def _facts(run: RunRecord, versions: Mapping[int, VersionFacts]) -> RunFacts:
    version = versions.get(run.version or 0)
    state = run.status
    if run.status == OK:
        state = NOT_PUSHED if version is None else version.state
    digest = run.rows_digest or next(iter(run.payload_digests), None)
    names = tuple(source.name for source in run.sources)
    return RunFacts(
        run_id=run.run_id,
        recipe=run.recipe,
        state=state,
        started=run.started,
        finished=run.finished,
        note="" if run.error is None else _in_one_line(run.error),
        accuracy=accuracy_of(run.metrics),
        version=version,
        data=None if digest is None else DataSet(digest=digest, names=names),
        role=part_of(run),
    )


def _in_one_line(error: Mapping[str, Any]) -> str:
    return str(
        MnistTfxError(str(error["what"]), where=error.get("where"), wanted=error.get("wanted"), got=error.get("got"))
    )


def _unrecorded(run: Unrecorded) -> RunFacts:
    said = run.presence
    if said is None:
        return RunFacts(run_id=run.run_id, recipe="", state=run.state, started="")
    return RunFacts(run_id=run.run_id, recipe=said.recipe, state=run.state, started=said.started, note=said.phase)


def _version_before(history: History, run: RunFacts) -> RunFacts | None:
    """Return the nearest earlier run that ended with a version."""
    before = None
    for one in history.runs:
        if one.run_id == run.run_id:
            return before
        before = one if one.version is not None else before
    return None


def _recorded(root: Path, records: Records, hash_: str) -> RecordedVersion:
    run = records[hash_]
    if not isinstance(run, RunRecord):
        raise EnvironmentProblem("its record is of no run", where=hash_)
    found = {node.id: records[node.record] for node in run.nodes if node.record is not None}
    executions = {node: record for node, record in found.items() if isinstance(record, ExecutionRecord)}
    model = executions[CLASSIFIER].outputs.get("model", ()) if CLASSIFIER in executions else ()
    return RecordedVersion(
        root=root,
        version=run.version or 0,
        # Where no model came of a run, it is like no other run's.
        sha256=model[0].sha256 if model else run.run_id,
        run_id=run.run_id,
        executions=executions,
        metrics=run.metrics,
    )


def _alike(before: RecordedVersion, after: RecordedVersion) -> tuple[RecordedVersion, RecordedVersion]:
    """Return both, of the earlier one only as much as the later one came to: that it stopped is no change."""
    if CLASSIFIER in after.executions:
        return before, after
    executions = {node: record for node, record in before.executions.items() if node in after.executions}
    return dataclasses.replace(before, executions=executions), after
