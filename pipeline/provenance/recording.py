"""The builder of execution records: the same for the local runner, a pod, a rollback and a recovery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import EnvironmentProblem
from components.untrusted import read_object
from pipeline.provenance import records
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import ExecutionRecord, Scalar

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

EXAMPLES: Final = "examples"
MODEL_RUN: Final = "model_run"
"""Channels whose artifacts say more than their bytes."""

DATA_FILE: Final = "data.json"
TRAINING_FILE: Final = "training.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PendingExecution:
    """One execution, before it has run.

    Attributes:
      pipeline: recipe name.
      run_id: the run it belongs to.
      node: node id.
      key: `records.node_key` of it.
      parameters: execution properties as resolved, without an absolute path.
      code: the node's code.
      lock_digest: SHA-256 of the lock file.
      environment: of this process.
      git: state of the project's checkout.
      inputs: {channel: artifacts}.
      extra: what else is to be recorded of it, such as which Beam engine it runs on.
    """

    pipeline: str
    run_id: str
    node: str
    key: str
    parameters: Mapping[str, Scalar]
    code: Code
    lock_digest: str
    environment: records.Environment
    git: GitState
    inputs: Mapping[str, tuple[ArtifactRef, ...]]
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def execution_record(
    work: PendingExecution,
    outputs: Mapping[str, tuple[ArtifactEntry, ...]],
    folders: Mapping[str, Path],
    *,
    started: float,
    seconds: float,
) -> ExecutionRecord:
    """Return the record of an execution that has succeeded.

    Args:
      work: the execution before it ran.
      outputs: {channel: what was made}.
      folders: {channel: where it is now}, which is not always where it will be.
      started: seconds since the epoch.
      seconds: wall time.
    """
    extra = {**work.extra, **_read_extra(folders)}
    return ExecutionRecord(
        pipeline=work.pipeline,
        run_id=work.run_id,
        node=work.node,
        key=work.key,
        parameters=work.parameters,
        code=work.code,
        lock_digest=work.lock_digest,
        # Only Trainers see anything but the CPU.
        environment=dataclasses.replace(work.environment, device=str(extra.get("training", {}).get("device", "cpu"))),
        git=work.git,
        inputs=work.inputs,
        outputs=outputs,
        started=records.utc(started),
        finished=records.utc(started + seconds),
        seconds=round(seconds, 3),
        extra=extra,
    )


def plain(properties: Mapping[str, metadata_store_pb2.Value]) -> dict[str, Any]:
    """Return an artifact's custom properties as JSON values."""
    from google.protobuf import json_format

    kinds = {name: (value, value.WhichOneof("value")) for name, value in properties.items()}
    return {
        name: json_format.MessageToDict(value.struct_value) if kind == "struct_value" else getattr(value, kind)
        for name, (value, kind) in kinds.items()
    }


def _read_extra(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the outputs themselves say: which data was read, how the training went."""
    result: dict[str, Any] = {}
    if EXAMPLES in folders:
        result[records.DATA] = read_object(folders[EXAMPLES] / DATA_FILE, error=EnvironmentProblem)
    if MODEL_RUN in folders:
        result["training"] = _summary(folders[MODEL_RUN] / TRAINING_FILE)
    return result


def _summary(training: Path) -> dict[str, Any]:
    if not training.is_file():
        return {}
    summary = read_object(training, error=EnvironmentProblem)
    return {name: value for name, value in summary.items() if not isinstance(value, (list, dict))}
