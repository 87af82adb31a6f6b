"""Simulated pod: a process in a folder of its own, with what is mounted there; or a container of a real image.

The folder stands for `/` (`MNIST_TFX_POD_ROOT`) and is gone afterwards, with all processes of the pod. The environment is
that of an image, not the caller's. A container has a `/` of its own, where parts of the folder are mounted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import pipeline
from components.errors import EnvironmentProblem
from pipeline.kubeflow.places import FOLDERS, POD_ROOT
from pipeline.kubeflow.simulate import container as containers
from pipeline.kubeflow.simulate.container import Container
from pipeline.kubeflow.termination import LOG
from pipeline.process import lifeline, scratch
from pipeline.process.signals import Interrupted

FOLDER: Final = ".pods"
"""Below the root: the pods that are running now."""

PATH: Final = "/usr/local/bin:/usr/bin:/bin"
LONGEST_TERMINATION: Final = 4096
"""Bytes of a termination message that Kubernetes keeps."""

GRACE: Final = 30.0
"""Seconds between SIGTERM and SIGKILL: `terminationGracePeriodSeconds`, where a pod has none of its own."""

DRAIN: Final = 10.0
"""Seconds for the last lines of a pod that has ended; a process that has left its group may hold the pipe for ever."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exit:
    """How a pod ended.

    Attributes:
      code: its exit code; negative for a signal, as `subprocess` has it.
      message: the last line that it wrote to standard error.
      termination: its termination message.
    """

    code: int
    message: str
    termination: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod that is about to run.

    Attributes:
      root: the folder that stands for its `/`.
      scratch: its folder for temporary files, with a short name: sockets are put there.
      container: what its containers are started with; without one a process of this machine stands for them.
      mounts: {path in the container: what lies there}.
    """

    root: Path
    scratch: Path
    container: Container | None = None
    mounts: dict[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What a path of the pod begins with for a process in it."""
        return str(self.root) if self.container is None else ""

    def path(self, absolute: str) -> Path:
        """Return where a path of the pod lies."""
        at = max((place for place in self.mounts if f"{absolute}/".startswith(f"{place}/")), key=len, default="")
        return self.mounts.get(at, self.root) / absolute.removeprefix(at).lstrip("/")

    def mount(self, path: str, folder: Path | None, *, is_claim: bool = False) -> None:
        """Put a folder at a path, or an empty one; other users' pods write to that of a claim as well."""
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if folder is None:
            place.mkdir(exist_ok=True)
        elif self.container is None:
            place.symlink_to(folder, target_is_directory=True)
        elif is_claim:
            containers.share(folder)
        if self.container is not None:
            self.mounts[path] = folder or place

    def make_parent(self, path: str) -> None:
        """Make the folder above a path, as the launcher does."""
        parent = self.path(path).parent
        parent.mkdir(parents=True, exist_ok=True)
        if self.container is not None:
            self.container.hand_over(parent)

    def run(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Exit:
        """Run a command to its end; whatever ends the wait ends the pod.

        A pod that a signal finds in the middle of a push ends well nonetheless, and what it has delivered counts.

        Raises:
          EnvironmentProblem: if it cannot be started.
        """
        termination = self.path(LOG)
        termination.parent.mkdir(parents=True, exist_ok=True)
        termination.write_bytes(b"")  # Kubernetes has it there before the container starts
        with log.open("ab", buffering=0) as written, self._started(command, env) as (arguments, variables):
            try:
                process = subprocess.Popen(
                    arguments,
                    cwd=self.root,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as err:
                raise EnvironmentProblem("cannot be started", where=arguments[0], got=err.strerror) from err
            assert process.stderr is not None  # noqa: S101  # it was asked for
            errors = _Errors(process.stderr, written)
            try:
                errors.start()
                code = process.wait()
            except Interrupted:
                _end(process)
                if (code := process.returncode) != 0:
                    raise
            finally:
                _end(process)
                with contextlib.suppress(RuntimeError):  # a signal came before it had started
                    errors.join(DRAIN)
            message = termination.read_bytes()[:LONGEST_TERMINATION].decode(errors="replace")
            if self.container is not None:
                code = containers.code_of(code)
            return Exit(code=code, message=errors.last, termination=message)

    @contextlib.contextmanager
    def _started(self, command: Sequence[str], env: Mapping[str, str]) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Give the arguments and the environment of the process that the pod is on this machine."""
        if self.container is None:
            yield list(command), {**self._image_environment(), **env}
            return
        for place in ("/tmp", *(f"/{folder}" for folder in FOLDERS.values())):  # noqa: S108  # in the container
            self.path(place).mkdir(parents=True, exist_ok=True)
            self.mounts.setdefault(place, self.path(place))
        self.container.hand_over(self.root)
        with self.container.started(command, env, {**self.mounts, LOG: self.path(LOG)}) as arguments:
            yield arguments, dict(os.environ)

    def _image_environment(self) -> dict[str, str]:
        tools = self.path("/opt/bin")
        tools.mkdir(parents=True, exist_ok=True)
        python = tools / "python"
        # A link would leave the virtual environment: it is found beside the path that was called.
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        home = self.path("/home/pod")
        home.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": f"{tools}:{PATH}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.scratch),
            # What is on this machine's PYTHONPATH stands for what an image was built with.
            "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(pipeline.__file__).parents[1]), _python_path()))),
            "PYTHONUNBUFFERED": "1",
            POD_ROOT: str(self.root),
            **lifeline.environment(),
        }


def _python_path() -> str:
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(os.path.abspath(folder) for folder in folders if folder)


@contextlib.contextmanager
def open_pod(pods: Path, name: str, container: Container | None = None) -> Iterator[Pod]:
    """Make a pod's folders and remove them."""
    root = pods / f"{name}-{uuid.uuid4().hex[:8]}"
    root.mkdir(parents=True)
    try:
        with scratch.folder() as temporary:
            yield Pod(root=root, scratch=temporary, container=container)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sweep(pods: Path) -> None:
    """Remove what pods of a killed simulation left; nobody else may be using the root."""
    shutil.rmtree(pods, ignore_errors=True)


class _Errors(threading.Thread):
    """Copies a pod's standard error to the log and keeps the last line of it."""

    def __init__(self, source: IO[bytes], log: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._log = log
        self.last = ""

    def run(self) -> None:
        """Read until all processes of the pod have closed it."""
        with contextlib.suppress(ValueError, OSError):  # the log was closed: somebody outlived the pod
            for line in self._source:
                self._log.write(line)
                if text := line.decode(errors="replace").strip():
                    self.last = text


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a pod that still runs, and whatever it started."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
