"""What the runner asks of ML Metadata beyond the Launcher: reuse an execution, settle dead ones, follow a moved root."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import artifact_utils

from components.errors import ExitCode, MnistTfxError
from pipeline.metadata.address import Address, SqliteFile
from pipeline.metadata.connection import Connection, run_context
from pipeline.process.lean_imports import SETUPTOOLS, without
from pipeline.provenance.ledger import Chain, Event
from pipeline.provenance.record_store import Records
from pipeline.provenance.runs import run_record
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER

Execution = metadata_store_pb2.Execution


def reuse(
    connection: Connection,
    node: pipeline_pb2.PipelineNode,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[str]],
) -> bool:
    """Publish a cached execution of `node` that read and made the artifacts at the given URIs.

    TFX's own search for the inputs is left out: it reads every execution of the pipeline that the store knows of, so that
    a run with nothing to do takes a second longer after a hundred others. What it would find is known.

    Args:
      connection: to the store.
      node: of the compiled pipeline.
      parameters: its execution properties.
      inputs: {channel: URIs of what the nodes before it made, or had cached, in this run}.
      outputs: {channel: URIs}.

    Returns:
      False, with nothing written, if the store does not know one of them.
    """
    with connection as handle, without(SETUPTOOLS):
        read, made = (
            {channel: _live_artifacts(handle, uris) for channel, uris in side.items()} for side in (inputs, outputs)
        )
        wanted = [*inputs.values(), *outputs.values()]
        if any(len(found) != len(uris) for found, uris in zip([*read.values(), *made.values()], wanted, strict=True)):
            return False
        contexts = context_lib.prepare_contexts(metadata_handle=handle, node_contexts=node.contexts)
        # What TFX's driver registers as running and then publishes as cached, in one transaction: half the waiting for
        # the disk, and nothing is left running by a command that is killed in between. Named, as the driver does, so that
        # a request that is sent twice makes one execution.
        execution = execution_lib.prepare_execution(
            handle, node.node_info.type, Execution.CACHED, dict(parameters), execution_name=str(uuid.uuid4())
        )
        execution_lib.put_executions(
            handle, [execution], contexts, input_artifacts_maps=[read], output_artifacts_maps=[made]
        )
    return True


def _live_artifacts(handle: metadata.Metadata, uris: Sequence[str]) -> list[Any]:
    result = []
    for uri in uris:
        live = [a for a in handle.store.get_artifacts_by_uri(uri) if a.state == metadata_store_pb2.Artifact.LIVE]
        if live:
            [artifact_type] = handle.store.get_artifact_types_by_id([live[-1].type_id])
            result.append(artifact_utils.deserialize_artifact(artifact_type, live[-1]))
    return result


def open_runs(chain: Chain, logs: Path, records: Records) -> tuple[str, ...]:
    """Return the runs of a root that may have left executions open, newest first, then those that have only a log.

    A run settles those before it, and then writes its first intent: so all before the last one with an intent are
    settled. One that had all of it cached writes none, and has settled them too where it ended well. Runs that were killed
    before they got into the ledger have their log. A push outside a run settles nothing.

    Args:
      chain: the ledger.
      logs: folder of the runs' logs.
      records: of the root.
    """
    newest_first = dict.fromkeys(line.run_id for line in reversed(chain.lines))
    intended = {line.run_id for line in chain.lines if line.event == Event.INTENT and line.node != PUSHER}
    logged = {path.stem for path in logs.glob("*.log")}
    settled = (
        number
        for number, run in enumerate(newest_first, 1)
        if run in intended or (run in logged and _ended_well(chain, records, run))
    )
    return (*itertools.islice(newest_first, next(settled, None)), *sorted(logged - newest_first.keys()))


def _ended_well(chain: Chain, records: Records, run_id: str) -> bool:
    """Return whether a run of this machine came to its end; of a sweep's, another may have been at work beside it."""
    try:
        record = run_record(chain, records, run_id)
    except MnistTfxError:
        return False  # the audit says what is wrong with it
    return record is not None and record.status == ExitCode.OK.status and record.sweep is None


def fail_running(connection: Connection, runs: Iterable[str]) -> int:
    """Mark the executions of `runs` that are still RUNNING as failed and return their number.

    Only the holder of the root's lock may call it: then whoever ran them is gone. Roots may share a store, and runs of
    one recipe share their context of type pipeline, so that only its runs tell which executions are a root's.
    """
    active = (Execution.NEW, Execution.RUNNING)
    with connection as handle:
        contexts = [run_context(handle.store, run) for run in runs]
        executions = (e for c in contexts if c is not None for e in handle.store.get_executions_by_context(c.id))
        dead = [execution for execution in executions if execution.last_known_state in active]
        for execution in dead:
            execution.last_known_state = Execution.FAILED
        if dead:
            handle.store.put_executions(dead)
    return len(dead)


def relocate(connection: Connection, old: Path, new: Path) -> int:
    """Rewrite artifact URIs below `old` to `new` after a root was moved, or copied with its store.

    Of a copy that shares its store with the root it was made from, nothing is rewritten: the URIs are that root's.

    Returns:
      The number of artifacts.
    """
    if _is_shared(connection.address, new) and RunPaths(old).identity.exists():
        return 0
    prefix = f"{old}/"
    with connection as handle:
        moved = [a for a in handle.store.get_artifacts() if a.uri.startswith(prefix)]
        for artifact in moved:
            artifact.uri = f"{new}/{artifact.uri[len(prefix) :]}"
        if moved:
            handle.store.put_artifacts(moved)
    return len(moved)


def _is_shared(address: Address, root: Path) -> bool:
    return not (isinstance(address, SqliteFile) and address.path.is_relative_to(root))
