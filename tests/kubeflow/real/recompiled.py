"""A Workflow that KFP's compiler wrote for other code than this checkout's, with the arguments of this checkout's compile.

Our containers refuse code that is not what was compiled. Of a Workflow, components, containers and tasks are JSON
that comes from our file as it is; templates, order and conditions are the compiler's, and stay.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from command_line import mnist_tfx
from kubeflow.real.workflow import Json, NotKnown, Workflow

IMAGE: Final = "registry.example/mnist-tfx:1"


def of_this_code(workflow: Workflow, folder: Path) -> tuple[Workflow, int]:
    """Returns the Workflow as it is if it was compiled from this code, else with this code's arguments; and for how many tasks."""
    file = folder / "compiled.yaml"
    root = pipeline_root(workflow)
    asked = ("--target", "oss", "--image", IMAGE, "--gpus", "0", "--pipeline-root", root, "-o", file)
    answer = mnist_tfx("kubeflow", "compile", *asked)
    assert answer.code == 0, answer.err
    spec, *platform = yaml.safe_load_all(file.read_text())
    ours = _code(spec["root"]["dag"]["tasks"])
    if code_digests(workflow) == ours:
        return workflow, 0
    return _with_arguments(workflow, spec, platform[0] if platform else {}), len(ours)


def pipeline_root(workflow: Workflow) -> str:
    """Returns the pipeline root that the run was given."""
    return str(_runtime(workflow)["gcsOutputDirectory"])


def _runtime(workflow: Workflow) -> Json:
    [task] = [one for one in workflow.entrypoint.tasks or () if "runtime-config" in one.arguments]
    return json.loads(task.arguments["runtime-config"])


def _tasks_of(workflow: Workflow) -> Json:
    return json.loads(workflow.parameters["components-root"])["dag"]["tasks"]


def code_digests(workflow: Workflow) -> dict[str, str]:
    """Returns {task: digest of the code that its container has to hold}."""
    return _code(_tasks_of(workflow))


def _code(tasks: Json) -> dict[str, str]:
    given = {name: one["inputs"].get("parameters", {}) for name, one in tasks.items()}
    return {name: one["code_digest"]["runtimeValue"]["constant"] for name, one in given.items() if "code_digest" in one}


def _with_arguments(workflow: Workflow, spec: Json, platform: Json) -> Workflow:
    tasks = spec["root"]["dag"]["tasks"]
    if {name: _upstream(one) for name, one in tasks.items()} != {
        name: _upstream(one) for name, one in _tasks_of(workflow).items()
    }:
        raise NotKnown("the Workflow's tasks or their order are not those of today: have KFP's compiler write it again")
    document = json.loads(json.dumps(workflow.document))
    parameters = {one["name"]: one for one in document["spec"]["arguments"]["parameters"]}
    parameters["components-root"]["value"] = json.dumps(spec["root"])
    for name, arguments in _drivers(document):
        executor = spec["components"][name]["executorLabel"]
        arguments["task"]["value"] = json.dumps(tasks[name])
        values = {
            "component": spec["components"][name],
            "container": spec["deploymentSpec"]["executors"][executor]["container"],
            "kubernetes-config": _platform(platform, executor),
        }
        for argument, value in values.items():
            if argument in arguments:
                parameters[_parameter(arguments[argument]["value"])]["value"] = json.dumps(value)
    return Workflow(document)


def _drivers(document: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yields (task, {name: argument}) of every task of a DAG that calls KFP's driver for a container."""
    for template in document["spec"]["templates"]:
        for one in template.get("dag", {}).get("tasks", ()):
            arguments = {each["name"]: each for each in one.get("arguments", {}).get("parameters", ())}
            if "task-name" in arguments:
                yield arguments["task-name"]["value"], arguments


def _platform(platform: Json, executor: str) -> Json:
    kubernetes = platform.get("platforms", {}).get("kubernetes", {})
    return kubernetes.get("deploymentSpec", {}).get("executors", {}).get(executor, {})


def _parameter(value: str) -> str:
    found = re.fullmatch(r"\{\{workflow\.parameters\.(.+)\}\}", value)
    if found is None:
        raise NotKnown(f"an argument that is no parameter of the Workflow: {value[:80]}")
    return found[1]


def _upstream(task: Json) -> frozenset[str]:
    return frozenset(task.get("dependentTasks", ()))
