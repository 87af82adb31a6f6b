"""A cluster for KFP's own driver and launcher: services and a node, in a network that reaches nothing else."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kubeflow.real import services
from kubeflow.real.argo import Execution, Node, Pod
from kubeflow.real.images import OUR_USER
from kubeflow.real.node import ACCOUNT, Machine
from kubeflow.real.workflow import Workflow

PROGRAMS: Final = ("driver", "launcher-v2")
HOW: Final = (
    "KFP_BIN=FOLDER names no `driver` and `launcher-v2` of Kubeflow Pipelines: copy /bin/driver out of the image "
    "ghcr.io/kubeflow/kfp-driver:2.17.0 and /bin/launcher-v2 out of ghcr.io/kubeflow/kfp-launcher:2.17.0, "
    "then make test-kfp KFP_BIN=FOLDER"
)
BUCKET: Final = "mlpipeline"
_HERE: Final = Path(__file__).parent


def programs() -> Path | None:
    """Returns the folder that KFP_BIN names, if it holds KFP's two programs."""
    named = os.environ.get("KFP_BIN")
    if not named or not all(os.access(Path(named, name), os.X_OK) for name in PROGRAMS):
        return None
    return Path(named).resolve()


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs."""

    folder: Path
    programs: Path
    network: tuple[str, ...]
    """How a command is brought into the cluster's network."""

    @property
    def volumes(self) -> Path:
        """A folder for each claim and each secret."""
        return self.folder / "volumes"

    def execution(
        self,
        workflow: Workflow,
        *,
        user: int = OUR_USER,
        at_once: int = 1,
        before: Callable[[Pod], None] = lambda _: None,
    ) -> Execution:
        """Returns the execution of a Workflow here; `before` is told each pod that is about to run."""
        machine = Machine(
            folder=self.folder / f"pods-{workflow.run_id}",
            programs=self.programs,
            volumes=self.volumes,
            user=user,
            network=self.network,
            files=self._account(),
        )
        return Execution(workflow, machine, at_once=at_once, say=_say, before=before)

    def cache_goes_away_once(self) -> None:
        """Has the next launcher that is done fail, after it has uploaded everything."""
        (self.folder / services.AWAY).touch()

    def copy_bucket(self, prefix: str, to: Path) -> None:
        """Copies what lies below `prefix` of the bucket, as `mc mirror` does."""
        self._bucket("copy", BUCKET, prefix, to)

    def make_bucket(self) -> None:
        self._bucket("make", BUCKET)

    def _bucket(self, *arguments: object) -> None:
        command = [*self.network, sys.executable, str(_HERE / "bucket.py"), *map(str, arguments)]
        subprocess.run(command, check=True)

    def _account(self) -> dict[str, str]:
        """What Kubernetes puts into each pod."""
        certificate = (self.folder / services.CERTIFICATE).read_text()
        files = {"token": "token", "namespace": "kubeflow", "ca.crt": certificate}
        return {f"{ACCOUNT}/{name}": text for name, text in files.items()}


@contextlib.contextmanager
def started(folder: Path, programs: Path) -> Iterator[Cluster]:
    """Starts the services; they end with the context."""
    (folder / "volumes").mkdir(parents=True)
    log = folder / "services.log"
    with log.open("w") as stderr, _services(folder, stderr) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == services.READY, log.read_text()
            cluster = Cluster(folder, programs, ("nsenter", f"--net=/proc/{process.pid}/ns/net"))
            cluster.make_bucket()
            yield cluster
        finally:
            process.stdin.close()  # and with it the services end
            process.wait(timeout=60)


def _services(folder: Path, stderr: IO[str]) -> "subprocess.Popen[str]":
    command = ["unshare", "--net", sys.executable, str(_HERE / "services.py"), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)


_SAID = threading.Lock()


def _say(node: Node) -> None:
    """Prints a node that ended: its pod may have taken minutes."""
    told = {"cached": node.cached, f"attempt {node.attempt + 1}": node.attempt > 0}
    notes = "".join(f"  {word}" for word, holds in told.items() if holds)
    with _SAID:
        sys.stdout.write(f"  {node.seconds:6.1f} s  {node.phase:9}  {node.name}{notes}\n")
        sys.stdout.flush()
