"""Gathering of a run's records into an ordinary root: records, copies of data and schema, ledger lines.

A folder that holds the pipeline root's objects, with the serving volume as `serving`, has artifacts and versions, but
its records lie in the tasks' `lineage` artifacts, since pods share no folder and no ledger. Gathered, every command of
`mnist-tfx lineage` works on it. Records and copies are taken by their digests alone: where they were found does not
matter, and nothing is believed that does not hash to its own name. The ledger's lines are written now, in an order that
the records allow: from here on it is a chain like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, EnvironmentProblem
from components.untrusted import read_object
from pipeline.kubeflow import names
from pipeline.kubeflow.gather import copies, mirror
from pipeline.kubeflow.gather.mirror import Known, Mirrored
from pipeline.provenance import artifacts, attempts, record_store, records, results
from pipeline.provenance.ancestry import closure
from pipeline.provenance.ledger import Chain, Event, Line, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.pushes import note_push, version_of
from pipeline.provenance.records import DataSource, ExecutionRecord, NodeOutcome, RunRecord
from pipeline.root.identity import check_identity, claim
from pipeline.root.lock import locked
from pipeline.root.paths import RunPaths
from pipeline.stages import EVALUATOR, PUSHER, STAGES

VERIFIED: Final = (EVALUATOR, PUSHER)
"""Nodes whose artifacts a run's record is read from."""

SIGNATURE: Final = ("shape", "pixel_max", "label_count")
"""Settings of the data that a root's identity holds, see `pipeline.root.lock`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gathered:
    """One run, as whoever had it executed saw it.

    Attributes:
      run_id: its id.
      pipeline: recipe name.
      status: `ok`, `failed`, `refused` or `interrupted`.
      error: what stopped it.
      nodes: what became of each, in pipeline order; their records are filled in here.
      lineage: {task: local folder of its lineage artifact}.
      started: seconds since the epoch.
      finished: the same.
      ended: whether it is known to be over. A run that may still push is left without a record: a run has one.
    """

    run_id: str
    pipeline: str
    status: str
    error: Mapping[str, Any] | None
    nodes: tuple[NodeOutcome, ...]
    lineage: Mapping[str, Path]
    started: float
    finished: float
    ended: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class _DriverOutput:
    """What the data's driver said of a run: the resolved recipe, the data files as they were given, the input signature."""

    recipe: Mapping[str, Any]
    sources: tuple[DataSource, ...]
    signature: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _CheckedRun:
    """A run of which everything was read that is going to be written."""

    run: Gathered
    behind: Known
    record: RunRecord
    identity: Mapping[str, Any]


def gather(paths: RunPaths, run: Gathered, say: Callable[[str], None] = lambda _: None) -> RunRecord:
    """Make the folder a root that knows the run; what it knows already stays as it is.

    Runs that pushed lower versions come first: what a version was compared with is asked of the lines before its own.
    So do those that pushed the same version: what is served carries the statement of the first of them.

    Args:
      paths: of the folder that holds the pipeline root's objects.
      run: the run.
      say: is told which other runs were gathered along.

    Raises:
      BadInput: if another pipeline lives there.
      RecordChanged: if a record is not what its name says.
      EnvironmentProblem: if something is missing, was changed, or cannot be read or written.
    """
    with locked(paths, lambda _: None):
        wanted = _check(paths, run)
        for earlier in _missing_ancestors(paths, wanted, say):
            _write_run(paths, _check(paths, _gathered(earlier)))
            say(f"gathered along: run {earlier.run_id}, which pushed {_which(earlier, wanted)} version")
        _write_run(paths, wanted)
    return wanted.record


def gather_run(paths: RunPaths, run_id: str, say: Callable[[str], None] = lambda _: None) -> RunRecord:
    """Gather a run from a copy of the bucket, by the folders that it left there.

    Raises:
      BadInput: if the run left nothing there, or executed nothing; otherwise as `gather`.
    """
    return gather(paths, _gathered(mirror.read(paths.root, run_id)), say)


