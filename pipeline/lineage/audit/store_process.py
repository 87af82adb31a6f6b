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
from collections.abc import Iterable, Mapping
from typing import Any

from components.errors import EnvironmentProblem
from pipeline import metadata_url


def main() -> None:
    """Answers requests until there are no more."""
    with contextlib.ExitStack() as stack:
        # What C++ prints must not get between the answers.
        answers = stack.enter_context(os.fdopen(os.dup(1), "w"))
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the answer to one request."""
    try:
        from ml_metadata import errors
        from ml_metadata.metadata_store import metadata_store
        from ml_metadata.proto import metadata_store_pb2 as pb
    except ImportError as err:
        return {"error": f"ml_metadata cannot be imported: {err}", "unknown": True}
    address = metadata_url.parse(request["metadata"])
    if not isinstance(address, metadata_url.SqliteFile):
        return _answer_of_server(address, request)
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(address.path)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    try:
        # It has no `close`: the file is closed when the object goes, at the end of this function.
        store = metadata_store.MetadataStore(config)
        return {"answer": _ask(store, request["made"], request["read"])}
    except (errors.StatusError, RuntimeError) as err:
        locked = isinstance(err, errors.AbortedError) or "Concurrent writes" in str(err)
        return {"error": (str(err).splitlines() or [type(err).__name__])[0][:300], "unknown": locked}


def _answer_of_server(address: metadata_url.MysqlDatabase | metadata_url.GrpcService, request: Any) -> dict[str, Any]:
    """Returns the answer of a server: where it fails, that says nothing about what is in it."""
    from ml_metadata import errors

    from pipeline import metadata_reach

    try:
        store = metadata_reach.connect(address)
        return {"answer": _ask(store, request["made"], request["read"])}
    except (errors.StatusError, RuntimeError) as err:
        found = metadata_reach.problem(address, err)
    except EnvironmentProblem as err:
        found = err
    got = "" if found.got is None else f": {found.got}"
    hint = "" if found.hint is None else f"; {found.hint}"
    return {"error": f"{found.what}{got}{hint}", "unknown": True}


def _ask(store: Any, made_at: Iterable[str], read_at: Iterable[str]) -> dict[str, Any]:
    at = dict.fromkeys((*made_at, *read_at))
    artifacts = {uri: [_artifact(found) for found in store.get_artifacts_by_uri(uri)] for uri in at}
    made = [artifact["id"] for uri in made_at for artifact in artifacts[uri]]
    events = store.get_events_by_artifact_ids(made) if made else ()
    makers = sorted({event.execution_id for event in events if event.type == event.OUTPUT})
    events = store.get_events_by_execution_ids(makers) if makers else ()
    return {
        "artifacts": artifacts,
        "events": [_event(event) for event in events],
        "executions": [_execution(store, found) for found in (store.get_executions_by_id(makers) if makers else ())],
    }


def _artifact(found: Any) -> dict[str, Any]:
    state = found.State.Name(found.state)
    return {"id": found.id, "type": found.type, "state": state, "properties": _plain(found.custom_properties)}


def _execution(store: Any, found: Any) -> dict[str, Any]:
    return {
        "id": found.id,
        "state": found.State.Name(found.last_known_state),
        "properties": {**_plain(found.properties), **_plain(found.custom_properties)},
        "contexts": [(context.type, context.name) for context in store.get_contexts_by_execution(found.id)],
    }


def _event(event: Any) -> dict[str, Any]:
    keys = [step.key for step in event.path.steps if step.WhichOneof("value") == "key"]
    indexes = [step.index for step in event.path.steps if step.WhichOneof("value") == "index"]
    return {
        "execution": event.execution_id,
        "artifact": event.artifact_id,
        "type": event.Type.Name(event.type),
        "channel": (keys or [""])[0],
        "index": (indexes or [0])[0],
    }


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns protobuf values as the records hold them (`pipeline.execution` does the same when it writes them)."""
    return {name: _value(value, value.WhichOneof("value")) for name, value in properties.items()}


def _value(value: Any, kind: str | None) -> Any:
    if kind == "struct_value":
        from google.protobuf import json_format

        return json_format.MessageToDict(value.struct_value)
    if kind == "proto_value":
        return str(value.proto_value)
    return None if kind is None else getattr(value, kind)


if __name__ == "__main__":
    main()
