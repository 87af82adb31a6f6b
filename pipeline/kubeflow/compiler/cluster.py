"""Cluster file: what each task asks its cluster for, and where the pods find what is mounted.

YAML, `version: 1`; `kubeflow/cluster.example.yaml` shows every key. A node gets what `defaults` says and what stands
under its own name, which wins; mappings are merged, lists are joined.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from components.errors import BadInput
from components.suggestions import closest, did_you_mean
from components.untrusted import MIB, read_yaml
from components.wording import Wanted, as_written, joined, problems
from pipeline.kubeflow import kfp_version
from pipeline.kubeflow.compiler import images, targets
from pipeline.kubeflow.names import DRIVER, VOLUME_NAME
from pipeline.kubeflow.places import in_bucket, launcher_folder
from pipeline.stages import STAGES

NODES: Final = (DRIVER, *STAGES)
"""The tasks that run a container, in the order of the flow."""

LARGEST_FILE: Final = MIB
"""Bytes of a cluster file; the example has 4 KB."""

_SCHEMES: Final = tuple(dict.fromkeys(scheme for one in targets.TARGETS.values() for scheme in one.schemes))

CLAIM: Final = "mnist-tfx-serving"
SERVING: Final = "/serving"


def _text(value: Any) -> Any:
    """Return numbers and booleans as YAML writes them: `cpu: 2` and `DEBUG: true` are meant as strings."""
    return str(value).lower() if isinstance(value, bool | int | float) else value


def _outside_buckets(path: str) -> str:
    if in_bucket(path):
        raise Wanted("a path of a mounted volume, since nothing renames a folder of a bucket in one step")
    return path


def _outside_launcher(path: str) -> str:
    if path.startswith("/") and (folder := launcher_folder(path)) is not None:
        raise Wanted(f"a path outside {folder}, where KFP mounts a volume of its own")
    return path


def _a_version(text: str) -> str:
    try:
        return kfp_version.written(kfp_version.parse(text))
    except BadInput as err:
        raise Wanted(f"a version of Kubeflow Pipelines, {err.wanted}") from err


def _an_image(image: str) -> str:
    if not images.is_reference(image):
        raise Wanted(images.WANTED)
    return image


def _a_bucket(uri: str) -> str:
    match = targets.URI.fullmatch(uri)
    if match is None or match["scheme"] not in _SCHEMES:
        raise Wanted(" or ".join(f"{scheme}://bucket/prefix" for scheme in _SCHEMES))
    return uri


def _plain(path: str) -> str:
    """Return an absolute path without `.`, `..` and a slash at its end."""
    return posixpath.normpath(path) if path.startswith("/") else path


@dataclasses.dataclass(frozen=True)
class _Check(AfterValidator):
    """A check that says in words what it takes."""

    description: str = ""


def _like(pattern: str, wanted: str) -> _Check:
    """Return a check of a whole text; its error says in words what would have been right."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise Wanted(wanted)
        return value

    return _Check(check, description=wanted)


