"""Compiled pipeline file, read and written: tasks, containers, runtime parameters, root.

Two forms of one thing. YAML: a PipelineSpec and, if any task asks for volumes or secrets, one platform document, in
either order; that is what open-source Kubeflow Pipelines takes. JSON: a PipelineJob around the PipelineSpec; that is what
Vertex AI takes (https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto). Nothing here says
what is right: `lint` does. So the stock compiler's files can be read as well.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from typing_extensions import NotRequired, TypedDict

from components import disk
from components.errors import BadInput
from components.files import replacing
from components.shapes import Shape
from components.untrusted import MIB, parse_object, parse_yaml_documents, read_bytes
from components.wording import as_written
from pipeline.kubeflow import kfp_version
from pipeline.kubeflow.kfp_version import KfpVersion
from pipeline.kubeflow.yaml_text import to_yaml

OSS: Final = "oss"
VERTEX: Final = "vertex"
TARGETS: Final = (OSS, VERTEX)

SCHEMA_VERSION: Final = "2.1.0"
"""Of the PipelineSpec; Kubeflow Pipelines takes no other."""

SPEC: Final = "pipelineSpec"
PIPELINE_INFO: Final = "pipelineInfo"
PLATFORMS: Final = "platforms"
KUBERNETES: Final = "kubernetes"

SERVICE_ACCOUNT: Final = "# Service account: "
"""Begins the line of a YAML file's head that names the account; a PipelineSpec has no field for it."""

VERSION: Final = "# Kubeflow Pipelines: "
"""Begins the line of a YAML file's head that names the version of the server it was compiled for."""

VALUES: Final = ("defaultValue", "constant", "parameterValues")
"""Fields of the messages that hold values of any type."""

Json = Mapping[str, Any]


LARGEST_FILE: Final = 16 * MIB
"""Bytes of a compiled file; one of ours has 100 KB."""

_NONE: Final = "not a compiled pipeline"


class _Reference(TypedDict, total=False):
    name: str


class _Trigger(TypedDict, total=False):
    condition: str


class _Task(TypedDict, total=False):
    componentRef: _Reference
    dependentTasks: list[str]
    cachingOptions: dict[str, Any]
    triggerPolicy: _Trigger


class _Dag(TypedDict):
    tasks: dict[str, _Task]


class _Definitions(TypedDict, total=False):
    parameters: dict[str, dict[str, Any]]
    artifacts: dict[str, dict[str, Any]]


class _Root(TypedDict):
    dag: _Dag
    inputDefinitions: NotRequired[_Definitions]


class _Component(TypedDict, total=False):
    executorLabel: str
    inputDefinitions: _Definitions
    outputDefinitions: _Definitions


class _Container(TypedDict, total=False):
    image: str
    command: list[str]
    args: list[str]


class _Executor(TypedDict, total=False):
    container: _Container
    importer: dict[str, Any]
    resolver: dict[str, Any]


class _Deployment(TypedDict, total=False):
    executors: dict[str, _Executor]


class _Spec(TypedDict):
    root: _Root
    pipelineInfo: NotRequired[_Reference]
    components: NotRequired[dict[str, _Component]]
    deploymentSpec: NotRequired[_Deployment]
    defaultPipelineRoot: NotRequired[str]


class _Executors(TypedDict, total=False):
    executors: dict[str, dict[str, Any]]


class _Kubernetes(TypedDict, total=False):
    deploymentSpec: _Executors


class _Platforms(TypedDict, total=False):
    kubernetes: _Kubernetes


class _Platform(TypedDict, total=False):
    platforms: _Platforms


class _Runtime(TypedDict, total=False):
    gcsOutputDirectory: str
    parameterValues: dict[str, Any]


class _Job(TypedDict, total=False):
    displayName: str
    runtimeConfig: _Runtime
    serviceAccount: str


