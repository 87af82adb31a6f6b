"""KFP's cache as driver and launcher see it: the two calls of `api.TaskService` (`backend/api/v1beta1/task.proto`).

The server of KFP keeps these tasks in its database. They are messages of its own API, of which PyPI has the HTTP form
alone, so the few fields are declared here.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STRING, _INT32, _BYTES, _MESSAGE = 9, 5, 12, 11
_FIELDS: Final = {
    "Task": {
        "id": (1, _STRING),
        "namespace": (2, _STRING),
        "pipelineName": (3, _STRING),
        "runId": (4, _STRING),
        "mlmdExecutionID": (5, _STRING),
        "created_at": (6, _BYTES),  # google.protobuf.Timestamp, handed on as it came
        "finished_at": (7, _BYTES),
        "fingerprint": (8, _STRING),
    },
    "CreateTaskRequest": {"task": (1, _MESSAGE)},
    "ListTasksRequest": {"page_size": (2, _INT32), "sort_by": (3, _STRING), "filter": (5, _STRING)},
    "ListTasksResponse": {"tasks": (1, _MESSAGE), "total_size": (3, _INT32)},
}
_REPEATED: Final = {"tasks"}


def messages() -> dict[str, Any]:
    """Returns {name: class of the message}."""
    file = descriptor_pb2.FileDescriptorProto(name="task_cache.proto", package="api", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = 3 if field in _REPEATED else 1
            told = {"type_name": ".api.Task"} if kind == _MESSAGE else {}
            message.field.add(name=field, number=number, type=kind, label=label, **told)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: _class(pool.FindMessageTypeByName(f"api.{name}")) for name in _FIELDS}


def _class(descriptor: Any) -> Any:
    factory: Any = message_factory  # of protobuf 3 in the first lane, of 6 in the second
    if hasattr(factory, "GetMessageClass"):
        return factory.GetMessageClass(descriptor)
    return factory.MessageFactory().GetPrototype(descriptor)


class TaskCache:
    """Tasks that succeeded, by fingerprint; the newest answers.

    Args:
      away: While this file exists, the next task that wants to be kept is refused, and the file is removed: the
        launcher fails then, after it has uploaded everything.
    """

    def __init__(self, away: Path) -> None:
        self._away = away
        self._lock = threading.Lock()
        self._tasks: list[Any] = []
        self._messages = messages()

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the service."""
        methods = {
            "CreateTaskV1": self._method(self._create, "CreateTaskRequest"),
            "ListTasksV1": self._method(self._list, "ListTasksRequest"),
        }
        return grpc.method_handlers_generic_handler("api.TaskService", methods)

    def _method(self, call: Callable[[Any, grpc.ServicerContext], Any], request: str) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            call, self._messages[request].FromString, lambda answer: answer.SerializeToString()
        )

    def _create(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            if self._away.exists():
                self._away.unlink()
                context.abort(grpc.StatusCode.UNAVAILABLE, "the cache is away")
            request.task.id = str(len(self._tasks) + 1)
            self._tasks.append(request.task)
            return request.task

    def _list(self, request: Any, _: grpc.ServicerContext) -> Any:
        wanted = {one["key"]: one["stringValue"] for one in json.loads(request.filter)["predicates"]}
        with self._lock:
            hits = [one for one in self._tasks if all(getattr(one, key) == value for key, value in wanted.items())]
        answer = self._messages["ListTasksResponse"](total_size=len(hits))
        answer.tasks.extend(hits[-1:])
        return answer