Text = Annotated[str, BeforeValidator(_text)]
_MORE_THAN_NOTHING: Final = r"(?=[0.]*[1-9])"
Cpu = Annotated[
    Text, _like(_MORE_THAN_NOTHING + r"([0-9]+(\.[0-9]+)?|[0-9]+m)", "cores, such as 2, 0.5 or 500m, and not 0")
]
Memory = Annotated[
    Text,
    _like(_MORE_THAN_NOTHING + r"[0-9]+(\.[0-9]+)?[MGT]i?", "bytes with a unit, such as 500M, 8G or 4Gi, and not 0"),
]
_ABSOLUTE: Final = _like(r"(/[^/:]+)+", "an absolute path in the pod")
MountPath = Annotated[str, AfterValidator(_plain), _ABSOLUTE, AfterValidator(_outside_launcher)]
ServingPath = Annotated[
    str, AfterValidator(_plain), AfterValidator(_outside_buckets), _ABSOLUTE, AfterValidator(_outside_launcher)
]
Version = Annotated[Text, _Check(_a_version, description="a version of Kubeflow Pipelines, 2.5.0 or newer")]
BucketUri = Annotated[str, _Check(_a_bucket, description="a bucket's URI, with a prefix")]
ImageReference = Annotated[str, _Check(_an_image, description=images.WANTED)]
VolumeName = Annotated[
    # KFP calls a pod's volume by its claim's, or its Secret's, name, and a volume's is a label of DNS.
    str, _like(VOLUME_NAME.pattern, "at most 63 lower case letters, digits and -")
]
KubernetesName = Annotated[
    str, _like(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "a Kubernetes name: lower case letters, digits, - and .")
]
FolderName = Annotated[str, _like(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a folder's name: letters, digits, -, _ and .")]
VariableName = Annotated[str, _like(r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name: letters, digits and _")]
AccountName = Annotated[str, _like(r"[A-Za-z0-9@._-]+", "an account's name, or its address on Google Cloud")]
SecretEntry = Annotated[str, _like(r"[A-Za-z0-9._-]+", "a key of a Secret: letters, digits, -, _ and .")]


_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[
    str,
    _like(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL}", "a label's key, such as team or example.org/team"),
]
LabelValue = Annotated[
    Text,
    _like(rf"({_LABEL})?", "a label's value: at most 63 letters, digits, -, _ and ., a letter or digit at its ends"),
]


class Section(BaseModel):
    """Base of every part of the file: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Accelerator(Section):
    """A kind of device and how many of it.

    Attributes:
      type: a resource's name such as `nvidia.com/gpu`, or Vertex AI's such as `NVIDIA_L4`; null for the usual one.
      count: 0 for none at all.
    """

    type: str | None = None
    count: Annotated[int, Field(ge=0, le=16)] = 1


class SecretKey(Section):
    """One entry of a Kubernetes Secret."""

    secret: KubernetesName
    key: SecretEntry


class SignKey(SecretKey):
    """One entry of a Secret that is mounted as a volume."""

    secret: VolumeName


class Volume(Section):
    """A PersistentVolumeClaim, and where it is mounted."""

    claim: VolumeName
    path: MountPath


class Serving(Section):
    """The volume that the served versions are pushed to.

    Attributes:
      claim: its PersistentVolumeClaim.
      path: where the pods mount it.
      folder: on it, for the versions of one pipeline among several; null for the whole volume.
    """

    claim: VolumeName = CLAIM
    path: ServingPath = SERVING
    folder: FolderName | None = None

    @property
    def directory(self) -> str:
        """The path in the pods of the served versions."""
        return self.path if self.folder is None else f"{self.path}/{self.folder}"


class Toleration(Section):
    """A taint that does not keep a pod away, as in a pod's specification."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: Text = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""

    @model_validator(mode="after")
    def _is_what_kubernetes_takes(self) -> Self:
        if self.operator == "Equal" and not self.key:
            raise ValueError("a toleration without a key tolerates everything: it needs `operator: Exists`")
        if self.operator == "Exists" and self.value:
            raise ValueError("`operator: Exists` asks for no value")
        return self


class SecurityContext(Section):
    """Who a pod's container runs as; that it gains no privileges and has no capabilities is KFP's own doing.

    Attributes:
      run_as_non_root: whether Kubernetes refuses a container of root's, as the restricted Pod Security Standard wants it.
      run_as_user: numeric user; null for the image's.
      run_as_group: numeric group; null for the image's.
    """

    run_as_non_root: bool = True
    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    run_as_group: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class TaskResources(Section):
    """What one task asks for.

    Attributes:
      cpu: limit, in cores.
      memory: limit, in bytes with a unit.
      accelerator: devices; null where the usual rule decides.
      node_selector: labels that its node must have.
      tolerations: taints that its node may have.
      labels: of its pods.
      env: variables.
      secrets: {variable: entry of a Secret that it takes its value from}.
      volumes: claims to mount.
      image: another image than all.
      image_pull_secrets: Secrets with the credentials of the images' registry.
      image_pull_policy: when a node fetches an image that it has.
      security_context: who its container runs as; null for the default, which a server from 2.16 on is told.
      retries: how often a failed pod is tried again.
      timeout: seconds after which its pod is ended.
    """

    cpu: Cpu | None = None
    memory: Memory | None = None
    accelerator: Accelerator | None = None
    node_selector: Mapping[str, Text] = {}
    tolerations: tuple[Toleration, ...] = ()
    labels: Mapping[LabelKey, LabelValue] = {}
    env: Mapping[VariableName, Text] = {}
    secrets: Mapping[VariableName, SecretKey] = {}
    volumes: tuple[Volume, ...] = ()
    image: ImageReference | None = None
    image_pull_secrets: tuple[KubernetesName, ...] = ()
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    security_context: SecurityContext | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    timeout: Annotated[int, Field(ge=1)] | None = None

    def over(self, defaults: TaskResources) -> TaskResources:
        """Return `defaults` with what is said here put over it."""
        joined = {name: _joined(getattr(defaults, name), getattr(self, name)) for name in self.model_fields_set}
        return defaults.model_copy(update=joined)


def _joined(below: Any, above: Any) -> Any:
    if isinstance(below, Mapping):
        return {**below, **above}
    return (*below, *above) if isinstance(below, tuple) else above


class Cluster(Section):
    """The whole file.

    Attributes:
      version: of this format.
      target: `oss` or `vertex`, where the command line names none.
      pipeline_root: URI below which artifacts are kept, likewise.
      kfp_version: of the server; null for the newest that is known.
      image: of every container, where the command line names none.
      gpu_image: of those that ask for an accelerator, likewise.
      serving: the volume for served versions.
      schema_folder: folder in the pod with reviewed schemas; null for those in the image.
      sign_key: private key to sign provenance with.
      service_account: that the pods run as.
      defaults: of every node.
      nodes: {node: what it asks for}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    version: Literal[1] = 1
    target: Literal["oss", "vertex"] | None = None
    pipeline_root: BucketUri | None = None
    kfp_version: Version | None = None
    image: ImageReference | None = None
    gpu_image: ImageReference | None = None
    serving: Serving = Serving()
    schema_folder: MountPath | None = Field(default=None, alias="schema")
    sign_key: SignKey | None = None
    service_account: AccountName | None = None
    defaults: TaskResources = TaskResources()
    nodes: Mapping[str, TaskResources] = {}

    def of(self, node: str) -> TaskResources:
        """Return what a node asks for."""
        return self.nodes.get(node, TaskResources()).over(self.defaults)

    def sections(self) -> Iterator[tuple[str, TaskResources]]:
        """Yield every section with its path in the file."""
        yield "defaults", self.defaults
        for node, resources in self.nodes.items():
            yield f"nodes.{node}", resources


DEFAULT: Final = Cluster()


def read(path: Path) -> Cluster:
    """Read a cluster file.

    Raises:
      BadInput: if it is unreadable, has an unknown key or node (with the known ones), or a value out of its bounds.
    """
    return parsed(read_yaml(path, limit=LARGEST_FILE), where=path)


def parsed(values: Any, *, where: object) -> Cluster:
    """Return the values of a cluster file as one; raises as `read`."""
    if not isinstance(values, dict):
        raise BadInput("no cluster file", where=where, wanted="a mapping of sections", got=as_written(values))
    errors = [] if "version" in values else [BadInput("version is missing", where=where, wanted="version: 1")]
    nodes = values.get("nodes")
    for node in nodes if isinstance(nodes, dict) else ():
        if node not in NODES:
            wanted = f"one of {', '.join(NODES)}"
            errors.append(
                BadInput(f"unknown node {node}", where=where, wanted=wanted, hint=did_you_mean(closest(node, NODES)))
            )
    try:
        cluster = Cluster.model_validate(values)
    except ValidationError as err:
        errors += problems(Cluster, values, err.errors(), where=where)
    if errors:
        raise joined(errors, where=where)
    return cluster


def with_serving(cluster: Cluster, values: Mapping[str, str]) -> Cluster:
    """Return `cluster` with another volume for served versions.

    Raises:
      BadInput: if the path is not absolute, or the claim's name is none of Kubernetes'.
    """
    try:
        return cluster.model_copy(update={"serving": Serving.model_validate(dict(values))})
    except ValidationError as err:
        options = {"path": "--serving", "claim": "--claim"}
        errors = problems(Serving, dict(values), err.errors())
        raise joined(
            [BadInput("not usable", where=options[one.what], wanted=one.wanted, got=one.got) for one in errors],
            where="--serving",
        ) from err


def with_labels(cluster: Cluster, labels: Mapping[str, str]) -> Cluster:
    """Return `cluster` with more labels for every pod.

    Raises:
      BadInput: if one is none of Kubernetes'.
    """
    if not labels:
        return cluster
    try:
        more = TaskResources.model_validate({"labels": dict(labels)})
    except ValidationError as err:
        raise joined(
            problems(TaskResources, {"labels": dict(labels)}, err.errors(), where="--label"), where="--label"
        ) from err
    return cluster.model_copy(update={"defaults": more.over(cluster.defaults)})
