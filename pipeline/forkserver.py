"""Requests to run an executor -> a forked child each, from a process that has imported the engines already.

Importing TensorFlow and TFX's engines takes nine seconds; here it happens once, from the first second of a run and
beside everything that does not need them. A fork then costs milliseconds, and gives every node a process of its own:
its memory is returned when it ends, a GPU context dies with it, and `kill -9` of a node is not the end of the run.
No TensorFlow context and no gRPC channel exists in the parent, which is what makes forking safe.

A request is a socket, handed over on standard input. The child reads one JSON line from it, an executor with its
invocation or a `function` (`module:name`, returning bytes) with its `arguments`, and answers in JSON lines: progress as
the Trainers write it, then `{"output": <ExecutorOutput or the bytes, base64>}` or `{"failure": {...}}`. An answer that
ends without either means that the child was killed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

from components.errors import EnvironmentProblem, MnistTfxError
from pipeline import lean_imports

PRELOAD: Final = (
    "tensorflow",
    "tfx.components.statistics_gen.executor",
    "tfx.components.example_validator.executor",
    "tfx.components.transform.executor",
    "tfx.orchestration.portable.beam_executor_operator",
)
"""What the first nodes need; requests are answered once these are here."""

PRELOAD_LATER: Final = (
    "keras",
    "components.preprocessing",
    "tfx.components.trainer.executor",
    "components.autoencoder.trainer",
    "components.classifier.trainer",
    "tfx.components.evaluator.executor",
    "components.evaluation.executor",
)
"""What later nodes need, imported while children of earlier requests are at work."""


PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def main() -> None:
    """Serves requests from the socket on file descriptor 0 until it closes, then ends every child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=os.dup(0))
    lean_imports.install(lean_imports.COMPONENTS)
    gc.disable()  # a fifth of the import time is spent on collecting modules that stay
    for module in PRELOAD:
        importlib.import_module(module)
    gc.freeze()
    later = list(PRELOAD_LATER)
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([server], [], [], 0.0 if later else None)
        _reap(children)
        if ready and not _serve_one(server, children):
            break
        if not ready and later:
            importlib.import_module(later.pop(0))
            gc.freeze()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _serve_one(server: socket.socket, children: set[int]) -> bool:
    _, descriptors, _, _ = socket.recv_fds(server, 1, 1)
    if not descriptors:
        return False
    answer = socket.socket(fileno=descriptors[0])
    child = os.fork()
    if child == 0:
        server.close()
        _run_child(answer)
    children.add(child)
    answer.close()
    return True


def _reap(children: set[int]) -> None:
    for child in list(children):
        if os.waitpid(child, os.WNOHANG)[0]:
            children.discard(child)


def _run_child(answer: socket.socket) -> None:
    """Runs one executor and never returns: neither Beam's threads nor C++ destructors may hold up the end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _die_with_parent()
    gc.enable()
    status = 0
    try:
        with answer.makefile("rb") as lines:
            request = json.loads(lines.readline())
        os.environ.update(request["env"], MNIST_TFX_PROGRESS_FD=str(answer.fileno()))
        reply: dict[str, Any] = {"output": base64.b64encode(_execute(request)).decode()}
    except BaseException as err:  # noqa: BLE001  # whatever it is, the parent is told
        traceback.print_exc()
        reply, status = {"failure": _describe(err)}, 1
    with contextlib.suppress(BrokenPipeError):
        answer.sendall(json.dumps(reply).encode() + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _die_with_parent() -> None:
    # The fork server may be killed in the middle of an import; its children must not compute on for nobody.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _describe(err: BaseException) -> dict[str, Any]:
    if isinstance(err, MnistTfxError):
        return err.to_dict()
    if isinstance(err, OSError):
        return EnvironmentProblem(err.strerror or str(err), where=err.filename).to_dict()
    return {"kind": type(err).__name__, "what": " ".join(str(err).split())[:2000]}


def _execute(request: Mapping[str, Any]) -> bytes:
    if "function" in request:
        module, name = request["function"].split(":")
        return bytes(getattr(importlib.import_module(module), name)(**request["arguments"]))
    return _execute_node(request)


def _execute_node(request: Mapping[str, Any]) -> bytes:
    from tfx.orchestration.portable import beam_executor_operator, data_types, python_executor_operator
    from tfx.proto.orchestration import executable_spec_pb2, execution_invocation_pb2

    spec = base64.b64decode(request["spec"])
    operator: Any
    if request["beam"]:
        operator = beam_executor_operator.BeamExecutorOperator(executable_spec_pb2.BeamExecutableSpec.FromString(spec))
    else:
        operator = python_executor_operator.PythonExecutorOperator(
            executable_spec_pb2.PythonClassExecutableSpec.FromString(spec)
        )
    invocation = execution_invocation_pb2.ExecutionInvocation.FromString(base64.b64decode(request["invocation"]))
    output = operator.run_executor(data_types.ExecutionInfo.from_proto(invocation))
    return bytes(output.SerializeToString())


if __name__ == "__main__":
    main()