_SPEC: Final = Shape(_Spec)
_PLATFORM: Final = Shape(_Platform)
_JOB: Final = Shape(_Job)
"""The types of what is read here; lint and simulation look at the rest themselves."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One task of the root graph, with the component and the executor that it refers to.

    Attributes:
      name: its key among the tasks.
      spec: its PipelineTaskSpec.
      component: its ComponentSpec; empty if there is none.
      executor_label: the key of its executor.
      executor: its ExecutorSpec: `container`, `importer` or `resolver` inside; empty if there is none.
      platform: what the platform document says about its executor.
    """

    name: str
    spec: Json
    component: Json
    executor_label: str
    executor: Json
    platform: Json

    @property
    def container(self) -> Json | None:
        """Its PipelineContainerSpec; None for an importer or a resolver."""
        return self.executor.get("container")

    @property
    def importer(self) -> Json | None:
        """Its ImporterSpec; None for anything else."""
        return self.executor.get("importer")

    @property
    def upstream(self) -> tuple[str, ...]:
        """The tasks that have to succeed before it."""
        return tuple(self.spec.get("dependentTasks", ()))

    @property
    def cached(self) -> bool:
        """Whether KFP may hand out an earlier execution's outputs."""
        return bool(self.spec.get("cachingOptions", {}).get("enableCache", False))

    @property
    def retries(self) -> int:
        """How often a pod of it that failed is tried again."""
        return int(self.spec.get("retryPolicy", {}).get("maxRetryCount", 0))

    @property
    def condition(self) -> str | None:
        """The expression that has to hold for it to be executed."""
        condition = self.spec.get("triggerPolicy", {}).get("condition")
        return None if condition is None else str(condition)

    @property
    def serving(self) -> str | None:
        """The path in its pod of the served versions, if it reads or writes them."""
        return self.option("serving")

    def option(self, name: str) -> str | None:
        """Return what its command line says for an option, as `--name VALUE` or as `--name=VALUE`; the last counts."""
        value = None
        arguments = [str(argument) for argument in (self.container or {}).get("args", ())]
        for argument, following in zip(arguments, [*arguments[1:], None], strict=False):
            if argument == f"--{name}":
                value = following
            elif argument.startswith(f"--{name}="):
                value = argument.partition("=")[2]
        return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """A compiled pipeline.

    Attributes:
      target: `oss` or `vertex`.
      spec: the PipelineSpec.
      platform: the platform document; None if there is none.
      job: the PipelineJob without its PipelineSpec; empty on `oss`.
      comment: lines at the head of a YAML file, each beginning with `#`.
    """

    target: str
    spec: Json
    platform: Json | None = None
    job: Json = dataclasses.field(default_factory=dict)
    comment: str = ""

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.spec.get(PIPELINE_INFO, {}).get("name", ""))

    @property
    def root(self) -> str | None:
        """The URI below which it keeps its artifacts, if the file says so."""
        uri = self.job.get("runtimeConfig", {}).get("gcsOutputDirectory") or self.spec.get("defaultPipelineRoot")
        return None if uri is None else str(uri)

    @property
    def service_account(self) -> str | None:
        """The account that its pods are to run as, if the file names one."""
        return str(self.job.get("serviceAccount") or self._said(SERVICE_ACCOUNT)) or None

    @property
    def version(self) -> KfpVersion | None:
        """The version of the server that it was compiled for, if the file says so."""
        try:
            return kfp_version.parse(self._said(VERSION))
        except BadInput:
            return None  # a comment that somebody else wrote

    @property
    def parameters(self) -> dict[str, Json]:
        """{runtime parameter: its definition, with `parameterType` and perhaps `defaultValue`}."""
        return dict(self.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {}))

    @property
    def values(self) -> dict[str, Any]:
        """{runtime parameter: value, if it has one}: a job's own, else the default."""
        defaults = {
            name: definition["defaultValue"]
            for name, definition in self.parameters.items()
            if "defaultValue" in definition
        }
        return {**defaults, **self.job.get("runtimeConfig", {}).get("parameterValues", {})}

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """{name: task}, as the file has them; a reference that leads nowhere gives an empty component or executor."""
        return {
            name: self._task(name, spec) for name, spec in self.spec.get("root", {}).get("dag", {})["tasks"].items()
        }

    def imported(self, task: Task) -> str | None:
        """Return the URI that an importer imports as the file has it; None for another task."""
        uri = (task.importer or {}).get("artifactUri")
        if uri is None or "constant" in uri:
            return None if uri is None else str(uri["constant"])
        given = task.spec.get("inputs", {}).get("parameters", {}).get(uri.get("runtimeParameter"), {})
        return str(self.values.get(given.get("componentInputParameter"), ""))

    def submitted(self, root: str | None, parameters: Mapping[str, Any]) -> Document:
        """Return the file as a run gets it that is submitted with another root and with values for parameters."""
        spec = copy.deepcopy(dict(self.spec))
        if root is not None:
            spec["defaultPipelineRoot"] = root
        definitions = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
        for name, value in parameters.items():
            definitions[name]["defaultValue"] = value
        return dataclasses.replace(self, spec=spec)

    def without_nulls(self) -> Document:
        """Return it as protojson reads it: a field that is null is a field that is not there."""
        parts = {name: _without_nulls(getattr(self, name)) for name in ("spec", "platform", "job")}
        return dataclasses.replace(self, **parts)

    def in_order(self) -> tuple[Task, ...]:
        """Return the tasks, each after those that it waits for.

        Raises:
          BadInput: if they wait for one another in a circle, or for a task that is not there.
        """
        ordered: dict[str, Task] = {}
        waiting = dict(self.tasks)
        while waiting:
            ready = [task for task in waiting.values() if all(name in ordered for name in task.upstream)]
            if not ready:
                stuck = ", ".join(f"{task.name} for {', '.join(task.upstream)}" for task in waiting.values())
                raise BadInput("tasks that can never start", where=self.name, got=f"waiting: {stuck}")
            for task in ready:
                ordered[task.name] = waiting.pop(task.name)
        return tuple(ordered.values())

    def to_text(self) -> str:
        """Return the file's text."""
        if self.target == VERTEX:
            return json.dumps({**self.job, SPEC: self.spec}, indent=1, sort_keys=True) + "\n"
        documents = [self.spec] if self.platform is None else [self.spec, self.platform]
        return self.comment + to_yaml(documents)

    def _said(self, beginning: str) -> str:
        """Return what a line of the file's head says, without its beginning; empty if there is none."""
        lines = (line for line in self.comment.splitlines() if line.startswith(beginning))
        return next(lines, "").removeprefix(beginning).strip()

    def _task(self, name: str, spec: Json) -> Task:
        component = self.spec.get("components", {}).get(spec.get("componentRef", {}).get("name"), {})
        label = str(component.get("executorLabel", ""))
        executors = self.spec.get("deploymentSpec", {}).get("executors", {})
        platform = (self.platform or {}).get(PLATFORMS, {}).get(KUBERNETES, {}).get("deploymentSpec", {})
        return Task(
            name=name,
            spec=spec,
            component=component,
            executor_label=label,
            executor=executors.get(label, {}),
            platform=platform.get("executors", {}).get(label, {}),
        )


