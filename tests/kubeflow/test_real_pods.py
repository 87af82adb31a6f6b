"""What we compile, held field by field against the pods and the Workflow that Kubeflow's own driver and compiler made of it.

Kubeflow Pipelines 2.17.0 made them of an older file of ours: `shared/kfp/pods-digits*.json` and `workflow-digits.json`. Each
difference has its reason in a table here, and a reason that is no longer needed fails.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import PROJECT
from kubeflow.compiled_files import compiled

from pipeline.kubeflow.compiler.pods import Images
from pipeline.kubeflow.places import LAUNCHER_FOLDERS

KFP = PROJECT.parent / "shared" / "kfp"
IMAGE = "registry.example/mnist-tfx:1"
FULL = """\
version: 1
image: registry.example/mnist-tfx:1
serving: {claim: mnist-tfx-serving, path: /serving}
schema: /schemas
sign_key: {secret: mnist-tfx-signing, key: key.pem}
service_account: pipeline-runner
defaults:
  cpu: 1
  memory: 4Gi
  retries: 1
  node_selector: {disk: ssd}
  volumes: [{claim: reviewed-schemas, path: /schemas}]
nodes:
  ExampleGen: {memory: 8Gi, timeout: 3600}
  Classifier:
    cpu: 4
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    env: {TF_GPU_ALLOCATOR: cuda_malloc_async}
    secrets: {PROXY_PASSWORD: {secret: proxy, key: password}}
  Pusher: {image: "registry.example/mnist-tfx:1"}
"""

RENAMED = "the option was called --root until it got KFP's own term"
NON_ROOT = "the driver's pods had KFP's defaults alone; now the file says what the restricted standard wants besides"
STATISTICS = "the executor was TFX's own until it got a pass without Beam"
EXECUTORS = r"components\.statistics_executor\.StatisticsExecutor, tfx\.components\.statistics_gen\.executor\.Executor"
TRANSFORM = "the executor was TFX's own until its graph became the same bytes with every writing"
GRAPHS = r"components\.transform_executor\.TransformExecutor, tfx\.components\.transform\.executor\.Executor"
WHY_NEWER = {
    r"\w+\.args\[\d+\]: --pipeline-root, --root": RENAMED,
    r"\w+\.securityContext\.runAsNonRoot: True, nothing": NON_ROOT,
    rf"StatisticsGen\.args\[\d+\]: {EXECUTORS}": STATISTICS,
    rf"Transform\.args\[\d+\]: {GRAPHS}": TRANSFORM,
}
"""{difference, `path: ours, theirs` as a regular expression: what is newer than the driver's pods}."""

WHY_NEWER_WORKFLOW = {
    r"\w+\.container\.args\[\d+\]: --pipeline-root, --root": RENAMED,
    r"\w+\.kubernetes\.securityContext\.runAsNonRoot: True, nothing": NON_ROOT,
    rf"StatisticsGen\.container\.args\[\d+\]: {EXECUTORS}": STATISTICS,
    rf"Transform\.container\.args\[\d+\]: {GRAPHS}": TRANSFORM,
    r"\w+\.task\.inputs\.parameters\.code_digest\..*": "digests of the code as it is now",
    r"\w+\.task\.inputs\.parameters\.(custom_config|data|settings|recipe)\..*": "keys that recipes have got since",
    r"\w+\.component\.outputDefinitions\.artifacts\.(model|training)_run.*": "model_run begins with model, and is "
    "called training_run since",
    r"\w+\.task\.cachingOptions\.enableCache: False, nothing": "protojson leaves out what is false",
}

KFPS_OWN = {"kfp-launcher", "gcs-scratch", "s3-scratch", "minio-scratch", "dot-local-scratch", "dot-cache-scratch"} | {
    "dot-config-scratch"
}
"""Volumes that KFP gives every pod."""

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}} | {
    "seccompProfile": {"type": "RuntimeDefault"}
}
"""What KFP says of every container, whatever a file says."""


def read(name: str) -> Any:
    path = KFP / name
    if not path.exists():
        pytest.skip(f"needs ../shared/kfp/{name}")
    return json.loads(path.read_text())


def asked_for(task):
    """Returns the fields of the pod that a task of our file asks for, by the driver's rules (driver.go and k8s.go)."""
    container, platform = task.container, task.platform
    limits = container.get("resources", {})
    secrets = [(entry["secretName"], key) for entry in platform.get("secretAsEnv", ()) for key in entry["keyToEnv"]]
    volumes = [(m["constant"], "persistentVolumeClaim", m) for m in platform.get("pvcMount", ())]
    volumes += [(m["secretName"], "secret", m) for m in platform.get("secretAsVolume", ())]
    return {
        "image": container["image"],
        "args": [*container["command"], *container["args"]],
        "env": {one["name"]: one["value"] for one in container.get("env", ())}
        | {key["envVar"]: f"{name}/{key['secretKey']}" for name, key in secrets},
        "limits": ({"cpu": f"{limits['cpuLimit']:.10g}"} if "cpuLimit" in limits else {})
        | ({"memory": f"{limits['memoryLimit']:.10g}G"} if "memoryLimit" in limits else {})
        | ({one["type"]: one["count"] for one in [limits["accelerator"]]} if "accelerator" in limits else {}),
        "volumes": {name: kind for name, kind, _ in volumes},
        "mounts": {mount["mountPath"]: name for name, _, mount in volumes},
        "nodeSelector": platform.get("nodeSelector", {}).get("labels", {}),
        "tolerations": platform.get("tolerations", []),
        "activeDeadlineSeconds": platform.get("activeDeadlineSeconds"),
        "securityContext": HARDENED | platform.get("securityContext", {}),
        "labels": platform.get("podMetadata", {}).get("labels", {}),
        "is_retried": task.retries > 0,
    }


