"""The tasks of a compiled file: their names, and that whatever one of them refers to is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from components.errors import BadInput
from pipeline.kubeflow import buckets
from pipeline.kubeflow.compiler.targets import Target, is_top_of_bucket
from pipeline.kubeflow.document import OSS, Document, Json, Task
from pipeline.kubeflow.lint.fault import ERROR, WARNING, Fault
from pipeline.kubeflow.names import TASK_NAME

DRIVER_SUFFIX: Final = "-driver"
"""What KFP puts behind a task's name, for the step that resolves its inputs."""

ROOT: Final = "root"
"""What KFP calls the graph; a task of this name takes its place in the Workflow, which has no such template then."""

LONGEST_NAME: Final = 121
"""Characters of a task's name: Argo takes 128 for a template's, and KFP puts `-driver` behind it."""

EXACT_FOLDERS: Final = (2, 17, 0)
"""The first release whose launcher fetches what is in a folder, and not all that begins with its name."""

SOURCES: Final = {
    "artifacts": ("taskOutputArtifact", "outputArtifactKey", "componentInputArtifact"),
    "parameters": ("taskOutputParameter", "outputParameterKey", "componentInputParameter"),
}
"""{kind of input: the fields that say from which task, which output of it, or which input of the pipeline}."""

EDITED: Final = "the file was edited: compile it again"


def task_name(document: Document, target: Target) -> Iterator[Fault]:
    """Find names that Argo does not take: a task's goes into a template as it is, and once more with `-driver`."""
    if target.name != OSS:
        return
    for name in document.tasks:
        if TASK_NAME.fullmatch(name) is None:
            yield Fault(where=name, what="no name for Argo", hint="letters, digits and -, a letter first")
        elif name.endswith(DRIVER_SUFFIX):
            twin = name.removesuffix(DRIVER_SUFFIX)
            hint = f"KFP names the driver of a task {twin} so" + (", which is there" if twin in document.tasks else "")
            yield Fault(where=name, what=f"ends in {DRIVER_SUFFIX}", hint=hint)
        elif name == ROOT or len(name) > LONGEST_NAME:
            what = "the name of KFP's own graph" if name == ROOT else f"a name of {len(name)} characters"
            yield Fault(where=name[:40], what=what, hint=f"another one, of at most {LONGEST_NAME} characters")


def dependencies(document: Document, _: Target) -> Iterator[Fault]:
    """Find tasks that wait for what is not there, or for themselves."""
    missing = [
        (task.name, name) for task in document.tasks.values() for name in task.upstream if name not in document.tasks
    ]
    for name, upstream in missing:
        yield Fault(where=name, what=f"waits for {upstream}, which is no task", hint=EDITED)
    if not missing:
        try:
            document.in_order()
        except BadInput as err:
            yield Fault(where="dependentTasks", what=f"a circle: {err.got}", hint=EDITED)


def producers(document: Document, target: Target) -> Iterator[Fault]:
    """Find inputs from tasks that are not among the dependentTasks: Argo may start the reader before them."""
    if target.name != OSS:
        return
    for task in document.tasks.values():
        for name in sorted(_producers(task).intersection(document.tasks).difference(task.upstream)):
            yield Fault(where=task.name, what=f"reads from {name} and does not wait for it", hint=EDITED)


def task_info(document: Document, _: Target) -> Iterator[Fault]:
    """Find tasks without a taskInfo, which KFP's driver does not execute."""
    for task in document.tasks.values():
        if not task.spec.get("taskInfo", {}).get("name"):
            yield Fault(where=task.name, what="has no taskInfo.name", hint=EDITED)


def references(document: Document, _: Target) -> Iterator[Fault]:
    """Find tasks whose component, or whose component's executor, is not there."""
    for task in document.tasks.values():
        if not task.component:
            yield Fault(where=task.name, what=f"no component {task.spec.get('componentRef')}", hint=EDITED)
        elif not task.executor:
            yield Fault(where=task.name, what=f"no executor {task.executor_label!r}", hint=EDITED)


def sources(document: Document, _: Target) -> Iterator[Fault]:
    """Find inputs from an output or a parameter that is not there."""
    for task in document.tasks.values():
        for kind in SOURCES:
            for name, given in task.spec.get("inputs", {}).get(kind, {}).items():
                problem = _unknown_source(document, kind, given)
                if problem is not None:
                    yield Fault(where=f"{task.name}.{name}", what=problem, hint=EDITED)


