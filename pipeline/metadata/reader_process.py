"""Lines of JSON in, lines of JSON out: what a metadata store knows about some URIs; runs as a process of its own.

ml_metadata trusts its file: on one that was tampered with it can abort the process that asks (a property row without
its artifact is enough). An audit has to survive that and say so. It is also a quarter of a second of imports that the
hashing need not wait for.

    {"metadata": "/root/metadata.db", "made": [uris], "read": [uris]}  ->  {"answer": {...}} or {"error": "...", "unknown": false}

The store may be at any address of `--metadata`; one with a password is for this reason no argument of the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.metadata import sqlite
from pipeline.metadata.address import GrpcService, MysqlDatabase, SqliteFile, parse_address

AT_ONCE: Final = 100
"""Artifacts or executions from which ml_metadata starts a search at most; those beyond it leaves out without a word."""

Context = tuple[str, str]
"""Type and name."""


def main() -> None:
    """Answer requests until there are no more."""
    # Before the first request comes: whoever starts this process early must not wait for it. What cannot be imported is
    # the answer to a request.
    with contextlib.suppress(ImportError):
        import ml_metadata.metadata_store.metadata_store  # noqa: F401
    with contextlib.ExitStack() as stack:
        # What C++ prints must not get between the answers.
        answers = stack.enter_context(os.fdopen(os.dup(1), "w"))
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to one request."""
    try:
        from ml_metadata import errors
    except ImportError as err:
        return {"error": f"ml_metadata cannot be imported: {err}", "unknown": True}
    address = parse_address(request["metadata"])
    if not isinstance(address, SqliteFile):
        return _answer_of_server(address, request)
    try:
        return _answer_of_file(address.path, request)
    except (errors.StatusError, RuntimeError) as err:
        locked = isinstance(err, errors.AbortedError) or "Concurrent writes" in str(err)
        first = (str(err).splitlines() or [type(err).__name__])[0][:300]
        return {"error": "locked by another process" if locked else first, "unknown": locked}


