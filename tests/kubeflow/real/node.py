"""The node that pods run on: a pod goes in, each of its containers runs in namespaces of its own, how it ended comes out.

Images are replaced. KFP's are a folder with its two programs, and every other image is this installation, from which
the pipeline was compiled too. Users, capabilities, volumes, secrets and variables are those of the pod.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from command_line import PROJECT
from kubeflow.real.argo import Ended, Pod
from kubeflow.real.pod_spec import expanded
from kubeflow.real.workflow import Json, NotKnown

from pipeline.provenance.git import COMMIT_VARIABLE, TREE_VARIABLE, git_state

NEEDS: Final = "needs root, and unshare, nsenter and setpriv of util-linux"
HAS_NAMESPACES: Final = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "setpriv")))

KFP_USER: Final = 65532
"""The user of KFP's images since 2.16 (`backend/Dockerfile.driver`)."""
OUR_USER: Final = 10001
"""The user of kubeflow/Dockerfile."""

ACCOUNT: Final = "/run/secrets/kubernetes.io/serviceaccount"
_HOSTS: Final = (
    "localhost metadata-grpc-service metadata-grpc-service.kubeflow metadata-grpc-service.kubeflow.svc.cluster.local "
    "ml-pipeline ml-pipeline.kubeflow ml-pipeline.kubeflow.svc.cluster.local seaweedfs.kubeflow minio-service.kubeflow"
)


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
    """Who runs what is not KFP's; his group is 0, as clusters have it that choose users themselves."""
    network: tuple[str, ...] = ("unshare", "--net")
    """How a command is brought into the network of the cluster."""
    files: Mapping[str, str] = field(default_factory=dict)
    """{path: text} of what a cluster puts into every pod."""

    def __call__(self, pod: Pod) -> Ended:
        """Runs the pod's containers one after the other, until one fails."""
        folder = self._folder(pod)
        uid = secrets.token_hex(8)
        code, message = 0, ""
        for number, container in enumerate(pod.spec.containers):
            code = self._run(pod, container, folder, number, uid)
            message = _message(folder, container, number)
            if code:
                break
        outputs = {name: folder / "outputs" / Path(path).name for name, path in pod.output_paths.items()}
        # Volumes of a pod end with it; each has held a copy of the launcher, 130 MB.
        shutil.rmtree(folder / "volumes")
        return Ended(code, {name: file.read_text() for name, file in outputs.items() if file.exists()}, message)

    def _folder(self, pod: Pod) -> Path:
        folder = self.folder / pod.name
        while folder.exists():
            folder = folder.with_name(f"{folder.name}-again")
        for name in ("outputs", "volumes"):
            (folder / name).mkdir(parents=True)
            (folder / name).chmod(0o777)
        (folder / "pod.json").write_text(json.dumps(pod.spec.document, indent=1))
        return folder

    def _run(self, pod: Pod, container: Json, folder: Path, number: int, uid: str) -> int:
        security = pod.spec.security(container)
        kfp = _is_kfp(container)
        user = int(security.get("runAsUser", KFP_USER if kfp else self.user))
        if security.get("runAsNonRoot") and user == 0:
            raise NotKnown(f"{pod.node}: runAsNonRoot, and user 0: the kubelet would not start it")
        (folder / "termination").write_text("")
        (folder / "termination").chmod(0o666)
        env = self._env(container, {"metadata.name": pod.name, "metadata.uid": uid}, kfp=kfp)
        described = {
            "folder": str(folder),
            "command": [expanded(word, env) for word in (*container.get("command", ()), *container.get("args", ()))],
            "env": env,
            "privileges": _privileges(security, user),
            "read_only": bool(security.get("readOnlyRootFilesystem")),
            "files": {"/etc/hosts": f"127.0.0.1 {_HOSTS}\n", **self.files},
            "reachable": [str(path) for path in self._image(kfp=kfp)],
            "mounts": [*self._system_mounts(pod, container, folder, kfp=kfp), *self._mounts(pod, container, folder)],
        }
        file = folder / f"container-{number}.json"
        file.write_text(json.dumps(described, indent=1))
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
        program = (sys.executable, "-I", "-S", str(Path(__file__).with_name("container.py")), str(file))
        with (folder / f"log-{number}").open("wb") as log:
            return subprocess.run(
                [*self.network, *namespaces, *program], stdout=log, stderr=log, check=False
            ).returncode

    def _env(self, container: Json, fields: Mapping[str, str], *, kfp: bool) -> dict[str, str]:
        path = str(self.programs) if kfp else f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        env = {
            "HOME": "/" if kfp else "/home/mnist-tfx",
            "PATH": path,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": "6443",
        }
        if not kfp:
            env |= {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT), **_git()}
        for one in container.get("env", ()):
            env[one["name"]] = expanded(one["value"], env) if "value" in one else self._value(one, fields)
        if any(not source.get("configMapRef", {}).get("optional") for source in container.get("envFrom", ())):
            raise NotKnown(f"{container['name']}: envFrom of something that is not optional")
        return env

    def _value(self, variable: Json, fields: Mapping[str, str]) -> str:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            return fields[str(source["fieldRef"]["fieldPath"])]
        if "secretKeyRef" in source:
            asked = source["secretKeyRef"]
            return Path(self.volumes, f"secret-{asked['name']}", asked["key"]).read_text()
        return ""  # a variable without a value is empty

    def _image(self, *, kfp: bool) -> tuple[Path, ...]:
        # KFP's programs need no more than themselves; their stand-ins are scripts of this Python.
        return (self.programs if kfp else PROJECT, Path(sys.prefix), Path(sys.base_prefix))

    def _system_mounts(self, pod: Pod, container: Json, folder: Path, *, kfp: bool) -> list[Json]:
        """What every pod of a cluster has: its image, its termination log, and for Argo the folders of its outputs."""
        outputs = {str(Path(path).parent) for path in pod.output_paths.values()}
        return [
            *(_mounted(path, str(path), read_only=True) for path in self._image(kfp=kfp)),
            *(_mounted(folder / "outputs", path) for path in sorted(outputs)),
            _mounted(folder / "termination", container.get("terminationMessagePath", "/dev/termination-log")),
        ]

    def _mounts(self, pod: Pod, container: Json, folder: Path) -> list[Json]:
        return [
            _mounted(
                self._source(pod.spec.volume(one["name"]), folder) / one.get("subPath", ""),
                one["mountPath"],
                read_only=bool(one.get("readOnly")) or "secret" in pod.spec.volume(one["name"]),
            )
            for one in container.get("volumeMounts", ())
        ]

    def _source(self, volume: Json, folder: Path) -> Path:
        if "secret" in volume:
            return self.volumes / f"secret-{volume['secret']['secretName']}"
        if "persistentVolumeClaim" in volume:
            source = self.volumes / str(volume["persistentVolumeClaim"]["claimName"])
        elif "emptyDir" in volume:
            source = folder / "volumes" / str(volume["name"])
        else:
            raise NotKnown(f"volume {volume}")
        source.mkdir(exist_ok=True)
        source.chmod(0o777)
        return source


def _git() -> dict[str, str]:
    """What an image's build puts into its environment."""
    state = git_state()
    return {COMMIT_VARIABLE: state.commit or "", TREE_VARIABLE: state.tree}


def _is_kfp(container: Json) -> bool:
    return any(name in container["image"] for name in ("kfp-driver", "kfp-launcher"))


def _mounted(source: Path, target: str, *, read_only: bool = False) -> Json:
    return {"source": str(source), "target": target, "read_only": read_only}


def _privileges(security: Json, user: int) -> list[str]:
    """Returns setpriv's words for a user and what the pod says about capabilities."""
    words = [f"--reuid={user}", "--regid=0", "--clear-groups"]
    if security.get("allowPrivilegeEscalation") is False:
        words.append("--no-new-privs")
    if security.get("capabilities", {}).get("drop") == ["ALL"]:
        words += ["--inh-caps=-all", "--bounding-set=-all"]
    return words


def _message(folder: Path, container: Json, number: int) -> str:
    message = (folder / "termination").read_text(errors="replace")
    if not message and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        message = (folder / f"log-{number}").read_text(errors="replace")[-2048:]
    return message[:4096]  # Kubernetes keeps no more
