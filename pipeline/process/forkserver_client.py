"""Executors in processes of their own, forked by `pipeline.process.forkserver`."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from typing_extensions import Self

from components.errors import EnvironmentProblem, MnistTfxError
from components.training.device import cuda_environment
from pipeline.process import child, trace
from pipeline.process.child import ENGINE_ENV
from pipeline.process.output import MARK
from pipeline.process.signals import PROCESS

Progress = Callable[[Mapping[str, Any]], None]

IMPORTING: Final = "importing TensorFlow"
"""Stage of a node whose process cannot be forked yet."""

TAIL: Final = 8192
"""Bytes of a log in which its last line is looked for."""


class _NotStarted(EnvironmentProblem):
    """The fork server was gone before it had started a child: nothing has been done, and it can be asked for again."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Server:
    """A fork server, and the socket over which it takes requests."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def end(self) -> int:
        """End it and return its exit code, that of its own end if it had ended; several threads may call this."""
        self.control.close()
        # While it imports it looks at its socket only between two modules, and at a signal between two lines.
        for stronger in (self.process.terminate, self.process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=1)
            stronger()
        return self.process.wait()


class StageProcesses:
    """The fork server of the runs of a command; a context manager that ends it and everything it started.

    Several threads may run executors at a time.

    Args:
      log: the file that collects what the stack prints.
      inherits: whether it prints where this process does, which is on the way to the log already.

    Attributes:
      peaks: {node: the most memory that an executor of it has had resident so far, in bytes}.
    """

    def __init__(self, log: Path, *, inherits: bool = False) -> None:
        self.peaks: dict[str, int] = {}
        self._log = log
        self._inherits = inherits
        self._server: _Server | None = None
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start importing the engines; return at once. A second call does nothing.

        Raises:
          EnvironmentProblem: after `close`: another thread has ended everything.
        """
        # A signal between the process's start and the end of the assignment would leave it to itself.
        with PROCESS.held_back(), self._lock:
            if self._closed:
                raise EnvironmentProblem("everything was ended", where="the fork server")
            self._server = self._server or self._started()

    def _started(self) -> _Server:
        control, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self._log.open("ab") as log:
            env = {**cuda_environment(os.environ), **ENGINE_ENV}
            printed = {} if self._inherits else {"stdout": log, "stderr": log}
            process = child.start("pipeline.process.forkserver", env=env, stdin=theirs.fileno(), **printed)
        return _Server(process=process, control=control)

    def run(self, node: str, request: Mapping[str, Any], env: Mapping[str, str], progress: Progress) -> bytes:
        """Run one executor.

        Args:
          node: the node's id, for messages.
          request: `spec`, `beam` and `invocation` as `forkserver` takes them, protos as bytes.
          env: variables of this child alone.
          progress: called with each progress line.

        Returns:
          The serialised ExecutorOutput.

        Raises:
          MnistTfxError: what the executor raised, or `EnvironmentProblem` for a child that died or a foreign error.
        """
        fields = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in request.items()}
        line = json.dumps({**fields, "name": node, "env": dict(env)}).encode() + b"\n"
        with trace.span(f"{node}: its process", trace.WAIT):
            self.start()
            try:
                return self._answer(node, line, progress)
            except _NotStarted:
                self.start()
                return self._answer(node, line, progress)

    def _answer(self, node: str, request: bytes, progress: Progress) -> bytes:
        started, server = False, self._connected()
        progress({"stage": IMPORTING})
        with contextlib.closing(self._lines(server, request)) as lines:
            for line in lines:
                if "output" in line:
                    self.peaks[node] = max(self.peaks.get(node, 0), line["peak"])
                    return base64.b64decode(line["output"])
                if "failure" in line:
                    raise _error(node, line["failure"], self._log)
                if "ended" in line:
                    raise self._ended(EnvironmentProblem, "its process", node, os.waitstatus_to_exitcode(line["ended"]))
                if "started" in line:
                    started = True
                    progress({"stage": ""})
                else:
                    progress(line)
        kind = EnvironmentProblem if started else _NotStarted
        raise self._ended(kind, "the fork server, which runs it,", node, self._end(server))

    def _lines(self, server: _Server, request: bytes) -> Generator[dict[str, Any], None, None]:
        """Hand a request over and give what is answered, until the child has ended or the fork server is gone."""
        ours, theirs = socket.socketpair()
        with ours, contextlib.suppress(OSError):  # of a connection, or of one that another thread has closed
            with theirs:
                socket.send_fds(server.control, [b"x"], [theirs.fileno()])
            ours.sendall(request)
            with ours.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)

    def _ended(self, kind: type[EnvironmentProblem], what: str, node: str, code: int) -> EnvironmentProblem:
        """Return the error about a process that has ended before its work was done."""
        hint = f"{self._log} has what it printed; the same command again goes on from here"
        if code == -signal.SIGKILL:  # what the kernel sends where memory is short, and nothing a library does to itself
            return kind(f"{what} was killed by SIGKILL", where=node, hint=f"out of memory? {hint}")
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code} and no answer"
        return kind(f"{what} {how}", where=node, got=_last_line(self._log), hint=hint)

    def call(self, function: str, arguments: Mapping[str, Any], env: Mapping[str, str]) -> bytes:
        """Return what a function of ours returns, `module:name`, called with JSON values; raise as `run` does."""
        return self.run(function, {"function": function, "arguments": dict(arguments)}, env, lambda _: None)

    def _connected(self) -> _Server:
        if (server := self._server) is None:
            raise _NotStarted("the fork server has ended", where="the fork server")
        return server

    def close(self) -> None:
        """End the fork server and, through it, every child, whoever waits for one; nothing is started any more."""
        with PROCESS.held_back(), self._lock:
            self._closed = True
        if (server := self._server) is not None:
            self._end(server)

    def _end(self, server: _Server) -> int:
        """End a fork server and return its exit code; another thread may have started the next one already."""
        with PROCESS.held_back(), self._lock:
            if self._server is server:
                self._server = None
        return server.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _last_line(log: Path) -> str | None:
    """Return the last line that a library printed to a log, such as that of a failed assertion; None without any."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    printed = (line.strip() for line in reversed(lines) if line.split()[1:2] != [MARK])
    return next(filter(None, printed), None)


def _error(node: str, fields: dict[str, Any], log: Path) -> MnistTfxError:
    try:
        return MnistTfxError.from_dict(fields)
    except KeyError:
        return EnvironmentProblem(f"{fields['kind']}: {fields['what']}", where=node, hint=f"the traceback is in {log}")