def _answer_of_file(path: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of a file, or why it cannot be asked, which says nothing about what is in it."""
    try:
        with sqlite.readable(path) as (place, is_copy):
            return {"answer": _ask(_open_store(place, read_only=not is_copy), request["made"], request["read"])}
    except sqlite.StoreLocked as err:
        return {"error": f"{err.what}; {err.hint}", "unknown": True}
    except EnvironmentProblem as err:
        # Something else in a journal's place is no accident; a copy for which there is no room comes with a hint.
        return {"error": f"{err.where} {err.what}: {err.got}", "unknown": err.hint is not None}
    except OSError as err:
        return {"error": f"cannot be read: {err.strerror}", "unknown": True}


def _open_store(place: Path, *, read_only: bool) -> Any:
    """Return ml_metadata's store; it has no `close`, and its file is closed when the object goes."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(place)
    modes = pb.SqliteMetadataSourceConfig
    config.sqlite.connection_mode = modes.READONLY if read_only else modes.READWRITE
    return metadata_store.MetadataStore(config)


def _answer_of_server(address: MysqlDatabase | GrpcService, request: Any) -> dict[str, Any]:
    """Return the answer of a server: where it fails, that says nothing about what is in it."""
    from ml_metadata import errors

    from pipeline.metadata import server

    try:
        store = server.connect(address)
        return {"answer": _ask(store, request["made"], request["read"])}
    except (errors.StatusError, RuntimeError) as err:
        problem = server.problem(address, err)
    except EnvironmentProblem as err:
        problem = err
    got = "" if problem.got is None else f": {problem.got}"
    hint = "" if problem.hint is None else f"; {problem.hint}"
    return {"error": f"{problem.what}{got}{hint}", "unknown": True}


def _ask(store: Any, made_at: Iterable[str], read_at: Iterable[str]) -> dict[str, Any]:
    """Return what a store knows, and what many executions have alike once.

    A run with nothing to do repeats the executions before it, but for ids and the run's context: after hundreds of such
    runs what is written, read and compared is still that of one.
    """
    at = dict.fromkeys((*made_at, *read_at))
    found_at = {uri: list(store.get_artifacts_by_uri(uri)) for uri in at}
    artifact_ids = list(dict.fromkeys(artifact.id for uri in made_at for artifact in found_at[uri]))
    events = store.get_events_by_artifact_ids(artifact_ids) if artifact_ids else ()
    makers = sorted({event.execution_id for event in events if event.type == event.OUTPUT})
    events_of: dict[int, list[Any]] = defaultdict(list)
    for event in store.get_events_by_execution_ids(makers) if makers else ():
        events_of[event.execution_id].append(event)
    artifact_contexts, execution_contexts = _contexts(store, artifact_ids, makers)
    contexts: dict[Context, int] = {}

    def numbers(found: Iterable[Context]) -> list[int]:
        return [contexts.setdefault(one, len(contexts)) for one in found]

    contents: dict[Any, tuple[int, dict[str, Any]]] = {}
    executions = []
    for one in store.get_executions_by_id(makers) if makers else ():
        key = _content_key(one, events_of[one.id])
        if key not in contents:
            content = {**_stored(one), "state": one.State.Name(one.last_known_state)}
            content["events"] = [_event(event) for event in events_of[one.id]]
            contents[key] = len(contents), content
        executions.append([one.id, contents[key][0], numbers(execution_contexts[one.id])])
    artifacts = {
        uri: [
            {
                "id": one.id,
                **_stored(one),
                "state": one.State.Name(one.state),
                "contexts": numbers(artifact_contexts[one.id]),
            }
            for one in all_
        ]
        for uri, all_ in found_at.items()
    }
    return {
        "artifacts": artifacts,
        "executions": executions,
        "contents": [content for _, content in contents.values()],
        "contexts": list(contexts),
    }


def _stored(node: Any) -> dict[str, Any]:
    """Return what artifacts and executions have alike."""
    properties, declared = _plain(node.custom_properties), _plain(node.properties)
    return {"type": node.type, "properties": properties, "declared": declared}


def _content_key(execution: Any, events: Iterable[Any]) -> tuple[Any, ...]:
    """Return what is the same for executions that say the same, each for a run of its own."""
    alike = type(execution)()
    alike.CopyFrom(execution)
    for field in ("id", "name", "create_time_since_epoch", "last_update_time_since_epoch"):
        alike.ClearField(field)
    edges = [(event.artifact_id, event.type, event.path.SerializeToString(deterministic=True)) for event in events]
    return (alike.SerializeToString(deterministic=True), *edges)


def _contexts(
    store: Any, artifacts: Sequence[int], executions: Sequence[int]
) -> tuple[Mapping[int, Sequence[Context]], Mapping[int, Sequence[Context]]]:
    """Return {id: types and names of its contexts}, of artifacts and of executions.

    Not one by one: each run with nothing to do adds an execution to every node, and has them all asked about.
    """
    from ml_metadata import errors

    try:
        attributions = [
            (edge.artifact_id, edge.context_id) for edge in _edges(store, "artifacts", "attributions", artifacts)
        ]
        associations = [
            (edge.execution_id, edge.context_id) for edge in _edges(store, "executions", "associations", executions)
        ]
    except errors.UnimplementedError:  # ml_metadata 1.21 has no filters any more, be it this one or a server's
        return _contexts_by_list(store, artifacts, executions)
    ids = sorted({context for _, context in (*attributions, *associations)})
    names = {one.id: (one.type, one.name) for one in (store.get_contexts_by_id(ids) if ids else ())}
    sides: tuple[dict[int, list[Context]], ...] = (defaultdict(list), defaultdict(list))
    for side, edges in zip(sides, (attributions, associations), strict=True):
        for node, context in edges:
            if context in names:
                side[node].append(names[context])
    return sides[0], sides[1]


def _edges(store: Any, nodes: str, edges: str, ids: Sequence[int]) -> Iterator[Any]:
    """Yield what ties artifacts or executions to contexts, in ml_metadata's words; it takes `AT_ONCE` nodes to a request.

    Raises:
      UnimplementedError: if whoever answers takes no filter.
    """
    from ml_metadata import errors
    from ml_metadata.proto import metadata_store_pb2 as pb

    for start in range(0, len(ids), AT_ONCE):
        options = pb.LineageSubgraphQueryOptions(max_num_hops=0)
        some = ", ".join(map(str, ids[start : start + AT_ONCE]))
        getattr(options, f"starting_{nodes}").filter_query = f"id IN ({some})"
        try:
            yield from getattr(store.get_lineage_subgraph(options, field_mask_paths=[edges]), edges)
        except errors.NotFoundError:
            continue  # events name nodes that somebody took out: none of these is there


def _contexts_by_list(
    store: Any, artifacts: Sequence[int], executions: Sequence[int]
) -> tuple[Mapping[int, Sequence[Context]], Mapping[int, Sequence[Context]]]:
    """Return what `_contexts` does: of each context what it holds or, where those are more, of each node its contexts.

    A run adds one context and an execution to every node; but a server may hold the contexts of many roots.
    """
    contexts = store.get_contexts()
    by_node = len(contexts) > len(artifacts) + len(executions)
    sides = []
    for ids, of_node, in_context in (
        (artifacts, store.get_contexts_by_artifact, store.get_artifacts_by_context),
        (executions, store.get_contexts_by_execution, store.get_executions_by_context),
    ):
        if by_node:
            pairs = ((one, context) for one in ids for context in of_node(one))
        else:
            pairs = ((node.id, context) for context in contexts for node in in_context(context.id))
        side: dict[int, list[Context]] = defaultdict(list)
        for node, context in pairs:
            side[node].append((context.type, context.name))
        sides.append(side)
    return sides[0], sides[1]


def _event(event: Any) -> dict[str, Any]:
    steps = [(step.WhichOneof("value"), getattr(step, step.WhichOneof("value") or "key")) for step in event.path.steps]
    plain = [kind for kind, _ in steps] == ["key", "index"]
    return {
        "artifact": event.artifact_id,
        "type": event.Type.Name(event.type),
        "channel": next((value for kind, value in steps if kind == "key"), ""),
        "index": next((value for kind, value in steps if kind == "index"), 0),
        "path": None if plain else ", ".join(f"{kind} {value}" for kind, value in steps) or "none",
    }


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return protobuf values as the records hold them (`pipeline.runner.execution` does the same when it writes them)."""
    return {name: _value(value, value.WhichOneof("value")) for name, value in properties.items()}


def _value(value: Any, kind: str | None) -> Any:
    if kind == "struct_value":
        from google.protobuf import json_format

        return json_format.MessageToDict(value.struct_value)
    if kind == "proto_value":
        return str(value.proto_value)
    return None if kind is None else getattr(value, kind)
