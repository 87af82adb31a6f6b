"""The fork server: runs each executor in a forked child of a process that has imported the engines already.

Importing TensorFlow and TFX's engines takes nine seconds; here it happens once, from the first second of a run and
beside everything that does not need them. A fork then costs milliseconds, and gives every node a process of its own:
its memory is returned when it ends, a GPU context dies with it, and `kill -9` of a node is not the end of the run.
No TensorFlow context and no gRPC channel exists in the parent, which is what makes forking safe.

A request is a socket, handed over on standard input. The child reads one JSON line from it, an executor with its
invocation or a `function` (`module:name`, returning bytes) with its `arguments`, and answers in JSON lines: `{"started":
pid}`, progress as the Trainers write it, then `{"output": <ExecutorOutput or the bytes, base64>, "peak": <bytes it had
resident at most>}` or `{"failure": {...}}`.
Whatever became of it, the server adds `{"ended": <wait status>}` and ends what the child has left running.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

from components import disk
from components.errors import EnvironmentProblem, MnistTfxError
from components.progress import PROGRESS_FD
from pipeline.process import lean_imports, lifeline, trace

PRELOAD: Final = (
    "tensorflow",
    "components.statistics_executor",
    "tfx.components.example_validator.executor",
    "components.transform_executor",
    "tfx.orchestration.portable.beam_executor_operator",
)
"""What the first nodes need; requests are answered once these are here."""

PRELOAD_LATER: Final = (
    lean_imports.MODEL_ANALYSIS,
    "keras",
    "components.preprocessing",
    "tfx.components.trainer.executor",
    "components.autoencoder.trainer",
    "components.classifier.trainer",
    "tfx.components.evaluator.executor",
    "components.evaluation.executor",
)
"""What later nodes need, imported while children of earlier requests are at work."""


def main() -> None:
    """Serve requests from the socket on file descriptor 0 until it closes, then end every child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=os.dup(0))
    lean_imports.install(lean_imports.COMPONENTS, lean_imports.MODEL_ANALYSIS)
    gc.disable()  # a fifth of the import time is spent on collecting modules that stay
    trace.name_process("engines")
    for module in PRELOAD:
        with trace.span(f"import {module}", trace.IMPORT):
            importlib.import_module(module)
    gc.freeze()
    _Server(requests).serve()


class _Server:
    """Forks a child for each request and sees to its end.

    Args:
      requests: where they come from.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._children: dict[int, socket.socket] = {}
        self._woken, wakes = socket.socketpair()
        self._wakes = wakes  # written to by the interpreter when a signal arrives
        for one in (self._woken, wakes):
            one.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        # From now on there may be children, and what those have started: it is ended with them.
        lifeline.die_with_parent(signal.SIGTERM)

    def serve(self) -> None:
        """Serve until the socket closes; import what later nodes need whenever nothing else is to be done."""
        later = list(PRELOAD_LATER)
        while True:
            ready, _, _ = select.select([self._requests, self._woken], [], [], 0.0 if later else None)
            if self._woken in ready:
                self._woken.recv(4096)
            self._reap()
            if self._requests in ready and not self._serve_one():
                self._end()
            if not ready and later:
                module = later.pop(0)
                with trace.span(f"import {module}", trace.IMPORT):
                    importlib.import_module(module)
                    lean_imports.complete(module)
                gc.freeze()

    def _serve_one(self) -> bool:
        _, descriptors, _, _ = socket.recv_fds(self._requests, 1, 1)
        if not descriptors:
            return False
        answer, parent = socket.socket(fileno=descriptors[0]), os.getpid()
        child = os.fork()
        if child == 0:
            self._forget()
            _run_child(answer, parent)
        self._children[child] = answer
        return True

    def _forget(self) -> None:
        """Drop, in a child, what is the server's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for one in (self._requests, self._woken, self._wakes, *self._children.values()):
            one.close()

    def _reap(self) -> None:
        for child in list(self._children):
            # Not reaped before its process group is ended: until then its number stands for this group alone.
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                _kill_group(child)
                _, status = os.waitpid(child, 0)
                with self._children.pop(child) as answer, contextlib.suppress(OSError):
                    answer.sendall(json.dumps({"ended": status}).encode() + b"\n")

    def _end(self) -> None:
        for child in self._children:
            _kill_group(child)
        os._exit(0)


def _kill_group(child: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not have got as far as to lead a group
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


def _run_child(answer: socket.socket, parent: int) -> None:
    """Run one executor and never return: neither Beam's threads nor C++ destructors may hold up the end."""
    # The server may be killed in the middle of an import; its children must not compute on for nobody.
    lifeline.die_with_parent(parent=parent)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.enable()
    status = 0
    try:
        answer.sendall(json.dumps({"started": os.getpid()}).encode() + b"\n")
        with answer.makefile("rb") as lines:
            request = json.loads(lines.readline())
        os.environ.update(request["env"], **{PROGRESS_FD: str(answer.fileno())})
        trace.name_process(request["name"])
        with trace.span("function" if "function" in request else "executor"):
            output = _execute(request)
        reply: dict[str, Any] = {"output": base64.b64encode(output).decode(), "peak": _peak()}
    except BaseException as err:  # noqa: BLE001  # whatever it is, the parent is told
        traceback.print_exc()
        reply, status = {"failure": _describe(err)}, 1
    with contextlib.suppress(BrokenPipeError):
        answer.sendall(json.dumps(reply).encode() + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _peak() -> int:
    """Return the most bytes that this process had resident; what it shares with the server it was forked from counts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def _describe(err: BaseException) -> dict[str, Any]:
    if isinstance(err, MnistTfxError):
        return err.to_dict()
    if disk.is_full(err):
        return disk.of_error(err).to_dict()
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
    executable: Any
    if request["beam"]:
        executable = executable_spec_pb2.BeamExecutableSpec.FromString(spec)
        executor, operator = executable.python_executor_spec, beam_executor_operator.BeamExecutorOperator
    else:
        executable = executor = executable_spec_pb2.PythonClassExecutableSpec.FromString(spec)
        operator = python_executor_operator.PythonExecutorOperator
    if executor.class_path.rpartition(".")[0] not in sys.modules:
        # The server has not got as far as to import it.
        lean_imports.complete(lean_imports.MODEL_ANALYSIS)
    invocation = execution_invocation_pb2.ExecutionInvocation.FromString(base64.b64decode(request["invocation"]))
    output = operator(executable).run_executor(data_types.ExecutionInfo.from_proto(invocation))
    return bytes(output.SerializeToString())
