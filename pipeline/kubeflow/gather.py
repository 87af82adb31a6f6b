"""What the tasks of a run handed on -> an ordinary root: records, copies of data and schema, ledger lines.

A folder that holds the pipeline root's objects, with the serving volume as `serving`, has artifacts and versions, but
its records lie in the tasks' `lineage` artifacts, since pods share no folder and no ledger. Gathered, every command of
`mnist-tfx lineage` works on it. Records and copies are taken by their digests alone: where they were found does not
matter, and nothing is believed that does not hash to its own name. The ledger's lines are written now, in an order that
the records allow: from here on it is a chain like any other.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput
from pipeline import root, verdicts
from pipeline.config import CODE
from pipeline.kubeflow import names
from pipeline.lineage import chain, record_files, records
from pipeline.lineage.graph import closure
from pipeline.lineage.ledger import Ledger
from pipeline.lineage.pushes import note_push
from pipeline.lineage.records import DataSource, ExecutionRecord, NodeOutcome, RunRecord
from pipeline.paths import RunPaths

RUN_FILE: Final = "run.json"
"""In the `lineage` of the data's driver: the resolved recipe, and the data files as they were given."""


Behind = Mapping[str, ExecutionRecord]


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
    """

    run_id: str
    pipeline: str
    status: str
    error: Mapping[str, Any] | None
    nodes: tuple[NodeOutcome, ...]
    lineage: Mapping[str, Path]
    started: float
    finished: float


def gather(paths: RunPaths, run: Gathered) -> RunRecord:
    """Makes the folder a root that knows the run; what it knows already stays as it is.

    Args:
      paths: of the folder that holds the pipeline root's objects.
      run: the run.

    Raises:
      BadInput: if another pipeline lives there.
      RecordChanged: if a record is not what its name says.
      EnvironmentProblem: if something cannot be read or written.
    """
    with root.locked(paths, lambda _: None):
        told = _told(run.lineage)
        identity = _identity(run.pipeline, told[names.RECIPE])
        root.check_identity(paths, identity)
        heads = [known for folder in run.lineage.values() for known in _keep(paths, folder)]
        behind = closure(record_files.scan(paths.records), dict.fromkeys(heads))
        ledger = Ledger.open(paths.ledger)
        _append(ledger, behind)
        record = _run_record(paths, run, behind, told)
        known = record_files.write(paths.records, record)
        if not any(line.event == chain.RUN and line.run_id == run.run_id for line in ledger.chain.lines):
            ledger.run(run_id=run.run_id, record=known)
        root.claim(paths, identity)
    return record


def gather_run(paths: RunPaths, run_id: str) -> RunRecord:
    """Gathers a run from a copy of the bucket, by the folders that it left there.

    Raises:
      BadInput: if the run left nothing there; otherwise as `gather`.
    """
    lineage = dict(_folders(paths.root, run_id))
    if not lineage:
        raise BadInput(
            "nothing of this run is here",
            where=paths.root,
            wanted=f"<pipeline>/{run_id}/<task>/.../{names.LINEAGE}",
            hint="copy everything below the pipeline root to this folder",
        )
    found = [r for folder in lineage.values() for r in _executions(folder).values()]
    times = [record.started for record in found] + [record.finished for record in found]
    pushed = any(record.node == "Pusher" and record.run_id == run_id for record in found)
    nodes = {record.node: _outcome(record, run_id) for record in found}
    return gather(
        paths,
        Gathered(
            run_id=run_id,
            pipeline=found[0].pipeline if found else "",
            status="ok" if pushed else "failed",
            error=None if pushed else {"kind": "Unknown", "what": "the run left no push"},
            nodes=tuple(nodes.values()),
            lineage=lineage,
            started=records.timestamp(min(times)) if times else 0.0,
            finished=records.timestamp(max(times)) if times else 0.0,
        ),
    )


def _folders(place: Path, run_id: str) -> Iterator[tuple[str, Path]]:
    """Yields (task, lineage folder): `<pipeline>/<run>/<task>/<salt>/` on KFP, `<number>/<job>/<task>_<id>/` on Vertex AI."""
    for run in sorted(place.glob(f"*/{_literal(run_id)}")):
        for folder in sorted({*run.glob(f"*/{names.LINEAGE}"), *run.glob(f"*/*/{names.LINEAGE}")}):
            task = folder.relative_to(run).parts[0]
            yield task.partition("_")[0], folder


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _outcome(record: ExecutionRecord, run_id: str) -> NodeOutcome:
    executed = record.run_id == run_id
    why = "executed in this run" if executed else f"unchanged since run {record.run_id}"
    state = "executed" if executed else "cached"
    return NodeOutcome(id=record.node, state=state, seconds=record.seconds if executed else 0.0, why=why, record=None)


def _executions(folder: Path) -> Behind:
    found = record_files.scan(RunPaths(folder).records)
    return {known: record for known, record in found.items() if isinstance(record, ExecutionRecord)}


def _keep(paths: RunPaths, folder: Path) -> list[str]:
    """Copies what one task handed on, and returns the hashes of the records."""
    kept = [record_files.write(paths.records, record) for record in _executions(folder).values()]
    copies = RunPaths(folder).inputs
    for copy in sorted(copies.iterdir()) if copies.is_dir() else ():
        _copy(copy, paths.inputs / copy.name)
    return kept


def _copy(source: Path, target: Path) -> None:
    """Copies a folder that goes by its content's digest; what is there already is left to the audit."""
    if target.exists() or not source.is_dir():
        return
    stage = target.with_name(f".stage-{uuid.uuid4().hex}")
    try:
        shutil.copytree(source, stage, symlinks=True)
        stage.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _append(ledger: Ledger, behind: Behind) -> None:
    known = set(ledger.chain.order)
    for hash_, record in behind.items():
        if hash_ in known:
            continue
        intent = ledger.intent(node=record.node, run_id=record.run_id, key=record.key)
        note_push(record, ledger)
        ledger.commit(intent, record=hash_)


def _run_record(paths: RunPaths, run: Gathered, behind: Behind, told: Mapping[str, Any]) -> RunRecord:
    hashes = {record.node: hash_ for hash_, record in behind.items()}
    done = {record.node: record for record in behind.values()}
    finished = {node.id for node in run.nodes if node.state in ("executed", "cached")} & done.keys()
    # Importer and driver are Kubeflow's tasks, not nodes of the pipeline: they leave no record.
    nodes = [n for n in run.nodes if n.id in CODE]
    return RunRecord(
        run_id=run.run_id,
        recipe=run.pipeline,
        settings=told[names.RECIPE],
        status=run.status,
        error=run.error,
        nodes=tuple(dataclasses.replace(n, record=hashes[n.id] if n.id in finished else None) for n in nodes),
        sources=tuple(DataSource(**source) for source in told["sources"]),
        started=records.utc(run.started),
        finished=records.utc(run.finished),
        **verdicts.summary(paths.root, {node: done[node] for node in finished}),
    )


def _told(lineage: Mapping[str, Path]) -> dict[str, Any]:
    """Returns what the data's driver said of the run: the resolved recipe, and the data files as they were given."""
    folder = lineage.get(names.DRIVER)
    file = None if folder is None else folder / RUN_FILE
    if file is None or not file.is_file():
        return {names.RECIPE: {}, "sources": []}
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def _identity(pipeline: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    data = recipe.get("data", {})
    signature = {name: data.get(name) for name in ("shape", "pixel_max", "label_count")}
    return {"pipeline": pipeline, "signature": signature}
