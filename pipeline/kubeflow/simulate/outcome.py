"""Outcome of a simulated run: a root that `mnist-tfx lineage` reads, the audit of what was pushed, the answer's data.

The records come from the tasks' `lineage` artifacts alone, as they would after a run on a cluster.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import MnistTfxError, Refused
from pipeline.audit.findings import Audit
from pipeline.kubeflow import names
from pipeline.kubeflow.document import Document
from pipeline.kubeflow.simulate.buckets import Buckets
from pipeline.kubeflow.simulate.metadata import Execution, MetadataStore
from pipeline.process.signals import Interrupted
from pipeline.provenance.records import NodeOutcome, RunRecord
from pipeline.root.paths import RunPaths
from pipeline.runner.local import process_age
from pipeline.stages import INGEST, PUSHER, TRAINERS

Stopped = MnistTfxError | Interrupted | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """What became of one task.

    Attributes:
      id: its name.
      state: `executed`, `cached`, `failed` or `skipped`.
      seconds: wall time in this run.
      why: what decided the state, in words.
    """

    id: str
    state: str
    seconds: float
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run whose last task has ended.

    Attributes:
      document: what was run.
      target: the platform.
      run_id: of the run.
      started: seconds since the epoch.
      outcomes: of the tasks, in the order of the pipeline.
      lineage: {task: folder of its lineage artifact}.
      error: what stopped it.
    """

    document: Document
    target: str
    run_id: str
    started: float
    outcomes: tuple[TaskOutcome, ...]
    lineage: Mapping[str, Path]
    error: Stopped

    @property
    def status(self) -> str:
        """How it ended, as a run record says it."""
        if self.error is None:
            return "ok"
        if isinstance(self.error, Interrupted):
            return "interrupted"
        return "refused" if isinstance(self.error, Refused) else "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulated run that came to an end of some kind.

    Attributes:
      result: what became of its tasks.
      root: absolute path of the root.
      record: the run's record; None if its data's driver left no lineage.
      audit: of the version that it pushed; None if it pushed none.
      total_s: seconds since the process started.
      report: the page about it; None where there is none.
    """

    result: RunResult
    root: Path
    record: RunRecord | None
    audit: Audit | None
    total_s: float
    report: Path | None = None

    @property
    def error(self) -> Stopped:
        """What stopped it."""
        return self.result.error

    @property
    def log(self) -> Path:
        """What its pods printed."""
        return RunPaths(self.root).log(self.result.run_id)

    @property
    def nothing_to_do(self) -> str | None:
        """Why nothing was executed but the data's driver; None where something was."""
        waited = any(task.id == INGEST and task.state == "skipped" for task in self.result.outcomes)
        return "no new span: the newest served version was made from it" if waited and self.error is None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the data of the answer of `kubeflow simulate`, without the file's digest."""
        shown = [{"id": t.id, "state": t.state, "seconds": t.seconds, "why": t.why} for t in self.result.outcomes]
        train_s = sum(t.seconds for t in self.result.outcomes if t.id in TRAINERS and t.state == "executed")
        return {
            **_results(self.record, self.root),
            "nothing_to_do": self.nothing_to_do,
            "run_id": self.result.run_id,
            "nodes": shown,
            "exports": [],
            "report": None if self.report is None else str(self.report),
            "log": str(self.log),
            "import_s": 0.0,
            "train_s": round(train_s, 3),
            "total_s": round(self.total_s, 3),
            "target": self.result.target,
            "audit": None if self.audit is None else _audit_fields(self.audit),
        }


def conclude(paths: RunPaths, result: RunResult) -> Simulated:
    """Gather a run's records below the root and audits what it pushed."""
    record = audit = None
    try:
        record = _gather(paths, result) if names.DRIVER in result.lineage else None
        pushed = any(task.id == PUSHER and task.state == "executed" for task in result.outcomes)
        if pushed and record is not None and record.version is not None:
            audit = _audit(paths.root, record.version)
    except MnistTfxError as err:
        result = dataclasses.replace(result, error=result.error or err)
    return Simulated(result=result, root=paths.root, record=record, audit=audit, total_s=process_age())


def lineage_folders(done: Mapping[str, Execution], store: MetadataStore, buckets: Buckets) -> dict[str, Path]:
    """Return {task: folder of its lineage artifact}."""
    return {
        task: buckets.local(store.artifact(execution.artifacts[names.LINEAGE]).uri)
        for task, execution in done.items()
        if names.LINEAGE in execution.artifacts
    }


def _gather(paths: RunPaths, result: RunResult) -> RunRecord:
    from pipeline.kubeflow.gather.gather import Gathered, gather

    return gather(
        paths,
        Gathered(
            run_id=result.run_id,
            pipeline=result.document.name,
            nodes=tuple(NodeOutcome(**dataclasses.asdict(task), record=None) for task in result.outcomes),
            lineage=result.lineage,
            error=_error_fields(result.error),
            status=result.status,
            started=result.started,
            finished=time.time(),
        ),
    )


def _error_fields(error: Stopped) -> Mapping[str, Any] | None:
    if isinstance(error, Interrupted):
        return {"kind": "Interrupted", "what": str(error)}
    return None if error is None else error.to_dict()


def _audit(root: Path, version: int) -> Audit:
    from pipeline.audit.audit import audit_version

    return audit_version(root, version)


def _results(record: RunRecord | None, root: Path) -> dict[str, Any]:
    metrics = {} if record is None or record.metrics is None else record.metrics
    served = None if record is None else record.serving_path
    return {
        **{name: getattr(record, name, None) for name in ("recipe", "rows_digest", "blessed", "baseline", "version")},
        "payload_digests": {} if record is None else {one.name: one.payload_digest for one in record.sources},
        "metrics": {key: metrics.get(key) for key in ("accuracy", "loss", "reconstruction_mse", "per_class")},
        "serving_path": None if served is None else str(root / served),
    }


def _audit_fields(audit: Audit) -> dict[str, Any]:
    return {"verdicts": dict(audit.verdicts), "findings": len(audit.findings)}