def read(path: Path) -> Document:
    """Read a compiled file; what is JSON by its first character is taken for a PipelineJob.

    Raises:
      BadInput: if it is missing, or no compiled pipeline.
    """
    data = read_bytes(path, limit=LARGEST_FILE)
    try:
        text = data.decode()
        document = _from_job(text) if text.lstrip().startswith("{") else _from_yaml(text)
        document = document.without_nulls()
        _SPEC.read(document.spec, what=_NONE, where=path)
        _PLATFORM.read(document.platform or {}, what=_NONE, where=path)
        _JOB.read(document.job, what=_NONE, where=path)
    except (BadInput, ValueError) as err:
        raise BadInput(
            _NONE,
            where=path,
            wanted="a PipelineSpec in YAML, or a PipelineJob in JSON",
            got=(err.got or err.what) if isinstance(err, BadInput) else err,
            hint="mnist-tfx kubeflow compile writes one",
        ) from err
    return document


def write(document: Document, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
      EnvironmentProblem: if it cannot be written.
    """
    data = document.to_text().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=path, need=len(data)) from err


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        # What may be any value may be null.
        return {
            name: inner if name in VALUES else _without_nulls(inner)
            for name, inner in value.items()
            if inner is not None or name in VALUES
        }
    return [_without_nulls(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _from_job(text: str) -> Document:
    job = parse_object(text, where=SPEC)
    spec = job.pop(SPEC, None)
    if not isinstance(spec, dict):
        raise BadInput(f"no {SPEC}", where=SPEC)
    return Document(target=VERTEX, spec=spec, job=job)


def _from_yaml(text: str) -> Document:
    documents = [document for document in parse_yaml_documents(text, where="it") if document is not None]
    if odd := [document for document in documents if not isinstance(document, dict)]:
        raise BadInput("no mapping", where="it", got=as_written(odd[0]))
    spec = _only("PipelineSpec", [document for document in documents if PIPELINE_INFO in document])
    platform = _only("platform document", [document for document in documents if PLATFORMS in document])
    if spec is None or len(documents) > 1 + (platform is not None):
        raise BadInput(f"{len(documents)} YAML documents: one PipelineSpec and at most one platform document")
    comment = "".join(f"{line}\n" for line in text.split("\n") if line.startswith("#"))
    return Document(target=OSS, spec=spec, platform=platform, comment=comment)


def _only(kind: str, documents: Sequence[Json]) -> Json | None:
    if len(documents) > 1:
        raise BadInput(f"{len(documents)} YAML documents that are a {kind}")
    return documents[0] if documents else None
