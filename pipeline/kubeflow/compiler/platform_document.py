"""Platform document, the second one of a file for Kubeflow Pipelines: what the pods ask of Kubernetes itself.

The messages are those of kubernetes_platform/proto/kubernetes_executor_config.proto in kubeflow/pipelines, in the plain
older form (`secretName`, `constant`): the newer fields are unknown to older servers, and newer servers take both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from components.errors import BadInput
from pipeline.kubeflow.compiler.cluster import Cluster, SecretKey, SecurityContext, SignKey, TaskResources, Toleration
from pipeline.kubeflow.compiler.pods import SERVING_READERS, Pod
from pipeline.kubeflow.document import KUBERNETES, PLATFORMS
from pipeline.kubeflow.kfp_version import NEWEST, KfpVersion, written
from pipeline.stages import PUSHER

SECURITY_SINCE: Final[KfpVersion] = (2, 16, 0)
"""The first release whose platform document has a securityContext."""

SIGN_KEY_FOLDER: Final = "/etc/mnist-tfx/sign-key"

NOT_ON_VERTEX: Final = {
    "secrets": "a PipelineJob has no field for secrets: read Secret Manager from the service account",
    "volumes": "a PipelineJob mounts nothing but buckets",
    "node_selector": "Vertex AI chooses the machine, by cpu, memory and accelerator",
    "tolerations": "Vertex AI chooses the machine, by cpu, memory and accelerator",
    "timeout": "a PipelineJob has no field for it",
    "image_pull_secrets": "the service account's rights on Artifact Registry count",
    "image_pull_policy": "Vertex AI fetches every image",
    "security_context": "Vertex AI runs a container as its image says",
    "labels": "a job has some, which whoever submits it gives: PipelineJob(labels=...)",
}
"""{field: why Vertex AI cannot grant it}."""


def refuse_for_vertex(cluster: Cluster) -> None:
    """Refuse a cluster file that asks for what only Kubernetes has.

    Raises:
      BadInput: with the reason.
    """
    fields = [
        (f"{place}.{field}", field) for place, resources in cluster.sections() for field in resources.model_fields_set
    ]
    if cluster.sign_key is not None:
        fields.append(("sign_key", "secrets"))
    if "claim" in cluster.serving.model_fields_set:
        fields.append(("serving.claim", "volumes"))
    for place, field in fields:
        if field in NOT_ON_VERTEX:
            raise BadInput(f"Vertex AI has no {field.replace('_', ' ')}", where=place, hint=NOT_ON_VERTEX[field])


def platform_document(pods: Mapping[str, Pod], cluster: Cluster, version: KfpVersion = NEWEST) -> dict[str, Any]:
    """Return the document as JSON values; the volume of served versions is always in it.

    Raises:
      BadInput: if it asks for what a server of the version does not know, and would refuse the file for.
    """
    executors = {}
    for node, pod in pods.items():
        config = {**_config(pod.resources), **_security(node, pod.resources.security_context, version)}
        if node in SERVING_READERS:
            config.setdefault("pvcMount", []).append(_mount(cluster.serving.claim, cluster.serving.path))
        if node == PUSHER and cluster.sign_key is not None:
            config["secretAsVolume"] = [_secret_folder(cluster.sign_key)]
        if config:
            executors[f"{node}_executor"] = config
    return {PLATFORMS: {KUBERNETES: {"deploymentSpec": {"executors": executors}}}}


def sign_key_file(sign_key: SignKey) -> str:
    """Return the path in the pod of the private key that provenance is signed with."""
    return f"{SIGN_KEY_FOLDER}/{sign_key.key}"


def _config(resources: TaskResources) -> dict[str, Any]:
    config = {
        "secretAsEnv": [_secret_variable(name, entry) for name, entry in sorted(resources.secrets.items())],
        "nodeSelector": {"labels": dict(resources.node_selector)} if resources.node_selector else None,
        "tolerations": [_toleration(toleration) for toleration in resources.tolerations],
        "podMetadata": {"labels": dict(sorted(resources.labels.items()))} if resources.labels else None,
        "pvcMount": [_mount(volume.claim, volume.path) for volume in resources.volumes],
        "imagePullSecret": [{"secretName": name} for name in dict.fromkeys(resources.image_pull_secrets)],
        "imagePullPolicy": resources.image_pull_policy,
        "activeDeadlineSeconds": None if resources.timeout is None else str(resources.timeout),
    }
    return {field: value for field, value in config.items() if value}


def _security(node: str, context: SecurityContext | None, version: KfpVersion) -> dict[str, Any]:
    """Return who the container runs as; from 2.16 on KFP drops capabilities and sets seccomp, and leaves this to files."""
    if version < SECURITY_SINCE:
        if context is None:
            return {}
        wanted = f"Kubeflow Pipelines {written(SECURITY_SINCE)} or newer"
        raise BadInput("no such field", where=f"{node}: security_context", wanted=wanted, got=written(version))
    context = context or SecurityContext()
    fields = {
        "runAsNonRoot": context.run_as_non_root,
        "runAsUser": None if context.run_as_user is None else str(context.run_as_user),
        "runAsGroup": None if context.run_as_group is None else str(context.run_as_group),
    }
    return {"securityContext": {name: value for name, value in fields.items() if value is not None}}


def _secret_variable(name: str, entry: SecretKey) -> dict[str, Any]:
    return {"secretName": entry.secret, "keyToEnv": [{"secretKey": entry.key, "envVar": name}]}


def _secret_folder(entry: SignKey) -> dict[str, Any]:
    return {"secretName": entry.secret, "mountPath": SIGN_KEY_FOLDER, "optional": False}


def _mount(claim: str, path: str) -> dict[str, Any]:
    return {"constant": claim, "mountPath": path}


def _toleration(toleration: Toleration) -> dict[str, Any]:
    return {field: value for field, value in toleration.model_dump().items() if value}
