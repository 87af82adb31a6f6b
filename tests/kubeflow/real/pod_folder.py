"""What the node keeps of a pod: its specification, its logs, its termination message, the files of its outputs."""

import json
import shutil
from pathlib import Path

from kubeflow.real.argo import Pod
from kubeflow.real.workflow import Json


class PodFolder:
    """The folder of a pod, made with it."""

    def __init__(self, pods: Path, pod: Pod) -> None:
        self._pod = pod
        self.path = pods / pod.name
        while self.path.exists():  # the run was retried
            self.path = self.path.with_name(f"{self.path.name}-again")
        for folder in (self.outputs, self.volumes):
            folder.mkdir(parents=True)
            folder.chmod(0o777)
        (self.path / "pod.json").write_text(json.dumps(pod.spec.document, indent=1))

    @property
    def outputs(self) -> Path:
        """Where the container writes its outputs, whatever folder it knows that as."""
        return self.path / "outputs"

    @property
    def volumes(self) -> Path:
        """The volumes that last as long as the pod."""
        return self.path / "volumes"

    @property
    def termination(self) -> Path:
        return self.path / "termination"

    def log(self, number: int) -> Path:
        """Returns the log of a container."""
        return self.path / f"log-{number}"

    def begin(self, number: int, described: Json) -> Path:
        """Writes what a container is to be, with a termination message that is empty again, and returns the file."""
        self.termination.write_text("")
        self.termination.chmod(0o666)
        file = self.path / f"container-{number}.json"
        file.write_text(json.dumps(described, indent=1))
        return file

    def message(self, container: Json, number: int) -> str:
        """Returns the termination message of a container; Kubernetes keeps 4096 bytes of it."""
        message = self.termination.read_text(errors="replace")
        if not message and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = self.log(number).read_text(errors="replace")[-2048:]
        return message[:4096]

    def end(self) -> dict[str, str]:
        """Removes what ends with the pod, in which a copy of the launcher takes 130 MB, and returns the outputs written."""
        shutil.rmtree(self.volumes)
        files = {name: self.outputs / Path(path).name for name, path in self._pod.output_paths.items()}
        return {name: file.read_text() for name, file in files.items() if file.exists()}
