"""Audit of the version that a run pushed, on a local copy of its bucket."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from components.errors import BadInput, EnvironmentProblem
from pipeline.audit.audit import AuditOptions, audit_version
from pipeline.audit.findings import Audit
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.cluster_runs import SUCCEEDED, ClusterRun
from pipeline.kubeflow.client.connection import Connection
from pipeline.kubeflow.gather import gather
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.paths import RunPaths


def succeeded(connection: Connection, wanted: str) -> ClusterRun:
    """Return the run with this id or name, once it has succeeded.

    Raises:
      BadInput: if there is none, or several have the name.
      EnvironmentProblem: if it goes on or ended otherwise.
      MnistTfxError: as `Connection.call`.
    """
    run = cluster_runs.find(connection, wanted)
    if run.state != SUCCEEDED:
        hint = run.error if run.is_finished else "copy and audit what it pushed when it is over"
        raise EnvironmentProblem(
            "nothing to audit", where=f"run {run.name}", wanted=SUCCEEDED, got=run.state, hint=hint
        )
    return run


def audit_run(folder: Path, run_id: str, options: AuditOptions, say: Callable[[str], None] = lambda _: None) -> Audit:
    """Make the copy a root that knows the run, and audits what the run pushed.

    The version is the one in the record of the run's push, and has to be what that push left: the copy of a bucket can
    say anything.

    Args:
      folder: holds what lies below the pipeline root, and the serving volume as `serving`.
      run_id: of the run.
      options: how to audit.
      say: is told which other runs were gathered along, and which lower versions no run here has pushed.

    Raises:
      BadInput: if the run left nothing there, or pushed nothing.
      MnistTfxError: as `gather_run` and `audit_version`.
    """
    if not folder.is_dir():
        raise BadInput("no such folder", where=folder, wanted="a local copy of everything below the pipeline root")
    record = gather.gather_run(RunPaths(folder), run_id, say)
    if record.version is None:
        raise BadInput(
            "the run pushed no version", where=run_id, hint="without new data, or after a refusal, none does"
        )
    elsewhere = ServingDirectory.of(RunPaths(folder)).pushed_elsewhere
    for other in elsewhere:
        if other.served.version < record.version:
            say(str(other))
    own = dataclasses.replace(options, pusher=gather.pusher_of(record))
    return audit_version(folder, record.version, own)
