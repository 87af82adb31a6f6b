"""What the runner asks of ML Metadata beyond the Launcher: reuse an execution, settle dead ones, follow a moved root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import execution_publish_utils, inputs_utils
from tfx.orchestration.portable.mlmd import context_lib
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import artifact_utils

from components.errors import EnvironmentProblem

Execution = metadata_store_pb2.Execution

RECORD_PROPERTY: Final = "record"
"""Custom property of every output artifact: the hash of the record of the execution that made it."""

DIGEST_PROPERTY: Final = "sha256"
"""Custom property of every output artifact: its digest."""


def connect(path: Path, *, ledger_is_empty: bool) -> metadata.Metadata:
    """Returns a connection to the SQLite store at `path`, which is created for a new root.

    Raises:
      EnvironmentProblem: if the ledger knows of executions and the store is missing, empty or no store: MLMD would
        silently start a new one.
    """
    there = path.is_file() and path.stat().st_size > 0
    if not there and not ledger_is_empty:
        raise EnvironmentProblem(
            "the metadata store is missing or empty, but the ledger is not",
            where=path,
            hint="put the file back from a copy, or use another --root",
        )
    if there and path.open("rb").read(16) != b"SQLite format 3\0":
        raise EnvironmentProblem("not an SQLite file", where=path, hint="put the file back from a copy")
    return metadata.Metadata(metadata.sqlite_metadata_connection_config(str(path)))


def reuse(
    connection: metadata.Metadata,
    node: pipeline_pb2.PipelineNode,
    parameters: Mapping[str, Any],
    outputs: Mapping[str, Sequence[str]],
) -> bool:
    """Publishes a cached execution of `node` whose outputs are the artifacts at the given URIs.

    Returns:
      False, with nothing written, if the store does not know one of them.
    """
    with connection as handle:
        artifacts = {channel: _live_artifacts(handle, uris) for channel, uris in outputs.items()}
        if any(len(artifacts[channel]) != len(uris) for channel, uris in outputs.items()):
            return False
        contexts = context_lib.prepare_contexts(metadata_handle=handle, node_contexts=node.contexts)
        [inputs] = inputs_utils.resolve_input_artifacts(pipeline_node=node, metadata_handle=handle)
        execution = execution_publish_utils.register_execution(
            metadata_handle=handle,
            execution_type=node.node_info.type,
            contexts=contexts,
            input_artifacts=inputs,
            exec_properties=dict(parameters),
        )
        execution_publish_utils.publish_cached_executions(
            metadata_handle=handle, contexts=contexts, executions=[execution], output_artifacts_maps=[artifacts]
        )
    return True


def _live_artifacts(handle: metadata.Metadata, uris: Sequence[str]) -> list[Any]:
    found = []
    for uri in uris:
        live = [a for a in handle.store.get_artifacts_by_uri(uri) if a.state == metadata_store_pb2.Artifact.LIVE]
        if live:
            [artifact_type] = handle.store.get_artifact_types_by_id([live[-1].type_id])
            found.append(artifact_utils.deserialize_artifact(artifact_type, live[-1]))
    return found


def is_published(connection: metadata.Metadata, record: str, uris: Sequence[str]) -> bool:
    """Whether the store holds live artifacts at all `uris` that carry the hash of the record that made them."""
    with connection as handle:
        return all(
            any(
                artifact.state == metadata_store_pb2.Artifact.LIVE
                and artifact.custom_properties[RECORD_PROPERTY].string_value == record
                for artifact in handle.store.get_artifacts_by_uri(uri)
            )
            for uri in uris
        )


def fail_running(connection: metadata.Metadata) -> int:
    """Marks every execution that is still RUNNING as failed and returns their number.

    Only the holder of the root's lock may call it: then whoever ran them is gone.
    """
    with connection as handle:
        active = (Execution.NEW, Execution.RUNNING)
        dead = [e for e in handle.store.get_executions() if e.last_known_state in active]
        for execution in dead:
            execution.last_known_state = Execution.FAILED
        if dead:
            handle.store.put_executions(dead)
    return len(dead)


def relocate(connection: metadata.Metadata, old: Path, new: Path) -> int:
    """Rewrites artifact URIs below `old` to `new` after a root was moved or copied; returns their number."""
    prefix = f"{old}/"
    with connection as handle:
        moved = [a for a in handle.store.get_artifacts() if a.uri.startswith(prefix)]
        for artifact in moved:
            artifact.uri = f"{new}/{artifact.uri[len(prefix) :]}"
        if moved:
            handle.store.put_artifacts(moved)
    return len(moved)
