"""Importer task: registers an artifact for a URI that something else filled.

Follows backend/src/v2/component/importer_launcher.go. Nothing is read: whoever takes the artifact as an input gets what
lies there then.
"""

from __future__ import annotations

from typing import Any

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from pipeline.kubeflow.document import Json as Spec
from pipeline.kubeflow.document import Task
from pipeline.kubeflow.simulate.buckets import in_pod
from pipeline.kubeflow.simulate.dialect import Dialect
from pipeline.kubeflow.simulate.driver import Run
from pipeline.kubeflow.simulate.metadata import Description, MetadataStore
from pipeline.kubeflow.simulate.outputs import TaskOutputs
from pipeline.kubeflow.simulate.values import as_value


def import_artifact(task: Task, run: Run, store: MetadataStore, dialect: Dialect) -> tuple[TaskOutputs, bool]:
    """Register what an importer imports, or finds it; also tells whether it was found.

    Raises:
      EnvironmentProblem: if it has no URI, or not one of a bucket, or more outputs than one.
    """
    importer: Spec = task.importer or {}
    outputs = list(task.component.get("outputDefinitions", {}).get("artifacts", {}))
    if len(outputs) != 1:
        raise _failed(task, f"wanted one output, got {', '.join(outputs) or 'none'}")
    uri = artifact_uri(task, run.parameters)
    try:
        in_pod(uri)
        properties = {**dialect.properties(as_value(importer.get("metadata", {}))), **dialect.imported(uri)}
    except (MnistTfxError, ValueError) as err:
        raise _failed(task, str(err)) from err
    wanted = Description(
        pipeline=run.pipeline, uri=uri, type=dict(importer.get("typeSchema", {})), properties=properties
    )
    registered = None if importer.get("reimport", False) else store.matching(wanted)
    artifact = registered or store.put_artifact(wanted)
    return TaskOutputs(parameters={}, artifacts={outputs[0]: artifact.id}), registered is not None


def artifact_uri(task: Task, parameters: Any) -> str:
    """Return the URI that an importer imports.

    Raises:
      EnvironmentProblem: if it has none.
    """
    source: Spec = (task.importer or {}).get("artifactUri", {})
    if "runtimeParameter" in source:
        name = source["runtimeParameter"]
        given = task.spec.get("inputs", {}).get("parameters", {}).get(name)
        if given is None:
            raise _failed(task, f"cannot find parameter {name} in task input to fetch artifact uri")
        uri = parameters.get(given.get("componentInputParameter"))
    else:
        uri = source.get("constant")
    if not isinstance(uri, str) or not uri:
        raise _failed(task, "empty artifact URI")
    return uri


def check_key(task: Task, uri: str, dialect: Dialect) -> None:
    """Refuse a whole bucket, which the launcher of whoever takes the artifact could not fetch (`KeyFromURI`).

    Raises:
      BadInput: if the URI names nothing below its bucket; mounted buckets need no key.
    """
    _, _, place = uri.partition("://")
    if not dialect.mounts_buckets and not place.partition("/")[2].strip("/"):
        what = "the launcher would fail: the URI has an empty key"
        raise BadInput(what, where=task.name, wanted="a folder below the bucket", got=uri)


def _failed(task: Task, what: str) -> EnvironmentProblem:
    return EnvironmentProblem("the importer would fail", where=task.name, got=what)
