"""What Kubeflow's own compiler, driver and launcher wrote for this pipeline, where it lies beside the checkout."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import yaml
from command_line import PROJECT

from pipeline.kubeflow.document import Document, read
from pipeline.kubeflow.simulate.driver import Run
from pipeline.kubeflow.simulate.metadata import Description, Execution, MetadataStore

FOLDER = PROJECT.parent / "shared" / "kfp"
PODS = ("pods-digits.json", "pods-digits-full-cluster-file.json")

Json = dict[str, Any]


@functools.cache
def pods(name: str) -> dict[str, Json]:
    """Returns {task: pod, ExecutorInput and termination message}."""
    return dict(json.loads((FOLDER / name).read_text()))


@functools.cache
def workflow() -> dict[str, Json]:
    """Returns {name: value} of the parameters in which KFP's compiler keeps components, containers and the rest."""
    fields = json.loads((FOLDER / "workflow-digits.json").read_text())
    return {one["name"]: json.loads(one["value"]) for one in fields["spec"]["arguments"]["parameters"]}


def compiled(folder: Path, root: str) -> Document:
    """Returns the compiled file that the workflow was made of, for this root."""
    parts = workflow()
    spec: Json = {"pipelineInfo": {"name": "digits"}, "schemaVersion": "2.1.0", "defaultPipelineRoot": root}
    spec |= {"root": parts["components-root"], "components": {}, "deploymentSpec": {"executors": {}}}
    platform: Json = {}
    for name, component in parts.items():
        if name.startswith("components-") and "executorLabel" in component:
            label = component["executorLabel"]
            task = label.removesuffix("_executor")
            spec["components"][task] = component
            container = parts[f"implementations-{name.removeprefix('components-')}"]
            spec["deploymentSpec"]["executors"][label] = {"container": container}
            platform[label] = parts.get(f"kubernetes-{task}", {})
    documents = [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump_all(documents))
    return read(folder / "pipeline.yaml")


def root_and_run(pod: Json) -> tuple[str, str]:
    """Returns the pipeline root that the task's places are below, and the run's id."""
    match = re.fullmatch(
        r"/minio/(?P<root>.+)/digits/(?P<run>[^/]+)/.*", pod["executor_input"]["outputs"]["outputFile"]
    )
    assert match is not None
    return f"minio://{match['root']}", match["run"]


def run(root: str, run_id: str, parameters: Json) -> Run:
    return Run(
        id=run_id,
        pipeline="digits",
        name="a run",
        root=f"{root}/digits/{run_id}",
        parameters=parameters,
        created="2026-01-01T00:00:00Z",
    )


def registered(name: str, store: MetadataStore) -> dict[str, Execution]:
    """Returns {task: execution}, with the artifacts that tasks of the run were given, in the store."""
    done: dict[str, dict[str, int]] = {task: {} for task in pods(name)}
    for reader in pods(name).values():
        for channel in reader["executor_input"]["inputs"].get("artifacts", {}).values():
            [artifact] = channel["artifacts"]
            maker, _, output = artifact["uri"].split("/")[-3:]
            described = Description(pipeline="digits", uri=artifact["uri"], type={}, properties=artifact["metadata"])
            done[maker].setdefault(output, store.put_artifact(described).id)
    told = pods(name)["ExampleGen"]["executor_input"]["inputs"]["parameterValues"]
    answers = {one: told[one] for one in ("input_fingerprint", "is_new")}
    return {
        task: store.put_execution(
            run_id="r",
            task=task,
            state="COMPLETE",
            parameters=answers if task == "ExampleGenDriver" else {},
            artifacts=made,
        )
        for task, made in done.items()
    }
