"""Submission of a compiled file: what the platform would refuse, and the run's parameters.

Follows backend/src/apiserver/template/v2_template.go and v2/compiler/argocompiler/dag.go; what those would take and this
simulation cannot do is refused as well, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from components.errors import BadInput
from pipeline.kubeflow import names
from pipeline.kubeflow.document import SCHEMA_VERSION, SPEC, VERTEX, Document, Task
from pipeline.kubeflow.simulate import condition
from pipeline.kubeflow.simulate.dialect import Dialect
from pipeline.kubeflow.simulate.values import KINDS, as_value

NOT_IMITATED: Final = ("iterator", "parameterIterator", "artifactIterator", "iteratorPolicy")
EVEN_IF_FAILED: Final = "ALL_UPSTREAM_TASKS_COMPLETED"


def check(document: Document, dialect: Dialect) -> None:
    """Check that a platform would take a file.

    Raises:
      BadInput: naming the rule that it breaks.
    """
    oss = not dialect.runs_hooks
    if oss and document.target == VERTEX:
        raise BadInput(
            f"the API server takes a PipelineSpec, no PipelineJob: unknown field {SPEC!r}", where=document.name
        )
    version = document.spec.get("schemaVersion")
    if version != SCHEMA_VERSION:
        rule = f"KFP only supports schema version {SCHEMA_VERSION}" if oss else "schema version 2.0.0 is not imitated"
        raise BadInput(rule, where=document.name, wanted=SCHEMA_VERSION, got=version)
    if re.search("[a-z0-9]", document.name) is None:
        raise BadInput("the API server wants a name for the pipeline", wanted="lower case letters", got=document.name)
    for task in document.tasks.values():
        for rule in (_has_executor, _is_simple, _condition_is_understood, *((_argo_takes_name,) if oss else ())):
            rule(task)
    document.in_order()


def parameters(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return {runtime parameter: value}: as given, by the file, or None if it is optional.

    Raises:
      BadInput: for one that is missing, of another type, or not the pipeline's.
    """
    for name in given.keys() - document.parameters.keys():
        choices = ", ".join(document.parameters) or "none"
        raise BadInput("parameter is not required by pipeline", where=name, wanted=f"one of {choices}")
    values = {name: as_value(value) for name, value in {**document.values, **given}.items()}
    for name, spec in document.parameters.items():
        kind = spec.get("parameterType", "")
        if name not in values:
            if not spec.get("isOptional", False):
                what = "parameter is not optional, yet has neither default value nor user provided value"
                raise BadInput(what, where=name, hint=f"give it with --param {name}=VALUE")
            values[name] = None
        elif not KINDS.get(kind, lambda _: False)(values[name]):
            raise BadInput(f"input parameter requires type {kind}", where=name, got=values[name])
    return values


def root(document: Document, dialect: Dialect) -> str:
    """Return the URI below which the file keeps its artifacts.

    Raises:
      BadInput: if it says none where it has to, or one that the platform cannot use.
    """
    uri = document.root or dialect.default_root
    wanted = ", ".join(f"{scheme}://" for scheme in dialect.schemes)
    if uri is None or uri.partition("://")[0] not in dialect.schemes or "?" in uri:
        raise BadInput("pipeline root", where=document.name, wanted=wanted, got=uri)
    return uri.rstrip("/")


def _has_executor(task: Task) -> None:
    if "dag" in task.component:
        raise BadInput("a sub-graph is not imitated", where=task.name)
    if "resolver" in task.executor:
        raise BadInput("the compiler for Argo says: resolver executors not implemented", where=task.name)
    if task.container is None and task.importer is None:
        raise BadInput(f"executor with label {task.executor_label!r} not found", where=task.name)


def _is_simple(task: Task) -> None:
    for field in NOT_IMITATED:
        if field in task.spec:
            raise BadInput(f"{field} is not imitated", where=task.name)
    if task.spec.get("triggerPolicy", {}).get("strategy") == EVEN_IF_FAILED:
        raise BadInput(f"trigger strategy {EVEN_IF_FAILED} is not imitated", where=task.name)


def _condition_is_understood(task: Task) -> None:
    if task.condition is None:
        return
    if task.importer is not None:
        raise BadInput("triggerPolicy.condition on importer task is not supported", where=task.name)
    try:
        condition.parse(task.condition)
    except BadInput as err:
        raise BadInput(err.what, where=task.name, wanted=err.wanted, got=err.got) from err


def _argo_takes_name(task: Task) -> None:
    if names.TASK_NAME.fullmatch(task.name) is None:
        wanted = names.TASK_NAME.pattern
        raise BadInput("Argo refuses the name of the task", where=task.name, wanted=wanted, got=task.name)