def required_inputs(document: Document, _: Target) -> Iterator[Fault]:
    """Find inputs that a component requires and its task is not given."""
    for task in document.tasks.values():
        for kind in SOURCES:
            given = task.spec.get("inputs", {}).get(kind, {})
            for name, definition in task.component.get("inputDefinitions", {}).get(kind, {}).items():
                if name not in given and not definition.get("isOptional") and "defaultValue" not in definition:
                    yield Fault(where=f"{task.name}.{name}", what="is required, and not given", hint=EDITED)


def executor_kind(document: Document, target: Target) -> Iterator[Fault]:
    """Find executors that open-source KFP lacks: a Resolver is "not implemented yet" there."""
    if target.name != OSS:
        return
    for task in document.tasks.values():
        if task.executor and task.container is None and task.importer is None:
            kind = ", ".join(task.executor)
            hint = "have a task of your own find what the Resolver looks for"
            yield Fault(where=task.name, what=f"a {kind}, which Kubeflow Pipelines cannot execute", hint=hint)


def pre_cache_check(document: Document, target: Target) -> Iterator[Fault]:
    """Find ExampleGens whose driver would run in a hook, which open-source KFP ignores."""
    if target.name != OSS:
        return
    for task in document.tasks.values():
        if task.container is not None and "preCacheCheck" in task.container.get("lifecycle", {}):
            what = "relies on preCacheCheck, which Kubeflow Pipelines ignores: changed data would go unseen"
            yield Fault(where=task.name, what=what, hint="digest the data in a task of its own, before this one")


def importer_uri(document: Document, target: Target) -> Iterator[Fault]:
    """Find importers of what is in no bucket, or of a whole one."""
    for task in document.tasks.values():
        uri = document.imported(task)
        if uri is not None and uri.partition("://")[0] not in target.schemes:
            hint = f"one of {', '.join(scheme + '://' for scheme in target.schemes)}"
            yield Fault(where=task.name, what=f"imports {uri!r}, which is in no bucket", hint=hint)
        elif uri is not None and is_top_of_bucket(uri):
            what = f"imports {uri!r}, for whose empty key KFP's launcher refuses to work"
            yield Fault(where=task.name, what=what, hint="name a folder in the bucket")


def importer_folder(document: Document, target: Target) -> Iterator[Fault]:
    """Find importers of what may be the beginning of other folders' names as well: the launcher fetches them all."""
    if target.name != OSS or target.version >= EXACT_FOLDERS:
        return
    for task in document.tasks.values():
        uri = document.imported(task)
        if uri is not None and "://" in uri and not uri.endswith("/") and "." not in uri.rpartition("/")[2]:
            what = f"imports {uri!r}, and whatever else begins with that"
            yield Fault(where=task.name, what=what, hint=f"a slash at its end: {uri}/", level=WARNING)


def other_bucket(document: Document, target: Target) -> Iterator[Fault]:
    """Find data in another bucket than the pipeline root's, for which alone KFP's launcher has credentials."""
    if target.name != OSS:
        return
    for task, uri in buckets.foreign_data(document):
        own, needed = buckets.bucket(document.root or ""), buckets.needs_credentials(uri)
        what = f"imports {uri!r}, which KFP's launcher {'cannot' if needed else 'may not be able to'} open"
        hint = f"its credentials are for {own}: keep data and pipeline root in one bucket"
        hint += "" if needed else ", or let the pods' service account read it"
        yield Fault(where=task.name, what=what, hint=hint, level=ERROR if needed else WARNING)


def no_tasks(document: Document, _: Target) -> Iterator[Fault]:
    """Find a graph without a task."""
    if not document.tasks:
        yield Fault(where="root", what="has no task", hint=EDITED)


def _producers(task: Task) -> set[str]:
    given = [one for kind in SOURCES for one in task.spec.get("inputs", {}).get(kind, {}).values()]
    return {one[field]["producerTask"] for one in given for field, *_ in SOURCES.values() if field in one}


def _unknown_source(document: Document, kind: str, given: Json) -> str | None:
    of_task, key, of_pipeline = SOURCES[kind]
    if of_pipeline in given:
        parameters: Any = document.spec.get("root", {}).get("inputDefinitions", {}).get(kind, {})
        name = given[of_pipeline]
        return None if name in parameters else f"comes from {name}, which the pipeline does not take"
    if of_task not in given:
        return None
    producer, output = given[of_task].get("producerTask"), given[of_task].get(key)
    if producer not in document.tasks:
        return f"comes from {producer}, which is no task"
    outputs = document.tasks[producer].component.get("outputDefinitions", {}).get(kind, {})
    return None if output in outputs else f"comes from {producer}'s {output}, which it does not give"
