"""Example manifests: fields that Kubernetes and KServe have, pods that a restricted namespace takes, one volume for all."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from command_line import PROJECT
from kubernetes import client

from pipeline.kubeflow.compiler.cluster import CLAIM, SERVING

FOLDER = PROJECT / "kubeflow"
FILES = ("serving-claim", "serving-reader", "tensorflow-serving")

# Of KServe's v1beta1 API: InferenceServiceSpec, PredictorSpec without its older frameworks, ModelSpec without what it
# takes over from a container. PyPI's kserve, which has them as models, brings a model server's 60 packages.
SPEC = {"predictor", "transformer", "explainer"}
PREDICTOR = {
    *(
        "model",
        "minReplicas",
        "maxReplicas",
        "scaleTarget",
        "scaleMetric",
        "containerConcurrency",
        "timeout",
        "batcher",
    ),
    *(
        "canaryTrafficPercent",
        "logger",
        "labels",
        "annotations",
        "deploymentStrategy",
        "serviceAccountName",
        "workerSpec",
    ),
}
MODEL = {
    "modelFormat",
    "runtime",
    "storageUri",
    "runtimeVersion",
    "protocolVersion",
    "storage",
    "resources",
    "env",
    "args",
}
FORMAT = {"name", "version"}
PROTOCOLS = {"v1", "grpc-v1"}


def documents(name: str) -> list[dict[str, Any]]:
    """Returns the manifests of an example."""
    return list(yaml.safe_load_all((FOLDER / f"{name}.example.yaml").read_text()))


def pod_specs(name: str) -> list[dict[str, Any]]:
    """Returns the specifications of the pods in an example."""
    found = [
        one["spec"] if one["kind"] == "Pod" else one["spec"].get("template", {}).get("spec") for one in documents(name)
    ]
    return [spec for spec in found if spec]


@pytest.mark.parametrize("name", FILES)
def test_an_example_has_no_field_that_kubernetes_does_not_know(name):
    api = client.ApiClient(client.Configuration())
    for document in documents(name):
        model = api.deserialize(SimpleNamespace(data=json.dumps(document)), f"V1{document['kind']}")
        assert api.sanitize_for_serialization(model) == document


@pytest.mark.parametrize("name", FILES)
def test_every_example_mounts_the_volume_that_the_pusher_writes(name):
    for spec in pod_specs(name):
        assert [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"]] == [CLAIM]
        assert [one["mountPath"] for container in spec["containers"] for one in container["volumeMounts"]] == [SERVING]


@pytest.mark.parametrize("name", ["serving-reader", "tensorflow-serving"])
def test_a_restricted_namespace_takes_the_pod(name):
    (spec,) = pod_specs(name)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_the_inference_service_has_kserves_fields_and_the_pushers_volume():
    (service,) = documents("inference-service")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    model = predictor["model"]
    assert set(service["spec"]) <= SPEC
    assert set(predictor) <= PREDICTOR
    assert set(model) <= MODEL
    assert set(model["modelFormat"]) <= FORMAT
    assert model["protocolVersion"] in PROTOCOLS
    assert model["storageUri"] == f"pvc://{CLAIM}"


def test_both_ways_to_serve_run_the_same_server_under_the_same_name():
    (service,), (deployment, front) = documents("inference-service"), documents("tensorflow-serving")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].rpartition(":")[2] == service["spec"]["predictor"]["model"]["runtimeVersion"]
    assert f"--model_name={service['metadata']['name']}" in container["args"]
    assert f"--model_base_path={SERVING}" in container["args"]
    assert front["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
