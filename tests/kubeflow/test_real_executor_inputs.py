"""The simulator's driver against Kubeflow's: the ExecutorInput of every task, field by field."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubeflow.real_pods import PODS, pods

from kubeflow import real_pods
from pipeline.kubeflow.pod import invocation
from pipeline.kubeflow.simulate import launcher
from pipeline.kubeflow.simulate.dialect import OpenSource
from pipeline.kubeflow.simulate.driver import drive
from pipeline.kubeflow.simulate.metadata import MetadataStore
from pipeline.stages import STAGES

pytestmark = pytest.mark.skipif(not (real_pods.FOLDER / PODS[0]).is_file(), reason="what Kubeflow wrote is not at hand")

TASKS = (*STAGES, "ExampleGenDriver")
DIFFERENT_FILE: dict[str, tuple[str, ...]] = {
    "ExampleGenDriver": ("recipe", "schema"),
    "ReviewedSchema": ("source",),
    "Autoencoder": ("custom_config",),
    "Classifier": ("custom_config",),
}
"""{task: parameters} that the full cluster file changes in the compiled file; that of the Workflow is without it."""


def written(value: Any, salts: dict[str, str]) -> Any:
    """Returns an ExecutorInput without what is drawn by lot: numbers of artifacts, and the folders' salts."""
    if isinstance(value, dict):
        drawn = "uri" in value and str(value.get("name", "")).isdecimal()
        return {name: "N" if drawn and name == "name" else written(inner, salts) for name, inner in value.items()}
    if isinstance(value, list):
        return [written(inner, salts) for inner in value]
    for salt, name in salts.items():
        value = value.replace(salt, name) if isinstance(value, str) else value
    return value


def salt_of(executor_input: dict[str, Any]) -> str:
    return str(executor_input["outputs"]["outputFile"].split("/")[-2])


@pytest.fixture(params=PODS)
def real(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", TASKS)
def test_the_simulators_driver_says_what_kubeflows_said(real: str, name: str, tmp_path: Path) -> None:
    wanted = pods(real)[name]["executor_input"]
    root, run_id = real_pods.root_and_run(pods(real)[name])
    store = MetadataStore(tmp_path)
    document = real_pods.compiled(tmp_path, root)
    run = real_pods.run(root, run_id, document.values)
    made = drive(document.tasks[name], run, real_pods.registered(real, store), store, OpenSource()).executor_input
    made = json.loads(json.dumps(made))
    if real != PODS[0]:
        for parameter in DIFFERENT_FILE.get(name, ()):
            made["inputs"]["parameterValues"][parameter] = wanted["inputs"]["parameterValues"][parameter]
    assert written(made, {salt_of(made): "SALT"}) == written(wanted, {salt_of(wanted): "SALT"})


def test_an_artifact_of_a_default_installation_says_where_its_credentials_come_from(real: str) -> None:
    metadata = [
        artifact["metadata"]
        for pod in pods(real).values()
        for channel in pod["executor_input"]["inputs"].get("artifacts", {}).values()
        for artifact in channel["artifacts"]
    ]
    said = {one["store_session_info"] for one in metadata}
    assert said == {OpenSource().imported("minio://mlpipeline/m")["store_session_info"]}


@pytest.mark.parametrize("name", TASKS)
def test_a_pod_reads_what_kubeflows_driver_wrote(real: str, name: str) -> None:
    pod = pods(real)[name]
    [container] = [one for one in pod["pod"]["containers"] if one["name"] == "main"]
    spec = json.loads(container["args"][container["args"].index("--json_serialized_inputs_spec_args") + 1])
    parsed = invocation.parse(json.dumps(pod["executor_input"]), spec)
    assert invocation.EXECUTOR_LOGS not in parsed.outputs
    assert parsed.parameters.keys() == pod["executor_input"]["inputs"]["parameterValues"].keys()
    assert all(one.type_name or "lineage" in channel for channel, one in parsed.inputs.items())


def test_kubeflow_counts_the_attempts_only_of_a_task_that_may_be_repeated(real: str) -> None:
    counted = {
        launcher.RETRY_INDEX in {one["name"] for one in container.get("env", ())}
        for pod in pods(real).values()
        for container in pod["pod"]["containers"]
    }
    assert counted == {real != PODS[0]}
