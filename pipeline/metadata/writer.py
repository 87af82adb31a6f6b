"""The writer of executions: all of them into an empty ML Metadata store in a few calls, or one more into one in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.metadata import entries
from pipeline.metadata.executions import PastExecution
from pipeline.metadata.types import NODE, PIPELINE, PIPELINE_RUN
from pipeline.provenance.artifacts import ArtifactRef

Inputs = Mapping[str, tuple[ArtifactRef, ...]]

UNKNOWN: Final = "pipeline.lineage.past.Unknown"
"""Type of an execution that left a folder behind and nothing else."""


def write(raw: Any, past: Sequence[PastExecution], collected: frozenset[str], root: Path) -> dict[str, int]:
    """Fill a store and return how much of what it holds.

    Args:
      raw: ml_metadata's store, empty.
      past: in the order of their numbers.
      collected: paths of artifacts that were removed on purpose.
      root: absolute path of the root.
    """
    executions = _put_executions(raw, past, root)
    artifacts = _put_artifacts(raw, past, collected, root)
    contexts = _put_contexts(raw, past)
    events = [event for one, number in zip(past, executions, strict=True) for event in _events(one, number, artifacts)]
    if events:
        raw.put_events(events)
    _put_links(raw, past, executions, contexts, events)
    runs = sum(1 for kind, _ in contexts if kind == PIPELINE_RUN)
    return {"runs": runs, "executions": len(executions), "artifacts": len(artifacts), "events": len(events)}


def _put_executions(raw: Any, past: Sequence[PastExecution], root: Path) -> list[int]:
    types: dict[str, int] = {}
    made = []
    for one in past:
        parameters = one.record.parameters if one.record is not None else {}
        kind = pb.ExecutionType(name=UNKNOWN) if one.node is None else entries.execution_type(one.node, parameters)
        if kind.name not in types:
            types[kind.name] = raw.put_execution_type(kind)
        made.append(entries.execution(types[kind.name], pb.Execution.State.Value(one.state), parameters, root))
    return list(raw.put_executions(made)) if made else []


def _put_artifacts(raw: Any, past: Sequence[PastExecution], collected: frozenset[str], root: Path) -> dict[str, int]:
    types: dict[str, int] = {}

    def type_id(name: str) -> int:
        if name not in types:
            types[name] = raw.put_artifact_type(entries.artifact_type(name))
        return types[name]

    made: dict[str, pb.Artifact] = {}
    for one in past:
        if one.record is None or one.hash is None:
            continue
        for entry in (entry for channel in one.record.outputs.values() for entry in channel):
            if entry.path not in made:
                made[entry.path] = entries.artifact(type_id(entry.type), entry, one.hash, one.record, root)
                if entry.path in collected and not (root / entry.path).exists():
                    made[entry.path].state = pb.Artifact.DELETED
    for ref in (ref for one in past if one.record for refs in one.record.inputs.values() for ref in refs):
        if ref.path not in made:
            made[ref.path] = entries.unrecorded_artifact(type_id(ref.type), ref, root)
    return dict(zip(made, raw.put_artifacts(list(made.values())), strict=True)) if made else {}


def context_names(one: PastExecution) -> list[tuple[str, str]]:
    """Return (type, name) of the contexts that an execution is in."""
    if one.node is None:
        return []
    return [
        (PIPELINE, one.pipeline),
        (PIPELINE_RUN, one.run_id),
        (NODE, f"{one.pipeline}.{one.node}"),
    ]


def _put_contexts(raw: Any, past: Sequence[PastExecution]) -> dict[tuple[str, str], int]:
    wanted = list(dict.fromkeys(name for one in past for name in context_names(one)))
    if not wanted:
        return {}
    kinds = (PIPELINE, PIPELINE_RUN, NODE)
    types = {kind: raw.put_context_type(pb.ContextType(name=kind)) for kind in kinds}
    ids = raw.put_contexts([pb.Context(type_id=types[kind], name=name) for kind, name in wanted])
    contexts = dict(zip(wanted, ids, strict=True))
    parents = {one.run_id: one.pipeline for one in past if one.node is not None}
    raw.put_parent_contexts(
        [
            pb.ParentContext(child_id=contexts[PIPELINE_RUN, run], parent_id=contexts[PIPELINE, pipeline])
            for run, pipeline in parents.items()
        ]
    )
    return contexts


def _events(one: PastExecution, number: int, artifacts: Mapping[str, int]) -> Iterable[pb.Event]:
    if one.record is None:
        return
    read = {channel: [ref.path for ref in refs] for channel, refs in one.record.inputs.items()}
    made = {channel: [entry.path for entry in found] for channel, found in one.record.outputs.items()}
    for kind, channels in ((pb.Event.INPUT, read), (pb.Event.OUTPUT, made)):
        for channel, paths in sorted(channels.items()):
            for index, path in enumerate(paths):
                yield entries.event(kind, channel, index, artifact_id=artifacts[path], execution_id=number)


def _put_links(
    raw: Any,
    past: Sequence[PastExecution],
    executions: Sequence[int],
    contexts: Mapping[tuple[str, str], int],
    events: Iterable[pb.Event],
) -> None:
    around = {
        number: [contexts[name] for name in context_names(one)] for one, number in zip(past, executions, strict=True)
    }
    associations = [
        pb.Association(execution_id=number, context_id=context) for number, found in around.items() for context in found
    ]
    seen = dict.fromkeys((event.artifact_id, context) for event in events for context in around[event.execution_id])
    attributions = [pb.Attribution(artifact_id=artifact, context_id=context) for artifact, context in seen]
    if associations:
        raw.put_attributions_and_associations(attributions, associations)


def begin(raw: Any, one: PastExecution, parameters: Mapping[str, Any], inputs: Inputs, root: Path) -> int:
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
    read = {channel: [ref.path for ref in refs] for channel, refs in inputs.items()}
    events = _known(raw, pb.Event.INPUT, read, root)
    number, _, _ = raw.put_execution(running, events, _contexts_of(raw, one), reuse_context_if_already_exist=True)
    return int(number)


def put_cached(raw: Any, one: PastExecution, root: Path) -> None:
    """Put an execution that reused what its record made, unless its run has one already."""
    if one.record is None:
        raise ValueError("nothing to reuse")
    parameters = one.record.parameters
    kind = raw.put_execution_type(entries.execution_type(str(one.node), parameters))
    if _has_reused(raw, one, kind):
        return
    cached = entries.execution(kind, pb.Execution.CACHED, parameters, root)
    read = {channel: [ref.path for ref in refs] for channel, refs in one.record.inputs.items()}
    made = {channel: [entry.path for entry in found] for channel, found in one.record.outputs.items()}
    events = [*_known(raw, pb.Event.INPUT, read, root), *_known(raw, pb.Event.OUTPUT, made, root)]
    raw.put_execution(cached, events, _contexts_of(raw, one), reuse_context_if_already_exist=True)


def _has_reused(raw: Any, one: PastExecution, kind: int) -> bool:
    run = raw.get_context_by_type_and_name(PIPELINE_RUN, one.run_id)
    executions = raw.get_executions_by_context(run.id) if run is not None else []
    return any(found.type_id == kind and found.last_known_state == pb.Execution.CACHED for found in executions)


def _known(raw: Any, kind: int, channels: Mapping[str, list[str]], root: Path) -> list[tuple[pb.Artifact, pb.Event]]:
    found = []
    for channel, paths in sorted(channels.items()):
        for index, path in enumerate(paths):
            stored = raw.get_artifacts_by_uri(str(root / path))
            found += [(artifact, entries.event(kind, channel, index)) for artifact in stored[-1:]]
    return found


def publish(raw: Any, number: int, one: PastExecution, root: Path) -> None:
    """Complete an execution that `begin` put, with the outputs of its record."""
    if one.record is None or one.hash is None:
        raise ValueError("nothing to publish")
    [running] = raw.get_executions_by_id([number])
    running.last_known_state = pb.Execution.COMPLETE
    made = []
    for channel, found in sorted(one.record.outputs.items()):
        for index, entry in enumerate(found):
            kind = raw.put_artifact_type(entries.artifact_type(entry.type))
            artifact = entries.artifact(kind, entry, one.hash, one.record, root)
            made.append((artifact, entries.event(pb.Event.OUTPUT, channel, index)))
    raw.put_execution(running, made, _contexts_of(raw, one), reuse_context_if_already_exist=True)


def _contexts_of(raw: Any, one: PastExecution) -> list[pb.Context]:
    return [
        pb.Context(type_id=raw.put_context_type(pb.ContextType(name=kind)), name=name)
        for kind, name in context_names(one)
    ]
