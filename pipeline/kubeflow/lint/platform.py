"""What a platform document asks of Kubernetes: for executors that are there, in fields that KFP has, and completely.

kfp comes without these messages, so their fields stand here, as in
kubernetes_platform/proto/kubernetes_executor_config.proto of kubeflow/pipelines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from components.suggestions import closest, did_you_mean
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import KUBERNETES, PLATFORMS, Document, Json
from pipeline.kubeflow.lint.fault import Fault

NAMED_BY: Final = {
    "pvcMount": ("constant", "pvcNameParameter", "taskOutputParameter", "componentInputParameter"),
    "secretAsVolume": ("secretName", "secretNameParameter"),
    "configMapAsVolume": ("configMapName", "configMapNameParameter"),
    "genericEphemeralVolume": ("volumeName",),
    "emptyDirMounts": ("volumeName",),
}
"""{kind of volume: fields one of which says what is mounted}; where it is mounted says `mountPath`."""

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "pvcMount": (*NAMED_BY["pvcMount"], "mountPath", "subPath"),
    "secretAsVolume": (*NAMED_BY["secretAsVolume"], "mountPath", "optional"),
    "configMapAsVolume": (*NAMED_BY["configMapAsVolume"], "mountPath", "optional"),
    "emptyDirMounts": ("volumeName", "mountPath", "medium", "sizeLimit"),
    "genericEphemeralVolume": (
        *("volumeName", "mountPath", "accessModes", "size", "defaultStorageClass", "storageClassName", "metadata"),
    ),
    "secretAsEnv": ("secretName", "keyToEnv", "optional", "secretNameParameter"),
    "configMapAsEnv": ("configMapName", "keyToEnv", "configMapNameParameter", "optional"),
    "fieldPathAsEnv": ("name", "fieldPath"),
    "nodeSelector": ("labels", "nodeSelectorJson"),
    "nodeAffinity": ("matchExpressions", "matchFields", "weight", "nodeAffinityJson"),
    "podAffinity": (
        *("matchPodExpressions", "matchPodLabels", "topologyKey", "namespaces", "matchNamespaceExpressions"),
        *("matchNamespaceLabels", "weight", "anti"),
    ),
    "podMetadata": ("labels", "annotations"),
    "tolerations": ("key", "operator", "value", "effect", "tolerationSeconds", "tolerationJson"),
    "imagePullSecret": ("secretName", "secretNameParameter"),
    "imagePullPolicy": (),
    "activeDeadlineSeconds": (),
    "enabledSharedMemory": ("volumeName", "size"),
    "securityContext": ("runAsUser", "runAsGroup", "runAsNonRoot"),
    "initContainers": ("name", "image", "command", "args", "env", "volumeMounts", "restartPolicy", "resources"),
}
"""{field of a KubernetesExecutorConfig: fields of the message in it}."""


def platform_executors(document: Document, _: Target) -> Iterator[Fault]:
    """Find requests for executors that are not there: nobody gets the volume or the secret, and nobody is told."""
    executors = document.spec.get("deploymentSpec", {}).get("executors", {})
    for label in _executors(document):
        if label not in executors:
            yield Fault(where=label, what="an executor that is not there", hint=_hint(label, executors))


def platform_fields(document: Document, _: Target) -> Iterator[Fault]:
    """Find fields that KFP's server does not know, and refuses the file for."""
    for label, config in _executors(document).items():
        for field, value in config.items():
            if _camel(field) not in FIELDS:
                yield Fault(where=label, what=f"{field} is no field of KFP's", hint=_hint(field, FIELDS))
                continue
            inner = FIELDS[_camel(field)]
            for name in (name for entry in _entries(value) for name in entry if _camel(name) not in inner):
                what = f"{name} is no field of {field}"
                yield Fault(where=label, what=what, hint=_hint(name, inner))


def mounts(document: Document, _: Target) -> Iterator[Fault]:
    """Find volumes without a name or a place, with which Kubernetes makes no pod."""
    for label, config in _executors(document).items():
        for kind, names in NAMED_BY.items():
            for entry in _entries(config.get(kind, [])):
                if not entry.get("mountPath"):
                    yield Fault(where=label, what=f"{kind} without mountPath", hint="say where it is mounted")
                if not any(entry.get(name) for name in names):
                    yield Fault(where=label, what=f"{kind} that names nothing", hint=f"give it {names[0]}")


def _executors(document: Document) -> dict[str, Json]:
    platform = (document.platform or {}).get(PLATFORMS, {}).get(KUBERNETES, {}).get("deploymentSpec", {})
    return dict(platform.get("executors", {}))


def _entries(value: Any) -> list[Json]:
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, Mapping)]


def _camel(name: str) -> str:
    """Return a field's name as JSON has it; protobuf's readers take `mount_path` as well."""
    first, *more = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in more)


def _hint(name: str, known: Collection[str]) -> str:
    return did_you_mean(closest(name, known)) or f"one of {', '.join(known)}"
