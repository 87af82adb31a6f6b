"""Tasks before ExampleGen in a compiled spec: importer of a bucket's data, and driver.

Open-source Kubeflow Pipelines ignores `preCacheCheck`, the hook in which TFX has an ExampleGen's driver run, and
serves ExampleGen from its cache whatever became of the files. So the driver is a task of its own, never cached, and
what it says about the data are parameters of ExampleGen: they are in KFP's key.
"""

from __future__ import annotations

from typing import Any, Final

from components.settings import Settings
from pipeline.kubeflow import names
from pipeline.kubeflow.compiler.data_source import DataSource
from pipeline.stages import INGEST, REVIEWED_SCHEMA

FROM_DRIVER: Final = (names.FINGERPRINT, names.IS_NEW)
ARTIFACT: Final[dict[str, Any]] = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
"""Of any artifact that TFX has no type for."""

STRING: Final = {"parameterType": "STRING"}

Spec = dict[str, Any]


def add(spec: Spec, source: DataSource, settings: Settings, form: str) -> None:
    """Add runtime parameter, importer and driver to `spec`, and has ExampleGen take what they give."""
    spec["root"]["inputDefinitions"] = {"parameters": {names.SOURCE: {**STRING, "defaultValue": source.value}}}
    if source.in_bucket:
        _add_importer(spec, source)
    _add_driver(spec, source, settings, form)
    _complete_example_gen(spec, source)


def _add_importer(spec: Spec, source: DataSource) -> None:
    constant = source.is_pattern
    uri = {"constant": source.folder} if constant else {"runtimeParameter": names.SOURCE}
    # An artifact imported anew has a new name, and KFP's key for ExampleGen holds that: it would never hit. What lies at
    # the URI now is in the key by the driver's fingerprint.
    importer = {"artifactUri": uri, "typeSchema": ARTIFACT["artifactType"], "reimport": False}
    component: Spec = {"outputDefinitions": {"artifacts": {names.DATA_CHANNEL: ARTIFACT}}}
    inputs: Spec = {}
    if not constant:
        component["inputDefinitions"] = {"parameters": {names.SOURCE: STRING}}
        inputs = {"inputs": {"parameters": {names.SOURCE: _of_pipeline(names.SOURCE)}}}
    _add_task(spec, names.DATA_IMPORTER, task=inputs, component=component, executor={"importer": importer})


def _add_driver(spec: Spec, source: DataSource, settings: Settings, form: str) -> None:
    parameters = {
        names.SOURCE: _of_pipeline(names.SOURCE),
        "form": _constant(form),
        "settings": _constant(settings.data.to_json()),
        names.RECIPE: _constant(settings.to_json()),
        names.SPANS: _constant(str(source.spans)),
        names.SCHEMA: spec["root"]["dag"]["tasks"][REVIEWED_SCHEMA]["inputs"]["parameters"]["source"],
    }
    component = {
        "inputDefinitions": {"parameters": dict.fromkeys(parameters, STRING)},
        "outputDefinitions": {"parameters": dict.fromkeys(FROM_DRIVER, STRING)},
    }
    task = {"inputs": {"parameters": parameters}}
    _add_task(spec, names.DRIVER, task=task, component=component, executor={"container": {}})
    if source.in_bucket:
        _read_data(spec, names.DRIVER)


def _complete_example_gen(spec: Spec, source: DataSource) -> None:
    task = spec["root"]["dag"]["tasks"][INGEST]
    task["inputs"]["parameters"] |= {
        names.SOURCE: _of_pipeline(names.SOURCE),
        names.SPANS: _constant(str(source.spans)),
        **{name: _of_task(names.DRIVER, name) for name in FROM_DRIVER},
    }
    definitions = spec["components"][INGEST]["inputDefinitions"]
    definitions["parameters"] |= dict.fromkeys((names.SPANS, *FROM_DRIVER), STRING)
    task["dependentTasks"] = [*task.get("dependentTasks", ()), names.DRIVER]
    task["triggerPolicy"] = {"condition": names.TRIGGER}
    if source.in_bucket:
        _read_data(spec, INGEST)


def _read_data(spec: Spec, name: str) -> None:
    task, component = spec["root"]["dag"]["tasks"][name], spec["components"][name]
    component["inputDefinitions"]["artifacts"] = {names.DATA_CHANNEL: ARTIFACT}
    task["inputs"]["artifacts"] = {
        names.DATA_CHANNEL: {
            "taskOutputArtifact": {"producerTask": names.DATA_IMPORTER, "outputArtifactKey": names.DATA_CHANNEL}
        }
    }
    task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), names.DATA_IMPORTER})


def _add_task(spec: Spec, name: str, *, task: Spec, component: Spec, executor: Spec) -> None:
    label = f"{name}_executor"  # as the stock compiler names them
    spec["root"]["dag"]["tasks"][name] = {"taskInfo": {"name": name}, "componentRef": {"name": name}, **task}
    spec["components"][name] = {"executorLabel": label, **component}
    spec["deploymentSpec"]["executors"][label] = executor


def _constant(value: str) -> Spec:
    return {"runtimeValue": {"constant": value}}


def _of_pipeline(name: str) -> Spec:
    return {"componentInputParameter": name}


def _of_task(producer: str, name: str) -> Spec:
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": name}}
