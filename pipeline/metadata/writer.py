"""The writer of executions: all of them into an empty ML Metadata store in a few calls, or one more into one in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.metadata import entries
from pipeline.metadata.executions import RecordedExecution
from pipeline.metadata.types import NODE, PIPELINE, PIPELINE_RUN
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef

Inputs = Mapping[str, tuple[ArtifactRef, ...]]

UNKNOWN: Final = "pipeline.lineage.past.Unknown"
"""Type of an execution that left a folder behind and nothing else."""


def write(raw: Any, executions: Sequence[RecordedExecution], collected: frozenset[str], root: Path) -> dict[str, int]:
    """Fill a store and return how much of what it holds.

    Args:
      raw: ml_metadata's store, empty.
      executions: in the order of their numbers.
      collected: paths of artifacts that were removed on purpose.
      root: absolute path of the root.
    """
    numbers = _put_executions(raw, executions, root)
    artifacts = _put_artifacts(raw, executions, collected, root)
    contexts = _put_contexts(raw, executions)
    events = [
        event for one, number in zip(executions, numbers, strict=True) for event in _events(one, number, artifacts)
    ]
    if events:
        raw.put_events(events)
    _put_links(raw, executions, numbers, contexts, events)
    runs = sum(1 for kind, _ in contexts if kind == PIPELINE_RUN)
    return {"runs": runs, "executions": len(numbers), "artifacts": len(artifacts), "events": len(events)}


def _put_executions(raw: Any, executions: Sequence[RecordedExecution], root: Path) -> list[int]:
    types: dict[str, int] = {}
    messages = []
    for one in executions:
        parameters = one.record.parameters if one.record is not None else {}
        kind = pb.ExecutionType(name=UNKNOWN) if one.node is None else entries.execution_type(one.node, parameters)
        if kind.name not in types:
            types[kind.name] = raw.put_execution_type(kind)
        messages.append(entries.execution(types[kind.name], pb.Execution.State.Value(one.state), parameters, root))
    return list(raw.put_executions(messages)) if messages else []


def _put_artifacts(
    raw: Any, executions: Sequence[RecordedExecution], collected: frozenset[str], root: Path
) -> dict[str, int]:
    types: dict[str, int] = {}

    def type_id(name: str) -> int:
        if name not in types:
            types[name] = raw.put_artifact_type(entries.artifact_type(name))
        return types[name]

    messages: dict[str, pb.Artifact] = {}
    for one in executions:
        if one.record is None or one.hash is None:
            continue
        for entry in (entry for channel in one.record.outputs.values() for entry in channel):
            if entry.path not in messages:
                messages[entry.path] = entries.artifact(type_id(entry.type), entry, one.hash, one.record, root)
                if entry.path in collected and not (root / entry.path).exists():
                    messages[entry.path].state = pb.Artifact.DELETED
    for ref in (ref for one in executions if one.record for refs in one.record.inputs.values() for ref in refs):
        if ref.path not in messages:
            messages[ref.path] = entries.unrecorded_artifact(type_id(ref.type), ref, root)
    return dict(zip(messages, raw.put_artifacts(list(messages.values())), strict=True)) if messages else {}


def context_names(one: RecordedExecution) -> list[tuple[str, str]]:
    """Return (type, name) of the contexts that an execution is in."""
    if one.node is None:
        return []
    return [
        (PIPELINE, one.pipeline),
        (PIPELINE_RUN, one.run_id),
        (NODE, f"{one.pipeline}.{one.node}"),
    ]


def _put_contexts(raw: Any, executions: Sequence[RecordedExecution]) -> dict[tuple[str, str], int]:
    wanted = list(dict.fromkeys(name for one in executions for name in context_names(one)))
    if not wanted:
        return {}
    kinds = (PIPELINE, PIPELINE_RUN, NODE)
    types = {kind: raw.put_context_type(pb.ContextType(name=kind)) for kind in kinds}
    ids = raw.put_contexts([pb.Context(type_id=types[kind], name=name) for kind, name in wanted])
    contexts = dict(zip(wanted, ids, strict=True))
    parents = {one.run_id: one.pipeline for one in executions if one.node is not None}
    raw.put_parent_contexts(
        [
            pb.ParentContext(child_id=contexts[PIPELINE_RUN, run], parent_id=contexts[PIPELINE, pipeline])
            for run, pipeline in parents.items()
        ]
    )
    return contexts


def _events(one: RecordedExecution, number: int, artifacts: Mapping[str, int]) -> Iterable[pb.Event]:
    if one.record is None:
        return
    record = one.record
    for kind, channels in ((pb.Event.INPUT, _paths(record.inputs)), (pb.Event.OUTPUT, _paths(record.outputs))):
        for channel, paths in sorted(channels.items()):
            for index, path in enumerate(paths):
                yield entries.event(kind, channel, index, artifact_id=artifacts[path], execution_id=number)


def _put_links(
    raw: Any,
    executions: Sequence[RecordedExecution],
    numbers: Sequence[int],
    contexts: Mapping[tuple[str, str], int],
    events: Iterable[pb.Event],
) -> None:
    around = {
        number: [contexts[name] for name in context_names(one)] for one, number in zip(executions, numbers, strict=True)
    }
    associations = [
        pb.Association(execution_id=number, context_id=context)
        for number, context_ids in around.items()
        for context in context_ids
    ]
    seen = dict.fromkeys((event.artifact_id, context) for event in events for context in around[event.execution_id])
    attributions = [pb.Attribution(artifact_id=artifact, context_id=context) for artifact, context in seen]
    if associations:
        raw.put_attributions_and_associations(attributions, associations)


def begin(raw: Any, one: RecordedExecution, parameters: Mapping[str, Any], inputs: Inputs, root: Path) -> int:
    """Put a running execution with its inputs, as the Launcher does before an executor starts.

    Args:
      raw: ml_metadata's store.
      one: what runs, where.
      parameters: execution properties as recorded.
      inputs: {channel: artifacts}.
      root: where the store believes the root to be.

    Returns:
      The execution's number.
    """
    kind = raw.put_execution_type(entries.execution_type(str(one.node), parameters))
    running = entries.execution(kind, pb.Execution.RUNNING, parameters, root)
    events = _with_events(raw, pb.Event.INPUT, _paths(inputs), root)
    number, _, _ = raw.put_execution(running, events, _contexts_of(raw, one), reuse_context_if_already_exist=True)
    return int(number)


def put_cached(raw: Any, one: RecordedExecution, root: Path) -> None:
    """Put an execution that reused what its record made, unless its run has one already."""
    if one.record is None:
        raise ValueError("nothing to reuse")
    parameters = one.record.parameters
    kind = raw.put_execution_type(entries.execution_type(str(one.node), parameters))
    if _has_reused(raw, one, kind):
        return
    cached = entries.execution(kind, pb.Execution.CACHED, parameters, root)
    read, written = _paths(one.record.inputs), _paths(one.record.outputs)
    events = [*_with_events(raw, pb.Event.INPUT, read, root), *_with_events(raw, pb.Event.OUTPUT, written, root)]
    raw.put_execution(cached, events, _contexts_of(raw, one), reuse_context_if_already_exist=True)


def _paths(channels: Mapping[str, Sequence[ArtifactRef | ArtifactEntry]]) -> dict[str, list[str]]:
    return {channel: [artifact.path for artifact in artifacts] for channel, artifacts in channels.items()}


def _has_reused(raw: Any, one: RecordedExecution, kind: int) -> bool:
    run = raw.get_context_by_type_and_name(PIPELINE_RUN, one.run_id)
    executions = raw.get_executions_by_context(run.id) if run is not None else []
    return any(
        execution.type_id == kind and execution.last_known_state == pb.Execution.CACHED for execution in executions
    )


def _with_events(
    raw: Any, kind: int, channels: Mapping[str, list[str]], root: Path
) -> list[tuple[pb.Artifact, pb.Event]]:
    result = []
    for channel, paths in sorted(channels.items()):
        for index, path in enumerate(paths):
            stored = raw.get_artifacts_by_uri(str(root / path))
            result += [(artifact, entries.event(kind, channel, index)) for artifact in stored[-1:]]
    return result


def publish(raw: Any, number: int, one: RecordedExecution, root: Path) -> None:
    """Complete an execution that `begin` put, with the outputs of its record."""
    if one.record is None or one.hash is None:
        raise ValueError("nothing to publish")
    [running] = raw.get_executions_by_id([number])
    running.last_known_state = pb.Execution.COMPLETE
    outputs = []
    for channel, artifacts in sorted(one.record.outputs.items()):
        for index, entry in enumerate(artifacts):
            kind = raw.put_artifact_type(entries.artifact_type(entry.type))
            artifact = entries.artifact(kind, entry, one.hash, one.record, root)
            outputs.append((artifact, entries.event(pb.Event.OUTPUT, channel, index)))
    raw.put_execution(running, outputs, _contexts_of(raw, one), reuse_context_if_already_exist=True)


def _contexts_of(raw: Any, one: RecordedExecution) -> list[pb.Context]:
    return [
        pb.Context(type_id=raw.put_context_type(pb.ContextType(name=kind)), name=name)
        for kind, name in context_names(one)
    ]
