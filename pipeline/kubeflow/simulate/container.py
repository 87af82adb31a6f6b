"""Container of a real image around a simulated task, by podman, under Kubernetes' restricted Pod Security Standard.

A user of no privileges, no capability and none to be gained, seccomp's default filter, a root that cannot be written to:
https://kubernetes.io/docs/concepts/security/pod-security-standards/. There is no network. Writable are the folders that
KFP's launcher fills, the pod's volumes, and `/tmp`; the image's home is not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem

ENGINE: Final = "podman"
INSTALL: Final = "apt-get install podman runc"
OTHER_USER: Final = 12345
"""Whom containers run as where root starts them: neither root nor the user that the image names."""

CANNOT_START: Final = 125
"""Exit code of podman itself: there was no container."""

BY_SIGNAL: Final = 128
"""A container that a signal ended ends with this and the signal's number."""

RESTRICTED: Final = (
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--read-only-tmpfs=false",  # podman would put writable folders at /run, /tmp and /var/tmp
    "--network=none",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Container:
    """What the containers of a run are started with.

    Attributes:
      image: its name; podman has it already.
      user: whom they run as, in group 0. Only root can name another one than himself.
    """

    image: str
    user: int = dataclasses.field(default_factory=lambda: os.geteuid() or OTHER_USER)

    def check(self) -> None:
        """Find out before the first task whether there is an engine, and the image.

        Raises:
          EnvironmentProblem: if there is no podman, or it cannot work here.
          BadInput: if it does not have the image.
        """
        if shutil.which(ENGINE) is None:
            raise EnvironmentProblem("no podman to run containers by", hint=INSTALL)
        asked = _podman("image", "exists", "--", self.image)
        if asked.returncode == 1:
            raise BadInput("podman has no such image", where=self.image, hint=f"podman pull {self.image}")
        if asked.returncode != 0:
            raise EnvironmentProblem("podman does not work here", got=_last_line(asked.stderr))

    @contextlib.contextmanager
    def started(
        self, command: Sequence[str], env: Mapping[str, str], mounts: Mapping[str, Path]
    ) -> Iterator[list[str]]:
        """Give the arguments that run a command in a container, which is gone afterwards, however it ends."""
        name = f"mnist-tfx-{uuid.uuid4().hex[:12]}"
        variables = [f"--env={variable}={value}" for variable, value in env.items()]
        volumes = [f"--volume={folder}:{place}" for place, folder in sorted(mounts.items())]
        how = [*RESTRICTED, *self._user(), *variables, *volumes, f"--name={name}", "--rm", "--pull=never"]
        try:
            # Kubernetes' `command` takes the place of the image's entry point.
            yield [ENGINE, "run", "--log-driver=none", *how, "--entrypoint=", "--", self.image, *command]
        except BaseException:
            _podman("rm", "--force", "--time=0", name)  # conmon keeps a container whose podman is killed
            raise

    def hand_over(self, folder: Path) -> None:
        """Give a folder to the containers' user, with all that is in it, as if his launcher had made it."""
        if os.geteuid() != 0:
            return
        os.chown(folder, self.user, 0)
        for above, below, files in os.walk(folder):
            for name in (*below, *files):
                os.lchown(os.path.join(above, name), self.user, 0)

    def _user(self) -> tuple[str, ...]:
        if os.geteuid() == 0:
            return (f"--user={self.user}:0",)
        return ("--userns=keep-id", f"--user={os.getuid()}:{os.getgid()}")


def share(volume: Path) -> None:
    """Let group 0 write to a volume, as the job in kubeflow/serving-claim.example.yaml does."""
    if os.geteuid() == 0:
        os.chown(volume, -1, 0)
        volume.chmod(stat.S_IMODE(volume.stat().st_mode) | stat.S_ISGID | stat.S_IRWXG)


def code_of(ended: int) -> int:
    """Return an exit code of podman's as `subprocess` has it: negative for a signal."""
    return BY_SIGNAL - ended if ended > BY_SIGNAL else ended


def _podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
