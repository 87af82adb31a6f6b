"""Volumes of a pod: each with a name and a place of its own, and beside those that KFP mounts itself.

KFP's driver makes a patch of them, by which Kubernetes merges volumes of one name, and mounts at one path: of two the
first is gone without a word, or the pod is refused (`makeVolumeMountPatch` in backend/src/v2/driver/k8s.go).
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Final

from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import Document, Json
from pipeline.kubeflow.lint.fault import Fault
from pipeline.kubeflow.lint.platform import configs, entries
from pipeline.kubeflow.names import VOLUME_NAME
from pipeline.kubeflow.places import launcher_folder

NAMED_BY: Final = {
    "pvcMount": ("constant", "pvcNameParameter", "taskOutputParameter", "componentInputParameter"),
    "secretAsVolume": ("secretName", "secretNameParameter"),
    "configMapAsVolume": ("configMapName", "configMapNameParameter"),
    "genericEphemeralVolume": ("volumeName",),
    "emptyDirMounts": ("volumeName",),
}
"""{kind of volume: fields one of which says what is mounted}; where it is mounted says `mountPath`."""

PARAMETER: Final = "runtimeValue"


def mounts(document: Document, _: Target) -> Iterator[Fault]:
    """Find volumes without a name or a place, with which no pod is made, and places that are KFP's own."""
    for label, config in configs(document).items():
        for kind, volume in _volumes(config):
            path = volume.get("mountPath")
            if not path:
                yield Fault(where=label, what=f"{kind} without mountPath", hint="say where it is mounted")
            elif not str(path).startswith("/") or ":" in str(path):
                yield Fault(
                    where=label, what=f"{kind} at {path!r}", hint="an absolute path in the pod, without a colon"
                )
            elif (folder := launcher_folder(str(path))) is not None:
                what = f"{kind} at {path}, and KFP mounts a volume of its own at {folder}"
                yield Fault(where=label, what=what, hint="mount it elsewhere")
            if not any(volume.get(name) for name in NAMED_BY[kind]):
                yield Fault(where=label, what=f"{kind} that names nothing", hint=f"give it {NAMED_BY[kind][0]}")
            elif (name := _name(kind, volume)) is not None and VOLUME_NAME.fullmatch(name) is None:
                what = f"{kind} of {name!r}, which KFP makes the name of the pod's volume"
                yield Fault(where=label, what=what, hint="at most 63 lower case letters, digits and -")


def shared_places(document: Document, _: Target) -> Iterator[Fault]:
    """Find two volumes at one path, and two kinds of volume of one name."""
    for label, config in configs(document).items():
        volumes = list(_volumes(config))
        paths = Counter(
            posixpath.normpath(str(volume["mountPath"])) for _, volume in volumes if volume.get("mountPath")
        )
        for path in (path for path, count in paths.items() if count > 1):
            yield Fault(where=label, what=f"two volumes at {path}", hint="mount one of them elsewhere")
        kinds = {(name, kind) for kind, volume in volumes if (name := _name(kind, volume)) is not None}
        for name in sorted(name for name, count in Counter(name for name, _ in kinds).items() if count > 1):
            both = " and ".join(sorted(kind for other, kind in kinds if other == name))
            what = f"{both} of one name, {name}, would be one volume of the pod"
            yield Fault(where=label, what=what, hint="give one of them another name")


def _volumes(config: Json) -> Iterator[tuple[str, Json]]:
    for kind in NAMED_BY:
        for volume in entries(config.get(kind, [])):
            yield kind, volume


def _name(kind: str, volume: Json) -> str | None:
    """Return the name that a volume has in the file; None for one that only a run knows."""
    plain, *parameters = NAMED_BY[kind]
    if volume.get(plain):
        return str(volume[plain])
    given: Json = next((volume[name] for name in parameters if isinstance(volume.get(name), dict)), {})
    value = given.get(PARAMETER, {}).get("constant")
    return value if isinstance(value, str) else None
