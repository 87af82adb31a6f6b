"""The node that pods run on: a pod goes in, each of its containers runs in namespaces of its own, how it ended comes out.

Images are replaced (`images.py`). Users, capabilities, volumes, secrets and variables are those of the pod.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kubeflow.real.argo import Ended, Pod
from kubeflow.real.images import OUR_USER, Image, image_of
from kubeflow.real.pod_folder import PodFolder
from kubeflow.real.pod_spec import expanded
from kubeflow.real.workflow import Json, NotKnown

NEEDS: Final = "needs root, and unshare, nsenter and setpriv of util-linux"
HAS_NAMESPACES: Final = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "setpriv")))

ACCOUNT: Final = "/run/secrets/kubernetes.io/serviceaccount"
_PROGRAM: Final = str(Path(__file__).with_name("container.py"))
_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
"""A pod ends when the process that watches it does, however that ends."""
_NAMESPACES: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
_HOSTS: Final = (
    "localhost metadata-grpc-service metadata-grpc-service.kubeflow metadata-grpc-service.kubeflow.svc.cluster.local "
    "ml-pipeline ml-pipeline.kubeflow ml-pipeline.kubeflow.svc.cluster.local seaweedfs.kubeflow minio-service.kubeflow"
)
_OF_EVERY_POD: Final = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@dataclass(frozen=True)
class Machine:
    """Where pods run."""

    folder: Path
    """Logs, specifications and termination messages of the pods."""
    programs: Path
    """KFP's `driver` and `launcher-v2`."""
    volumes: Path
    """A folder for each claim, and one for each secret, `secret-NAME`, with a file for each key."""
    user: int = OUR_USER
    """Who runs what is not KFP's, where the pod names nobody; his group is 0, as with clusters that choose users."""
    network: tuple[str, ...] = ("unshare", "--net")
    """How a command is brought into the network of the cluster."""
    files: Mapping[str, str] = field(default_factory=dict)
    """{path: text} of what a cluster puts into every pod."""

    def __call__(self, pod: Pod) -> Ended:
        """Runs the pod's containers one after the other, until one fails."""
        folder = PodFolder(self.folder, pod)
        identity = {"metadata.name": pod.name, "metadata.uid": secrets.token_hex(8)}
        code, message = 0, ""
        for number, container in enumerate(pod.spec.containers):
            code = self._run(folder, number, self._described(pod, container, folder, identity))
            message = folder.message(container, number)
            if code:
                break
        return Ended(code, folder.end(), message)

    def _run(self, folder: PodFolder, number: int, described: Json) -> int:
        program = (sys.executable, "-I", "-S", _PROGRAM, str(folder.begin(number, described)))
        with folder.log(number).open("wb") as log:
            command = [*_WITH_US, *self.network, *_NAMESPACES, *program]
            return subprocess.run(command, stdout=log, stderr=log, check=False).returncode

    def _described(self, pod: Pod, container: Json, folder: PodFolder, identity: Mapping[str, str]) -> Json:
        """Returns what `container.py` is to make of itself."""
        image = image_of(container, self.programs, self.user)
        security = pod.spec.security(container)
        env = self._env(container, image, identity)
        return {
            "folder": str(folder.path),
            "command": [expanded(word, env) for word in (*container.get("command", ()), *container.get("args", ()))],
            "env": env,
            "privileges": _privileges(pod, security, int(security.get("runAsUser", image.user))),
            "read_only": bool(security.get("readOnlyRootFilesystem")),
            "files": {"/etc/hosts": f"127.0.0.1 {_HOSTS}\n", **self.files},
            "reachable": [str(path) for path in image.folders],
            "mounts": [*_given(pod, container, image, folder), *self._asked_for(pod, container, folder)],
        }

    def _env(self, container: Json, image: Image, identity: Mapping[str, str]) -> dict[str, str]:
        env = {**image.env, **_OF_EVERY_POD}
        for one in container.get("env", ()):
            env[one["name"]] = expanded(one["value"], env) if "value" in one else self._value(one, identity)
        if any(not source.get("configMapRef", {}).get("optional") for source in container.get("envFrom", ())):
            raise NotKnown(f"{container['name']}: envFrom of something that is not optional")
        return env

    def _value(self, variable: Json, identity: Mapping[str, str]) -> str:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            return identity[str(source["fieldRef"]["fieldPath"])]
        if "secretKeyRef" in source:
            asked = source["secretKeyRef"]
            return Path(self.volumes, f"secret-{asked['name']}", asked["key"]).read_text()
        return ""  # a variable without a value is empty

    def _asked_for(self, pod: Pod, container: Json, folder: PodFolder) -> list[Json]:
        """The volumes that the pod asks for."""
        mounts = []
        for one in container.get("volumeMounts", ()):
            volume = pod.spec.volume(one["name"])
            source = self._source(volume, folder) / one.get("subPath", "")
            read_only = bool(one.get("readOnly")) or "secret" in volume
            mounts.append(_mounted(source, one["mountPath"], read_only=read_only))
        return mounts

    def _source(self, volume: Json, folder: PodFolder) -> Path:
        if "secret" in volume:
            return self.volumes / f"secret-{volume['secret']['secretName']}"
        if "persistentVolumeClaim" in volume:
            source = self.volumes / str(volume["persistentVolumeClaim"]["claimName"])
        elif "emptyDir" in volume:
            source = folder.volumes / str(volume["name"])
        else:
            raise NotKnown(f"volume {volume}")
        source.mkdir(exist_ok=True)
        source.chmod(0o777)
        return source


def _given(pod: Pod, container: Json, image: Image, folder: PodFolder) -> list[Json]:
    """What every container has: its image, its termination log, and for Argo the folders that it writes outputs to."""
    outputs = {str(Path(path).parent) for path in pod.output_paths.values()}
    return [
        *(_mounted(path, str(path), read_only=True) for path in image.folders),
        *(_mounted(folder.outputs, path) for path in sorted(outputs)),
        _mounted(folder.termination, container.get("terminationMessagePath", "/dev/termination-log")),
    ]


def _mounted(source: Path, target: str, *, read_only: bool = False) -> Json:
    return {"source": str(source), "target": target, "read_only": read_only}


def _privileges(pod: Pod, security: Json, user: int) -> list[str]:
    """Returns setpriv's words for a user and what the pod says about capabilities."""
    if security.get("runAsNonRoot") and user == 0:
        raise NotKnown(f"{pod.node}: runAsNonRoot, and user 0: a kubelet would not start it")
    words = [f"--reuid={user}", f"--regid={security.get('runAsGroup', 0)}", "--clear-groups"]
    if security.get("allowPrivilegeEscalation") is False:
        words.append("--no-new-privs")
    if security.get("capabilities", {}).get("drop") == ["ALL"]:
        words += ["--inh-caps=-all", "--bounding-set=-all"]
    return words
