"""The job service and worker pool of Beam's `portable` engine, which never outlive the run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from components.errors import EnvironmentProblem
from pipeline.process.child import CPU_ONLY, ENGINE_ENV, PROJECT
from pipeline.process.signals import PROCESS

START_S: Final = 120.0
"""How long the service may take; it imports Beam, which takes 3 s."""


class JobService:
    """The service of one run; a context manager that ends it and every worker, whatever they are at.

    Args:
      log: the file that collects what it and its workers print.
      inherits: as for `StageProcesses`.
    """

    def __init__(self, log: Path, *, inherits: bool = False) -> None:
        self._log = log
        self._inherits = inherits
        self._ended = contextlib.ExitStack()
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start it; return at once."""
        with PROCESS.held_back():  # whatever is started has to be known to be ended
            self._start()

    def _start(self) -> None:
        scratch = self._ended.enter_context(
            tempfile.TemporaryDirectory(prefix="mnist-tfx-beam-", ignore_cleanup_errors=True)
        )
        self._control, theirs = socket.socketpair()
        self._ended.enter_context(self._control)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, self._log.open("ab") as log:
            # No `process.child`: what ends it has to end its workers too, and removes the folder that they share.
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.runner.beam.job_service_start", scratch],
                stdin=theirs.fileno(),
                stdout=None if self._inherits else log,
                stderr=None if self._inherits else log,
                env={**os.environ, **ENGINE_ENV, **CPU_ONLY, "PYTHONPATH": _search_path()},
                cwd=scratch,
                start_new_session=True,  # a process group of its own, and no Ctrl-C from the terminal
            )
        self._ended.callback(_end, process)

    def arguments(self) -> tuple[str, ...]:
        """Return what Beam is told besides the engine's arguments; wait until the service, if started, listens.

        Raises:
          EnvironmentProblem: if it does not come up.
        """
        if self._control is None:
            return ()
        self._control.settimeout(START_S)
        try:
            with self._control.makefile("rb") as answers:
                addresses = json.loads(answers.readline())
        except (OSError, ValueError) as err:
            raise EnvironmentProblem(
                "Beam's job service did not start", where="--beam portable", hint=f"see {self._log}"
            ) from err
        return (f"--job_endpoint={addresses['job']}", f"--environment_config={addresses['pool']}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    # All at once, before the leader is reaped: as long as it is not, its number stands for this group alone.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _search_path() -> str:
    """Return where workers find our packages: not in their working folder, which is an empty one."""
    return os.pathsep.join(filter(None, (PROJECT, os.environ.get("PYTHONPATH"))))
