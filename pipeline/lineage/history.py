"""The history of a root, run by run: its state, its accuracy, the version and the data, and what changed before it.

It is what commands, pages and evidence show of runs and versions. A `HistoryReader` keeps what it has read for as long as the
files are the same, so that a root in which nothing happens is not read again, and one that was tampered with is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import MnistTfxError, shortened
from pipeline.lineage.diff.diff import CAUSES, VersionDiff, causes, index_files
from pipeline.lineage.periods import Period, period_of
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance import at_work, ledger, record_store
from pipeline.provenance.accuracy import Accuracy, accuracy_of
from pipeline.provenance.approvals import Approval, Approvals, read_approvals
from pipeline.provenance.choice import part_of
from pipeline.provenance.file_cache import FileCache, seen
from pipeline.provenance.ledger import Chain, Event
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import DataSource, ExecutionRecord, RunRecord
from pipeline.provenance.runs import RUNNING, Unrecorded, of_run, stated_of, without_record
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.paths import RunPaths
from pipeline.stages import CLASSIFIER, INGEST

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
      files: the data files.
      ingested: hash of the record of its ingest; None where there was none.
      classes: how many the recipe declares; None where it does not say.
      source: where the data are from, as the recipe states it; empty where it does not.
      licence: likewise.
    """

    digest: str
    files: tuple[DataSource, ...]
    ingested: str | None = None
    classes: int | None = None
    source: str = ""
    licence: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its files."""
        return tuple(file.name for file in self.files)


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
        self._approvals = Chain(), read_approvals(Chain())
        self._records: FileCache[str, RunRecord] = FileCache()
        self._changes: FileCache[tuple[str, str], str] = FileCache()

    def read(self) -> History:
        """Return the history as it is now.

        Raises:
          EnvironmentProblem: if the ledger is broken, or cannot be read.
        """
        with self._lock:
            # Before the ledger: a run that ends meanwhile has its line there before it takes its file away.
            working, dead = at_work.at_work(self._paths), at_work.killed(self._paths)
            chain = ledger.read_ledger(self._paths.ledger)
            directory, staged = ServingDirectory(self._paths, chain), StagedDirectory(self._paths, chain)
            versions = {one.version: one for one in _versions(directory, staged, self._read_approvals(chain))}
            lines = [line for line in chain.of(Event.RUN) if line.record is not None]
            ended = [self._ended(line, versions) for line in lines]
            others = [_unrecorded(one) for one in without_record(chain, working, dead)]
            early = [one for one in others if not one.is_running]
            runs = sorted([*ended, *early], key=lambda run: run.started) if early else ended
            return History(chain=chain, runs=(*runs, *(one for one in others if one.is_running)), versions=versions)

    def changes(
        self, history: History, runs: Iterable[RunFacts], seconds: float = float("inf")
    ) -> dict[str, str | None]:
        """Return {run id: what changed since the version before, in a few words} of those runs that can be compared.

        Args:
          history: of the root.
          runs: that are asked about.
          seconds: of this thread's computing, after which no other comparison is begun, such as one of a million rows;
            None stands for what it would say. A machine that is busy with something else leaves nothing out.
        """
        records, ends = record_store.scan(self._paths.records), time.thread_time() + seconds
        return {
            run.run_id: self._change(history.chain, records, (before.run_id, run.run_id), ends)
            for run, before in _pairs(history, runs)
        }

    def change(self, run_id: str) -> str:
        """Return what changed in a run since the version before, in a few words; nothing where that cannot be compared.

        Of the earlier runs only those since that version are read, as a root may have hundreds.

        Raises:
          EnvironmentProblem: if the ledger is broken, or cannot be read.
        """
        with self._lock:
            chain = ledger.read_ledger(self._paths.ledger)
            earlier = [*itertools.takewhile(lambda line: line.run_id != run_id, chain.of(Event.RUN))]
            before = next((line.run_id for line in reversed(earlier) if self._has_version(line)), None)
        if before is None:
            return ""
        return self._change(chain, record_store.scan(self._paths.records), (before, run_id), float("inf")) or ""

    def _change(self, chain: Chain, records: Records, sides: tuple[str, str], ends: float) -> str | None:
        before, after = map(chain.run_record, sides)
        if before is None or after is None:
            return ""
        known = self._changes.get((before, after))
        if known is not None:
            return known
        if time.thread_time() > ends:
            return None
        try:
            return self._compare(records, before, after)
        except MnistTfxError as err:
            return f"cannot be told: {shortened(err.what)}"  # not kept: what is gone may come back

    def _compare(self, records: Records, *pair: str) -> str:
        known = [_record_files(self._paths, records, hash_) for hash_ in pair]
        files = seen(path for of_run in known for path in of_run)
        sides = [_recorded(self._paths.root, records, hash_) for hash_ in pair]
        files = {**files, **seen(index_files(*sides))}
        return self._changes.put((pair[0], pair[1]), in_words(causes(*_alike(*sides))), files)

    def _ended(self, line: ledger.Line, versions: Mapping[int, VersionFacts]) -> RunFacts:
        try:
            found = self._run_record(str(line.record))
        except MnistTfxError as err:
            return RunFacts(run_id=line.run_id, recipe="", state="unreadable", started=line.time, note=shortened(err))
        return _facts(found, versions)

    def _has_version(self, line: ledger.Line) -> bool:
        with contextlib.suppress(MnistTfxError):
            return line.record is not None and self._run_record(line.record).version is not None
        return False

    def _run_record(self, hash_: str) -> RunRecord:
        known = self._records.get(hash_)
        if known is not None:
            return known
        file = seen([record_store.file_of(self._paths.records, hash_)])
        return self._records.put(hash_, of_run(record_store.read(self._paths.records, hash_), hash_), file)

    def _read_approvals(self, chain: Chain) -> Approvals:
        # They are of the ledger alone, and each of them costs the check of a signature.
        if self._approvals[0] is not chain:
            self._approvals = chain, read_approvals(chain)
        return self._approvals[1]


def in_words(change: VersionDiff) -> str:
    """Return what changed in a few words, also where no model came of it."""
    if CLASSIFIER in change.after.executions:
        return change.verdict
    named = [f"{section.kind} ({section.count})" for section in change.sections if section.kind in CAUSES]
    return ", ".join(named) or "nothing that is recorded"


def _versions(directory: ServingDirectory, staged: StagedDirectory, approvals: Approvals) -> Iterator[VersionFacts]:
    there = {one.version for one in staged.recorded}
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
    lines = [*directory.ledger.of(Event.PUSHED)]
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
    return RunFacts(
        run_id=run.run_id,
        recipe=run.recipe,
        state=state,
        started=run.started,
        finished=run.finished,
        note="" if run.error is None else _in_one_line(run.error),
        accuracy=accuracy_of(run.metrics),
        version=version,
        data=_data_of(run),
        role=part_of(run),
    )


def _data_of(run: RunRecord) -> DataSet | None:
    digest = run.rows_digest or next(iter(run.payload_digests), None)
    if digest is None:
        return None
    declared = run.settings.get("data")
    classes = declared.get("label_count") if isinstance(declared, Mapping) else None
    return DataSet(
        digest=digest,
        files=run.sources,
        ingested=next((node.record for node in run.nodes if node.id == INGEST), None),
        classes=classes if isinstance(classes, int) else None,
        **stated_of(run),
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


def _pairs(history: History, runs: Iterable[RunFacts]) -> Iterator[tuple[RunFacts, RunFacts]]:
    """Yield each run with the nearest earlier one that ended with a version, where there is one."""
    before: dict[str, RunFacts] = {}
    last = None
    for one in history.runs:
        if last is not None:
            before[one.run_id] = last
        last = one if one.version is not None else last
    yield from ((run, before[run.run_id]) for run in runs if run.run_id in before)


def _record_files(paths: RunPaths, records: Records, hash_: str) -> Iterator[Path]:
    """Yield the files of all records that tell of a run."""
    nodes = (node.record for node in of_run(records[hash_], hash_).nodes if node.record is not None)
    yield from (record_store.file_of(paths.records, one) for one in (hash_, *nodes))


def _recorded(root: Path, records: Records, hash_: str) -> RecordedVersion:
    run = of_run(records[hash_], hash_)
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