def given(pod):
    """Returns the same fields of a pod that the driver made, without what KFP adds to every pod."""
    (container,) = pod["containers"]
    env = {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
    deadline = pod.get("activeDeadlineSeconds")
    return {
        "image": container["image"],
        "args": container["args"],
        "env": {name: _text(value) for name, value in env.items() if not name.startswith("KFP_")},
        "limits": container["resources"].get("limits", {}),
        "volumes": {
            one["name"]: next(iter(set(one) - {"name"})) for one in pod["volumes"] if one["name"] not in KFPS_OWN
        },
        "mounts": {one["mountPath"]: one["name"] for one in container["volumeMounts"] if one["name"] not in KFPS_OWN},
        "nodeSelector": pod.get("nodeSelector", {}),
        "tolerations": pod.get("tolerations", []),
        "activeDeadlineSeconds": None if deadline is None else str(deadline),
        "securityContext": container["securityContext"],
        "labels": pod.get("labels", {}),
        "is_retried": "KFP_RETRY_INDEX" in env,
    }


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    secret = value["secretKeyRef"]
    return f"{secret['name']}/{secret['key']}"


def differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
        step = "[{}]"
    else:
        step = ".{}"
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}, key=str):
            yield from differences(ours.get(key, "nothing"), theirs.get(key, "nothing"), path + step.format(key))
    elif isinstance(ours, Mapping):
        yield from differences(ours, {}, path)
    elif ours != theirs:
        yield f"{path}: {ours}, {theirs}"


def require_explained(found: list[str], why: Mapping[str, str]) -> None:
    table = "\n".join(["", *(f"{pattern:80} {reason}" for pattern, reason in why.items())])
    unexplained = [one for one in found if not any(re.fullmatch(pattern, one, re.DOTALL) for pattern in why)]
    assert unexplained == [], table
    needless = [pattern for pattern in why if not any(re.fullmatch(pattern, one, re.DOTALL) for one in found)]
    assert needless == [], table


@pytest.mark.parametrize(
    ("name", "root", "cluster_text"),
    [("pods-digits", "m", None), ("pods-digits-full-cluster-file", "signed", FULL)],
    ids=["no cluster file", "a full cluster file"],
)
def test_the_pods_are_those_that_the_real_driver_made(tmp_path: Path, name: str, root: str, cluster_text: str | None):
    pods, cluster = read(f"{name}.json"), None
    if cluster_text is not None:
        cluster = tmp_path / "cluster.yaml"
        cluster.write_text(cluster_text)
    tasks = compiled(root=f"minio://mlpipeline/{root}", images=Images(cpu=IMAGE), cluster=cluster).tasks
    assert set(tasks) == set(pods)
    found = [one for task in tasks for one in differences(asked_for(tasks[task]), given(pods[task]["pod"]), task)]
    require_explained(found, WHY_NEWER)


def test_the_folders_that_no_volume_may_take_are_those_that_kfp_mounts():
    for task, entry in read("pods-digits.json").items():
        (container,) = entry["pod"]["containers"]
        taken = {one["mountPath"] for one in container["volumeMounts"] if one["name"] in KFPS_OWN}
        assert taken == set(LAUNCHER_FOLDERS), task


class Workflow:
    """The Workflow that KFP's compiler wrote, its arguments looked up."""

    def __init__(self, document: Any) -> None:
        self.values = {one["name"]: one["value"] for one in document["spec"]["arguments"]["parameters"]}
        (root,) = (one for one in document["spec"]["templates"] if one["name"] == "root")
        self.steps = {step["name"]: step for step in root["dag"]["tasks"]}

    def argument(self, task: str, name: str) -> Any:
        """Returns a JSON argument of a task's driver; empty if it has none."""
        given = {one["name"]: one["value"] for one in self.steps[f"{task}-driver"]["arguments"]["parameters"]}
        text = given.get(name, "{}")
        looked_up = re.fullmatch(r"\{\{workflow\.parameters\.(.*)\}\}", text)
        return json.loads(self.values[looked_up[1]] if looked_up else text)


def test_the_workflow_is_the_one_that_the_real_compiler_wrote():
    workflow = Workflow(read("workflow-digits.json"))
    document = compiled(root="minio://mlpipeline/m", images=Images(cpu=IMAGE, gpus=1))
    assert set(workflow.steps) == {name for task in document.tasks for name in (task, f"{task}-driver")}
    parts = {"task": "spec", "component": "component", "container": "container", "kubernetes-config": "platform"}
    found = [
        one
        for name, task in document.tasks.items()
        for argument, part in parts.items()
        for one in differences(
            getattr(task, part), workflow.argument(name, argument), f"{name}.{argument.removesuffix('-config')}"
        )
    ]
    require_explained(found, WHY_NEWER_WORKFLOW)


def test_a_task_of_the_workflow_waits_for_what_ours_waits_for_and_runs_on_our_condition():
    workflow = Workflow(read("workflow-digits.json"))
    for name, task in compiled(root="minio://mlpipeline/m", images=Images(cpu=IMAGE, gpus=1)).tasks.items():
        driver, executor = workflow.steps[f"{name}-driver"], workflow.steps[name]
        assert driver.get("depends", "") == " && ".join(f"{one}.Succeeded" for one in task.upstream)
        assert executor["depends"] == f"{name}-driver.Succeeded"
        condition = f"{{{{tasks.{name}-driver.outputs.parameters.condition}}}} != false"
        assert executor.get("when") == (None if task.condition is None else condition)
