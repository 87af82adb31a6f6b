"""Entries of ML Metadata for a record: types, execution, artifacts and events, under the names that TFX gives them.

TFX names a type after the class of a component or an artifact. Nothing here imports those classes, which bring TFX
along; an end-to-end test compares the names with a store that TFX has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.metadata.types import SPLIT_TYPES, execution_type_name, json_list, split_names
from pipeline.provenance.artifacts import ROOT_MARK, ArtifactEntry, ArtifactRef
from pipeline.provenance.records import ExecutionRecord
from pipeline.stages import STAGES

ARTIFACT_BASES: Final[Mapping[str, str]] = {
    "Examples": "DATASET",
    "ExampleStatistics": "STATISTICS",
    "Model": "MODEL",
    "PushedModel": "MODEL",
}


def execution_type(node: str, parameters: Mapping[str, Any]) -> pb.ExecutionType:
    """Return the type of a node's executions; a node of another release goes by its id."""
    base = STAGES[node].work if node in STAGES else None
    message = pb.ExecutionType(name=execution_type_name(node, parameters) or node)
    if base is not None:
        message.base_type = pb.ExecutionType.SystemDefinedBaseType.Value(base)
    return message


def artifact_type(name: str) -> pb.ArtifactType:
    """Return the artifact type that TFX registers under a name."""
    message = pb.ArtifactType(name=name)
    for key, kind in SPLIT_TYPES.get(name, {}).items():
        message.properties[key] = pb.PropertyType.Value(kind)
    if name in ARTIFACT_BASES:
        message.base_type = pb.ArtifactType.SystemDefinedBaseType.Value(ARTIFACT_BASES[name])
    return message


def execution(type_id: int, state: int, parameters: Mapping[str, Any], root: Path) -> pb.Execution:
    """Return an execution with its properties, as TFX stores them."""
    message = pb.Execution(type_id=type_id, last_known_state=state)
    set_properties(message.custom_properties, parameters, root)
    return message


def artifact(type_id: int, entry: ArtifactEntry, record_hash: str, record: ExecutionRecord, root: Path) -> pb.Artifact:
    """Return an artifact as it was published."""
    message = pb.Artifact(type_id=type_id, uri=str(root / entry.path), state=pb.Artifact.LIVE)
    published = {"is_external": 0, "tfx_version": record.environment.packages.get("tfx", "")}
    ours = {"sha256": entry.sha256, "record": record_hash}
    set_properties(message.custom_properties, {**published, **entry.properties, **ours}, root)
    names = split_names(entry)
    if entry.type in SPLIT_TYPES and names:
        message.properties["split_names"].string_value = json_list(names)
        if entry.type != "Examples":  # there, TFX puts the span among the custom properties
            message.properties["span"].int_value = 0
    return message


def unrecorded_artifact(type_id: int, ref: ArtifactRef, root: Path) -> pb.Artifact:
    """Return an artifact that an execution read, but none on record made."""
    message = pb.Artifact(type_id=type_id, uri=str(root / ref.path), state=pb.Artifact.LIVE)
    set_properties(message.custom_properties, {"sha256": ref.sha256}, root)
    return message


def event(
    kind: int, channel: str, index: int, *, artifact_id: int | None = None, execution_id: int | None = None
) -> pb.Event:
    """Return that an execution read or made an artifact.

    Args:
      kind: Event.INPUT or Event.OUTPUT.
      channel: of the node.
      index: of the artifact in it.
      artifact_id: None where `put_execution` gets the artifact along with the event.
      execution_id: the same for the execution.
    """
    message = pb.Event(type=kind, artifact_id=artifact_id, execution_id=execution_id)
    message.path.steps.add().key = channel
    message.path.steps.add().index = index
    return message


def set_properties(target: Any, values: Mapping[str, Any], root: Path) -> None:
    """Fill a property map from recorded JSON values, the root's path in place of its mark."""
    for name, value in values.items():
        _set(target[name], with_root(value, root))


def with_root(value: Any, root: Path) -> Any:
    """Return JSON values with `ROOT_MARK` replaced by the root's path; the inverse of `artifacts.without_root`."""
    if isinstance(value, str):
        return value.replace(ROOT_MARK, str(root))
    if isinstance(value, Mapping):
        return {name: with_root(inner, root) for name, inner in value.items()}
    return [with_root(inner, root) for inner in value] if isinstance(value, (list, tuple)) else value


def _set(value: pb.Value, plain: Any) -> None:
    if isinstance(plain, Mapping):
        json_format.ParseDict(dict(plain), value.struct_value)
    elif isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, int):
        value.int_value = plain
    elif isinstance(plain, float):
        value.double_value = plain
    else:
        value.string_value = str(plain)