def pusher_of(record: RunRecord) -> str | None:
    """Return the hash of the record of a run's own push; None if it has none."""
    return next((node.record for node in record.nodes if node.id == PUSHER and node.state == "executed"), None)


def _gathered(run: Mirrored) -> Gathered:
    executions = run.records.values()
    times = [record.started for record in executions] + [record.finished for record in executions]
    pushed = run.pusher is not None
    counting = attempts.by_node(run.records, run.run_id)
    nodes = {node: _outcome(run.records[hash_], run.run_id) for node, hash_ in counting.items()}
    return Gathered(
        run_id=run.run_id,
        pipeline=next(iter(executions)).pipeline,
        status="ok" if pushed else "failed",
        error=None if pushed else {"kind": "Unknown", "what": "the run left no push"},
        nodes=tuple(nodes[node] for node in STAGES if node in nodes),
        lineage=run.lineage,
        started=records.timestamp(min(times)),
        finished=records.timestamp(max(times)),
        ended=pushed,
    )


def _which(earlier: Mirrored, wanted: _CheckedRun) -> str:
    version = None if earlier.pusher is None else version_of(earlier.pusher)
    return "the same" if version == wanted.record.version else "a lower"


def _outcome(record: ExecutionRecord, run_id: str) -> NodeOutcome:
    executed = record.run_id == run_id
    why = "executed in this run" if executed else f"unchanged since run {record.run_id}"
    state = "executed" if executed else "cached"
    return NodeOutcome(id=record.node, state=state, seconds=record.seconds if executed else 0.0, why=why, record=None)


def _missing_ancestors(paths: RunPaths, run: _CheckedRun, say: Callable[[str], None]) -> tuple[Mirrored, ...]:
    pusher = run.behind.get(str(pusher_of(run.record)))
    if pusher is None:
        return ()
    recorded_runs = {line.run_id for line in read_ledger(paths.ledger).of(Event.RUN)}
    return mirror.pushed_before(paths.root, pusher, recorded_runs, say)


def _check(paths: RunPaths, run: Gathered) -> _CheckedRun:
    """Read everything before anything is written: half a run in a root could not be taken out again."""
    driver = _read_driver_output(run)
    handed_on = {hash_: r for folder in run.lineage.values() for hash_, r in mirror.executions(folder).items()}
    ancestors = closure(handed_on, handed_on)
    record = _run_record(paths, run, ancestors, driver)
    _require_the_same(paths, record)
    identity = {"pipeline": run.pipeline, "signature": driver.signature}
    check_identity(paths, identity)
    return _CheckedRun(run=run, behind=ancestors, record=record, identity=identity)


def _write_run(paths: RunPaths, run: _CheckedRun) -> None:
    for record in run.behind.values():
        record_store.write(paths.records, record)
    copies.restore_inputs(paths, run.behind.values(), run.run.lineage)
    ledger = Ledger.open(paths.ledger)
    _append(ledger, run.behind)
    if run.run.ended and _line_of(ledger.chain, run.record.run_id) is None:
        left = _left_behind(paths, run.record)
        hash_ = left if left is not None else record_store.write(paths.records, run.record)
        ledger.run(run_id=run.record.run_id, record=hash_)
    claim(paths, run.identity)


def _append(ledger: Ledger, ancestors: Known) -> None:
    committed, repeated = set(ledger.chain.order), attempts.superseded(ancestors)
    for hash_, record in ancestors.items():
        if hash_ in committed:
            continue
        intent = ledger.intent(node=record.node, run_id=record.run_id, key=record.key)
        if hash_ not in repeated:  # a run pushes once, and its line stands beside the record that counts
            note_push(record, ledger)
        ledger.commit(intent, record=hash_)


def _line_of(lines: Chain, run_id: str) -> Line | None:
    return next((line for line in lines.of(Event.RUN) if line.run_id == run_id), None)


