"""A small Workflow in the shape that KFP's compiler gives it: a driver before each container, and what it writes after."""

import copy
import json
from typing import Any

from kubeflow.real.workflow import RUN_ID, Json, Workflow


def small(*tasks: Json, retries: int = 0, claim: str = "") -> Workflow:
    """Returns a Workflow of some tasks; each pod may be repeated `retries` times, and mounts a claim, if one is named."""
    templates = [
        _driver(),
        _executor(),
        _container(retries, claim),
        {"name": "root", "dag": {"tasks": [*_flat(tasks)]}},
    ]
    document = {
        "metadata": {"generateName": "small-", "labels": {RUN_ID: "11111111-2222-3333-4444-555555555555"}},
        "spec": {
            "entrypoint": "entrypoint",
            "arguments": {"parameters": [{"name": "greeting", "value": "hello {{$.inputs}}"}]},
            "templates": [*templates, {"name": "entrypoint", "dag": {"tasks": [{"name": "root", "template": "root"}]}}],
        },
    }
    return Workflow(copy.deepcopy(document))


def task(name: str, *, after: str = "", conditional: bool = False) -> list[Json]:
    """Returns a driver's task and the one that runs the container, as KFP's compiler writes the two."""
    driver = f"{name}-driver"
    arguments = [_given("task-name", name), _given("greeting", "{{workflow.parameters.greeting}}")]
    outputs = [
        _given(one, f"{{{{tasks.{driver}.outputs.parameters.{one}}}}}") for one in ("pod-spec-patch", "cached-decision")
    ]
    when = {"when": f"{{{{tasks.{driver}.outputs.parameters.condition}}}} != false"} if conditional else {}
    depends = {"depends": " && ".join(f"{one}.Succeeded" for one in after.split())} if after else {}
    return [
        {"name": driver, "template": "driver", "arguments": {"parameters": arguments}, **depends},
        {
            "name": name,
            "template": "executor",
            "arguments": {"parameters": outputs},
            "depends": f"{driver}.Succeeded",
            **when,
        },
    ]


def _flat(tasks: tuple[Json, ...]) -> list[Json]:
    return [one for pair in tasks for one in pair]


def _given(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def _driver() -> Json:
    files = {"pod-spec-patch": "", "cached-decision": "false", "condition": "true"}
    outputs = [
        {"name": name, "valueFrom": {"path": f"/tmp/outputs/{name}", "default": default}}
        for name, default in files.items()
    ]
    flags: list[str] = [
        "--task_name",
        "{{inputs.parameters.task-name}}",
        "--greeting",
        "{{inputs.parameters.greeting}}",
    ]
    for name in files:
        flags += [f"--{name.replace('-', '_')}_path", f"{{{{outputs.parameters.{name}.path}}}}"]
    return {
        "name": "driver",
        "inputs": {"parameters": [{"name": "task-name"}, {"name": "greeting"}]},
        "outputs": {"parameters": outputs},
        "container": {"image": "reg.example/kfp-driver:1", "command": ["driver"], "args": flags},
    }


def _executor() -> Json:
    parameters = [{"name": "pod-spec-patch"}, {"name": "cached-decision", "default": "false"}]
    patch = [_given("pod-spec-patch", "{{inputs.parameters.pod-spec-patch}}")]
    inner = {"name": "executor", "template": "container", "arguments": {"parameters": patch}}
    inner["when"] = "{{inputs.parameters.cached-decision}} != true"
    return {"name": "executor", "inputs": {"parameters": parameters}, "dag": {"tasks": [inner]}}


def _container(retries: int, claim: str) -> Json:
    launcher: dict[str, Any] = {"name": "kfp-launcher", "mountPath": "/kfp-launcher"}
    volumes: list[Json] = [{"name": "kfp-launcher", "emptyDir": {}}]
    mounts = [launcher]
    if claim:
        volumes.append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": claim, "mountPath": "/data"})
    template = {
        "name": "container",
        "inputs": {"parameters": [{"name": "pod-spec-patch"}]},
        "podSpecPatch": "{{inputs.parameters.pod-spec-patch}}",
        "volumes": volumes,
        "initContainers": [
            {
                "name": "kfp-launcher",
                "image": "reg.example/kfp-launcher:1",
                "command": ["launcher-v2"],
                "args": ["--copy", "/kfp-launcher/launch"],
                "volumeMounts": [launcher],
            }
        ],
        "container": {
            "image": "reg.example/replaced-by-the-patch",
            "command": ["replaced"],
            "volumeMounts": mounts,
            "env": [{"name": "KFP_RETRY_INDEX", "value": "{{retries}}"}],
        },
    }
    return {**template, "retryStrategy": {"limit": retries}} if retries else template


def patch_of(command: list[str]) -> str:
    """Returns a patch as KFP's driver writes it: the image of the task, and what its container runs."""
    main = {"name": "main", "image": "reg.example/mnist-tfx:1", "command": command}
    return json.dumps({"containers": [main]})
