"""Driver of a task: its ExecutorInput, with inputs resolved, the condition evaluated and outputs named.

Follows backend/src/v2/driver/{container,resolve,driver}.go, as far as root graphs without loops and sub-graphs go.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.kubeflow.document import Json as Spec
from pipeline.kubeflow.document import Task
from pipeline.kubeflow.simulate import condition
from pipeline.kubeflow.simulate.dialect import Dialect
from pipeline.kubeflow.simulate.metadata import Execution, MetadataStore
from pipeline.kubeflow.simulate.values import KINDS, STRING, Json, as_value, to_text

LOGS: Final = "executor-logs"
"""Output that no component declares: takes what the container prints."""

LOGS_TYPE: Final = {"artifactType": {"schemaTitle": "system.Artifact"}}
DAG_EXECUTION: Final = "1"
"""The root graph's execution; KFP gives it where a task's UUID is asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What all tasks of a run share.

    Attributes:
      id: of the run.
      pipeline: its name.
      name: of the run, as a list of runs would show it.
      root: URI below which the run keeps its artifacts.
      parameters: {runtime parameter: value}; None for an optional one without a value.
      created: UTC time in seconds.
    """

    id: str
    pipeline: str
    name: str
    root: str
    parameters: Mapping[str, Any]
    created: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriverResult:
    """A task as its driver leaves it.

    Attributes:
      inputs: of the ExecutorInput.
      outputs: the same; empty if the task is not triggered.
      task_root: URI of the task's folder.
      triggered: whether its condition holds.
    """

    inputs: Json
    outputs: Json
    task_root: str
    triggered: bool

    @property
    def executor_input(self) -> Json:
        """The whole ExecutorInput."""
        return {"inputs": self.inputs, "outputs": self.outputs}


def drive(task: Task, run: Run, done: Mapping[str, Execution], store: MetadataStore, dialect: Dialect) -> DriverResult:
    """Do what KFP's driver does for a container, up to the question to the cache.

    Args:
      task: the task.
      run: its run.
      done: {task: execution} of the run so far.
      store: what was registered.
      dialect: the platform.

    Raises:
      EnvironmentProblem: if the driver would fail, which fails the task.
    """
    parameters = _typed(
        task, {name: _parameter(task, name, spec, run, done) for name, spec in _task_parameters(task).items()}
    )
    artifacts = {
        channel: {"artifacts": [dialect.input_artifact(store.artifact(_artifact(task, channel, spec, done)))]}
        for channel, spec in sorted(task.spec.get("inputs", {}).get("artifacts", {}).items())
    }
    inputs = _without_empty({"artifacts": artifacts, "parameterValues": dict(sorted(parameters.items()))})
    triggered = _is_triggered(task, parameters)
    task_root = dialect.task_root(run.root, task.name)
    outputs = provision(task, task_root, dialect) if triggered else {}
    return DriverResult(inputs=inputs, outputs=outputs, task_root=task_root, triggered=triggered)


def of_attempt(driven: DriverResult, number: int) -> DriverResult:
    """Return a driven task as the launcher of an attempt changes it: its logs go to a place of their own.

    The place of any other output is the same in every attempt.
    """
    outputs = copy.deepcopy(driven.outputs)
    for logs in outputs.get("artifacts", {}).get(LOGS, {}).get("artifacts", ()):
        logs["uri"] = f"{logs['uri']}-{number}"
    return dataclasses.replace(driven, outputs=outputs)


def provision(task: Task, task_root: str, dialect: Dialect) -> Json:
    """Return where a task is to leave what it makes (`provisionOutputs`)."""
    declared = task.component.get("outputDefinitions", {})
    wanted = {**declared.get("artifacts", {}), **({LOGS: LOGS_TYPE} if dialect.publishes_logs else {})}
    artifacts = {
        channel: {"artifacts": [_output(channel, spec, task_root, dialect)]} for channel, spec in sorted(wanted.items())
    }
    parameters = {
        name: {"outputFile": dialect.parameter_file(task_root, name)} for name in sorted(declared.get("parameters", {}))
    }
    outputs = _without_empty({"parameters": parameters, "artifacts": artifacts})
    return {**outputs, "outputFile": dialect.output_file(task_root)}


def _output(channel: str, spec: Spec, task_root: str, dialect: Dialect) -> Json:
    result = {"name": dialect.output_name(channel), "type": dict(spec.get("artifactType", {}))}
    metadata = {"metadata": as_value(spec["metadata"])} if "metadata" in spec else {}
    return {**result, "uri": f"{task_root}/{channel}", **metadata}


def _task_parameters(task: Task) -> Spec:
    parameters: Spec = task.spec.get("inputs", {}).get("parameters", {})
    return parameters


def _parameter(task: Task, name: str, spec: Spec, run: Run, done: Mapping[str, Execution]) -> Any:
    if "parameterExpressionSelector" in spec:
        raise _failed(task, f"parameter {name}: parameterExpressionSelector is not imitated")
    if "componentInputParameter" in spec:
        parameter = spec["componentInputParameter"]
        if parameter not in run.parameters:
            raise _failed(task, f"parameter {name}: parent DAG does not have input parameter {parameter}")
        if run.parameters[parameter] is None and name not in _optional(task):
            raise _failed(task, f"parameter {name}: the resolved input parameter is null: {parameter}")
        return run.parameters[parameter]
    if "taskOutputParameter" in spec:
        source = spec["taskOutputParameter"]
        producer = _producer(task, name, source, done)
        return producer.parameters.get(source["outputParameterKey"])
    if "constant" in spec.get("runtimeValue", {}):
        return _constant(task, as_value(spec["runtimeValue"]["constant"]), run)
    raise _failed(task, f"parameter {name}: param spec {', '.join(spec)} not implemented")


def _constant(task: Task, value: Any, run: Run) -> Any:
    """Return a constant; KFP replaces some that are placeholders from end to end, and no others."""
    placeholders = {
        "{{$.pipeline_job_name}}": run.name,
        "{{$.pipeline_job_resource_name}}": run.id,
        "{{$.pipeline_job_uuid}}": run.id,
        "{{$.pipeline_task_name}}": task.name,
        "{{$.pipeline_task_uuid}}": DAG_EXECUTION,
        "{{$.pipeline_job_create_time_utc}}": run.created,
        "{{$.pipeline_job_schedule_time_utc}}": run.created,
    }
    return placeholders.get(value, value) if isinstance(value, str) else value


def _artifact(task: Task, channel: str, spec: Spec, done: Mapping[str, Execution]) -> int:
    source = spec.get("taskOutputArtifact")
    if source is None:
        raise _failed(task, f"input {channel}: artifact spec {', '.join(spec)} not implemented")
    artifacts = _producer(task, channel, source, done).artifacts
    if source["outputArtifactKey"] not in artifacts:
        what = f"cannot find output artifact key {source['outputArtifactKey']!r} in producer task"
        raise _failed(task, f"input {channel}: {what} {source['producerTask']!r}")
    return artifacts[source["outputArtifactKey"]]


def _producer(task: Task, name: str, source: Spec, done: Mapping[str, Execution]) -> Execution:
    producer = source.get("producerTask", "")
    if producer not in done:
        raise _failed(task, f"input {name}: cannot find producer task {producer!r}")
    return done[producer]


def _typed(task: Task, parameters: Json) -> Json:
    """Return the parameters as declared: what is to be a string becomes one, anything else has to be of its type."""
    declared: Spec = task.component.get("inputDefinitions", {}).get("parameters", {})
    optional = _optional(task)
    given = {name: value for name, value in parameters.items() if value is not None or name not in optional}
    for name, spec in declared.items():
        kind = spec.get("parameterType", "")
        if name not in given and name in optional:
            continue
        if name not in parameters and "defaultValue" not in spec:
            raise _failed(task, f"neither value nor default value provided for non-optional parameter {name!r}")
        value = given.get(name)
        if kind == STRING:
            given[name] = to_text(value)
        elif not KINDS.get(kind, lambda _: False)(value):
            raise _failed(task, f"input parameter {name!r} type mismatch: expect {kind}, got {to_text(value)!r}")
    return given


def _optional(task: Task) -> set[str]:
    declared: Spec = task.component.get("inputDefinitions", {}).get("parameters", {})
    return {name for name, spec in declared.items() if spec.get("isOptional", False)}


def _is_triggered(task: Task, parameters: Json) -> bool:
    if task.condition is None:
        return True
    try:
        return condition.holds(task.condition, parameters)
    except KeyError as err:
        raise _failed(task, f"condition {task.condition!r}: no such key: {err.args[0]}") from err


def _failed(task: Task, what: str) -> EnvironmentProblem:
    return EnvironmentProblem("the driver would fail", where=task.name, got=what)


def _without_empty(message: Json) -> Json:
    """Return a message as protojson writes it, in which an empty map is not mentioned."""
    return {name: value for name, value in message.items() if value}