def _left_behind(paths: RunPaths, record: RunRecord) -> str | None:
    """Return the record that a crash before its line left: a second one of the same run would never get a line."""
    runs = ((h, r) for h, r in record_store.scan(paths.records).items() if isinstance(r, RunRecord))
    return next((h for h, r in runs if (r.run_id, r.version) == (record.run_id, record.version)), None)


def _require_the_same(paths: RunPaths, record: RunRecord) -> None:
    """Check that a root which knows the run already knows the same: descriptions may differ, the version may not."""
    line = _line_of(read_ledger(paths.ledger), record.run_id)
    if line is None:
        return
    earlier = record_store.read(paths.records, str(line.record))
    version = earlier.version if isinstance(earlier, RunRecord) else None
    if version != record.version:
        raise EnvironmentProblem(
            "the root tells another end of this run",
            where=f"{paths.ledger} line {line.sequence}",
            wanted=f"version {record.version}",
            got=f"version {version}",
            hint="gather it into a fresh copy",
        )


def _run_record(paths: RunPaths, run: Gathered, ancestors: Known, driver: _DriverOutput) -> RunRecord:
    hashes = attempts.by_node(ancestors, run.run_id)
    done = {node: ancestors[hash_] for node, hash_ in hashes.items()}
    finished = {node.id for node in run.nodes if node.state in ("executed", "cached")} & done.keys()
    # Importer and driver are Kubeflow's tasks, not nodes of the pipeline: they leave no record.
    nodes = [n for n in run.nodes if n.id in STAGES]
    _require_whole(paths, [done[node] for node in VERIFIED if node in finished], ancestors)
    try:
        return results.run_record(
            paths.root,
            {node: done[node] for node in finished},
            run_id=run.run_id,
            recipe=run.pipeline,
            settings=driver.recipe,
            status=run.status,
            error=run.error,
            nodes=[dataclasses.replace(n, record=hashes[n.id] if n.id in finished else None) for n in nodes],
            sources=driver.sources,
            started=records.utc(run.started),
            finished=records.utc(run.finished),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as err:
        what, hint = "the run's results cannot be read", "were they made by this release?"
        raise EnvironmentProblem(what, where=paths.root, got=f"{type(err).__name__} {err}", hint=hint) from err


def _require_whole(paths: RunPaths, done: Iterable[ExecutionRecord], ancestors: Known) -> None:
    for record in done:
        for entry in (entry for entries in record.outputs.values() for entry in entries):
            if changed := artifacts.difference(paths.root, entry):
                left = attempts.left_over(record, entry.path, ancestors).keys()
                if not (changed.missing or changed.changed) and left >= set(changed.extra):
                    continue  # of an attempt that was repeated; the audit compares the bytes
                only_missing = not (changed.extra or changed.changed)
                what = "the copy is incomplete" if only_missing else "the copy is not what was recorded"
                raise EnvironmentProblem(what, where=paths.root / entry.path, got=changed, hint=copies.HINT)


def _read_driver_output(run: Gathered) -> _DriverOutput:
    folder = run.lineage.get(names.DRIVER)
    if folder is None:
        wanted = f"what {names.DRIVER} left"
        raise EnvironmentProblem("the copy is incomplete", where=f"run {run.run_id}", wanted=wanted, hint=copies.HINT)
    file = folder / names.RUN_FILE
    try:
        fields = read_object(file)
        recipe = fields[names.RECIPE]
        sources = tuple(DataSource(**source) for source in fields["sources"])
        return _DriverOutput(
            recipe=recipe, sources=sources, signature={name: recipe["data"][name] for name in SIGNATURE}
        )
    except (BadInput, KeyError, TypeError, AttributeError) as err:
        raise EnvironmentProblem(
            "the copy is incomplete", where=file, wanted="what the driver wrote", got=err, hint=copies.HINT
        ) from err
