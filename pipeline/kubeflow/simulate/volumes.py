"""Volumes and secrets of the platform document, as local folders and environment variables.

The claim that the task's `--serving` lies on is the root's `serving/`. Any other volume needs a folder of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from components.errors import BadInput
from pipeline.kubeflow.document import Document, Json, Task
from pipeline.kubeflow.simulate.dialect import Dialect

NAMED: Final = {"secretAsVolume": "secretName", "configMapAsVolume": "configMapName"}
"""{kind of volume: field of the platform document that names it}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mount:
    """One volume of a pod.

    Attributes:
      path: absolute, in the pod.
      folder: what lies there; None for an empty folder of the pod's own.
      claim: name of its claim, if it is one.
      assumed: whether the platform would mount nothing there.
    """

    path: str
    folder: Path | None
    claim: str | None = None
    assumed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volumes:
    """What stands for the cluster's volumes.

    Attributes:
      serving: folder of the served versions.
      folders: {name of a claim, secret or config map: folder}.
      serving_claims: {claim: path of the serving directory on it}.
    """

    serving: Path
    folders: Mapping[str, Path]
    serving_claims: Mapping[str, PurePosixPath]

    @classmethod
    def of(cls, document: Document, serving: Path, folders: Mapping[str, Path]) -> Volumes:
        """Find the claims on which the file's tasks serve."""
        claims = {
            _claim(mount): PurePosixPath(path).relative_to(mount["mountPath"])
            for task in document.tasks.values()
            if (path := task.serving) is not None
            for mount in _mounts(task, "pvcMount")
            if PurePosixPath(path).is_relative_to(mount["mountPath"])
        }
        return cls(serving=serving, folders=folders, serving_claims=claims)

    def mounts(self, task: Task, dialect: Dialect) -> tuple[Mount, ...]:
        """Return what is mounted into a task's pod.

        Raises:
          BadInput: if no folder stands for one of the volumes, or nothing is mounted where the task serves.
        """
        result = [*self._claims(task), *self._by_name(task)]
        result += [Mount(path=entry["mountPath"], folder=None) for entry in _mounts(task, "emptyDirMounts")]
        path = task.serving
        if path is None or any(PurePosixPath(path).is_relative_to(mount.path) for mount in result):
            return tuple(result)
        if not dialect.mounts_buckets:
            what = "no volume is mounted: a served version would vanish with the pod"
            raise BadInput(what, where=f"{task.name}, {path}", wanted="a claim in the platform document")
        return (*result, Mount(path=path, folder=self.serving, assumed=True))

    def _claims(self, task: Task) -> Iterator[Mount]:
        for mount in _mounts(task, "pvcMount"):
            claim, path = _claim(mount), PurePosixPath(mount["mountPath"])
            if claim in self.serving_claims:
                yield Mount(path=str(path / self.serving_claims[claim]), folder=self.serving, claim=claim)
            else:
                folder = self._folder(claim, task) / mount.get("subPath", "")
                yield Mount(path=str(path), folder=folder, claim=claim)

    def _by_name(self, task: Task) -> Iterator[Mount]:
        for kind, field in NAMED.items():
            for mount in _mounts(task, kind):
                name = mount.get(field, "")
                if name in self.folders or not mount.get("optional", False):
                    yield Mount(path=mount["mountPath"], folder=self._folder(name, task))

    def _folder(self, name: str, task: Task) -> Path:
        if name not in self.folders:
            hint = f"give one with --volume {name}=DIR"
            raise BadInput("no folder stands for a volume", where=task.name, got=name, hint=hint)
        return self.folders[name]


def secret_variables(task: Task) -> tuple[str, ...]:
    """Return the environment variables that a task gets from secrets."""
    return tuple(
        pair["envVar"] for secret in task.platform.get("secretAsEnv", ()) for pair in secret.get("keyToEnv", ())
    )


def _mounts(task: Task, kind: str) -> tuple[Json, ...]:
    """Return a task's volumes of a kind, each of which has to say where it is mounted."""
    mounts = tuple(task.platform.get(kind, ()))
    if not all(isinstance(mount.get("mountPath"), str) for mount in mounts):
        raise BadInput("a volume without a path", where=f"{task.name}, {kind}", wanted="mountPath")
    return mounts


def _claim(mount: Json) -> str:
    """Return the name of a claim, in the form that old backends know or in the one that replaced it."""
    named = mount.get("pvcNameParameter", {}).get("runtimeValue", {}).get("constant")
    name = mount.get("constant", named)
    if name is None:
        raise BadInput("a claim that a parameter names is not imitated", where=mount.get("mountPath"))
    return str(name)
