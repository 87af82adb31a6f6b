"""An executor and what it is given -> its output, computed in a process of its own (see `pipeline.forkserver`)."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from typing_extensions import Self

from components.errors import EnvironmentProblem, MnistTfxError
from components.training.device import VISIBLE, cuda_environment

Progress = Callable[[Mapping[str, Any]], None]

ENGINE_ENV: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # tf.keras is what TFX's own libraries use, and they are tested with Keras 2 there; our models use `import keras`.
    "TF_USE_LEGACY_KERAS": "1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning",
}
CPU_ONLY: Final = {VISIBLE: "-1"}


class StageProcesses:
    """The fork server of one run; a context manager that ends it and everything it started.

    Args:
      log: the file that collects what the stack prints.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Starts importing the engines; returns at once. A second call does nothing."""
        if self._server is not None:
            return
        self._control, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "pipeline.forkserver"],
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                env={**os.environ, **cuda_environment(os.environ), **ENGINE_ENV},
                # `-m` puts the working folder first on the path: it must be ours, not the user's.
                cwd=_project_folder(),
            )

    def run(self, node: str, request: Mapping[str, Any], env: Mapping[str, str], progress: Progress) -> bytes:
        """Runs one executor.

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
        self.start()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            fields = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in request.items()}
            ours.sendall(json.dumps({**fields, "env": dict(env)}).encode() + b"\n")
            with ours.makefile("rb") as answers:
                for line in answers:
                    answer = json.loads(line)
                    if "output" in answer:
                        return base64.b64decode(answer["output"])
                    if "failure" in answer:
                        raise _error(node, answer["failure"], self._log)
                    progress(answer)
        raise EnvironmentProblem(
            "its process ended without an answer",
            where=node,
            hint=f"killed, or out of memory? {self._log} has what it printed; the same command again goes on from here",
        )

    def call(self, function: str, arguments: Mapping[str, Any], env: Mapping[str, str]) -> bytes:
        """Returns what a function of ours returns, `module:name`, called with JSON values; raises as `run` does."""
        return self.run(function, {"function": function, "arguments": dict(arguments)}, env, lambda _: None)

    def _hand_over(self, answer: socket.socket) -> None:
        try:
            socket.send_fds(self._connected(), [b"x"], [answer.fileno()])
        except OSError as err:
            raise EnvironmentProblem(
                "the process that imports the engines is gone", where="pipeline.forkserver", hint=f"see {self._log}"
            ) from err

    def _connected(self) -> socket.socket:
        if self._control is None:
            raise RuntimeError("start() has not been called")
        return self._control

    def close(self) -> None:
        """Ends the fork server and, through it, every child."""
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            try:
                self._server.wait(timeout=1)
            except subprocess.TimeoutExpired:
                # Still importing: it looks at its socket only between two modules.
                self._server.send_signal(signal.SIGKILL)
                self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _project_folder() -> str:
    return str(Path(__file__).resolve().parent.parent)


def _error(node: str, fields: dict[str, Any], log: Path) -> MnistTfxError:
    try:
        return MnistTfxError.from_dict(fields)
    except KeyError:
        return EnvironmentProblem(f"{fields['kind']}: {fields['what']}", where=node, hint=f"the traceback is in {log}")
