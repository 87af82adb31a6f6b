"""`kubeflow doctor`: what a run will ask of a cluster is there, missing, or cannot be told, each with what helps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Answer
from kubeflow.cluster_command import invoke
from kubeflow.kfp_server import Fault, KfpServer
from kubeflow.kubernetes_server import KubernetesServer, claim, meta, node, secret
from kubernetes import client

from components.errors import BadInput
from kubeflow import kubernetes_server
from pipeline.cli.kubeflow.doctor import doctor as command
from pipeline.kubeflow.client import launcher_config
from pipeline.kubeflow.client.launcher_config import MINIO, SecretRef

CLUSTER = """version: 1
target: oss
image: reg.example/mnist-tfx:1
pipeline_root: minio://mlpipeline/v2/artifacts/m
sign_key: {secret: signing, key: key.pem}
defaults: {cpu: 1, memory: 4Gi, secrets: {PASSWORD: {secret: proxy, key: password}}}
nodes:
  Autoencoder: {accelerator: {count: 0}}
  Classifier: {accelerator: {count: 1}, tolerations: [{key: nvidia.com/gpu, operator: Exists}]}
"""
RUNNER = "system:serviceaccount:kubeflow:pipeline-runner"
TAINT = client.V1Taint(key="nvidia.com/gpu", effect="NoSchedule")

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def kubernetes() -> Iterator[KubernetesServer]:
    """A cluster that has everything."""
    with kubernetes_server.serving() as server:
        server.add(
            client.V1Namespace(metadata=meta("kubeflow")),
            client.V1ServiceAccount(metadata=meta("pipeline-runner")),
            secret("mlpipeline-minio-artifact", "accesskey", "secretkey"),
            secret("signing", "key.pem"),
            secret("proxy", "password"),
            claim("mnist-tfx-serving"),
            node("one"),
            node("two", TAINT, nvidia_com__gpu="1"),
        )
        yield server


@pytest.fixture
def ask(server: KfpServer, kubernetes: KubernetesServer, tmp_path: Path):
    """Runs the command against both servers."""
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    server.tag = "2.17.0"

    def asked(*more: object) -> Answer:
        file = kubernetes.kubeconfig(tmp_path)
        given = ("--host", server.url, "--kubeconfig", file, "--cluster", tmp_path / "cluster.yaml", "--json")
        return invoke(command, *given, *more)

    return asked


def found(answer: Answer) -> dict[str, dict]:
    return {one["what"]: one for one in answer.json["findings"]}


def not_ok(answer: Answer) -> dict[str, str]:
    return {what: one["state"] for what, one in found(answer).items() if one["state"] != "ok"}


def test_a_cluster_that_has_everything_is_ready(ask):
    answer = ask()
    assert (answer.code, not_ok(answer)) == (0, {}), answer.out
    assert found(answer)["version"]["said"] == "Kubeflow Pipelines 2.17.0"
    assert found(answer)["secret signing"]["said"] == "signing has key.pem"
    assert found(answer)["a node for Classifier"]["said"].startswith("1 of 2 fit (cpu 1, memory 4Gi, nvidia.com/gpu 1)")


def test_nothing_but_questions_is_sent(ask, kubernetes, server):
    ask()
    assert {method for method, _ in server.asked} == {"GET"}
    assert all(
        "accessreviews" in path or path in kubernetes.things or "nodes" in path or "kfp-launcher" in path
        for path in kubernetes.asked
    )


@pytest.mark.parametrize(
    ("change", "what", "said", "command"),
    [
        (lambda k: k.remove(client.V1Secret, "signing"), "secret signing", "not in kubeflow", "create secret generic signing --from-file=key.pem=FILE"),
        (lambda k: k.add(secret("proxy", "user")), "secret proxy", "proxy has no password", "describe secret proxy"),
        (lambda k: k.remove(client.V1Secret, "mlpipeline-minio-artifact"), "bucket credentials", "mlpipeline-minio-artifact is not in", "create secret"),
        (lambda k: k.remove(client.V1PersistentVolumeClaim, "mnist-tfx-serving"), "claim mnist-tfx-serving", "not in", "apply -f kubeflow/serving-claim"),
        (lambda k: k.add(claim("mnist-tfx-serving", "ReadOnlyMany")), "claim mnist-tfx-serving", "cannot write", "apply"),
        (lambda k: k.add(claim("mnist-tfx-serving", phase="Pending", kind="gone")), "claim mnist-tfx-serving", "no volume will come", "describe pvc"),
        (lambda k: k.remove(client.V1Node, "two"), "a node for Classifier", "none of 1 fits .*: 1 with no nvidia.com/gpu", "describe nodes"),
        (lambda k: k.add(node("two", nvidia_com__gpu="0")), "a node for Classifier", "1 with nvidia.com/gpu 0 in all", "describe nodes"),
        (lambda k: k.add(node("two", cordoned=True, nvidia_com__gpu="1")), "a node for Classifier", "cordoned", "describe nodes"),
        (lambda k: k.remove(client.V1ServiceAccount, "pipeline-runner"), "service account pipeline-runner", "not in kubeflow", "get serviceaccounts"),
        (lambda k: k.denied.add((RUNNER, "get", "secrets")), "service account pipeline-runner", "not allowed: get secrets", f"--list --as {RUNNER}"),
        (lambda k: k.remove(client.V1Namespace, "kubeflow"), "namespace kubeflow", "there is none", "create namespace kubeflow"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_command_that_helps(ask, kubernetes, change, what, said, command):
    change(kubernetes)
    answer = ask()
    assert (answer.code, not_ok(answer)) == (4, {what: "missing"}), answer.out
    one = found(answer)[what]
    assert all(part in f"{one['said']} {one['command']}" for part in said.split(" .*: ")), one
    assert command in one["command"]


def test_what_may_not_be_read_cannot_be_told(ask, kubernetes):
    kubernetes.forbidden |= {"/secrets", "subjectaccessreviews", "/nodes"}
    answer = ask()
    assert answer.code == 5
    states = not_ok(answer)
    assert set(states.values()) == {"cannot tell"}
    assert {"bucket credentials", "secret proxy", "service account pipeline-runner", "a node for Classifier"} <= set(
        states
    )
    said = found(answer)["secret proxy"]["said"]
    assert said.startswith("Kubernetes does not say (403): got")
    assert "secret-token" not in answer.out


def test_without_a_kubeconfig_its_rows_say_so_in_one_sentence(server, tmp_path):
    server.tag = "2.17.0"
    answer = invoke(command, "--host", server.url, "--json", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    assert answer.code == 5
    rows = [one for one in answer.json["findings"] if one["state"] != "ok"]
    sentence = "no kubeconfig, so Kubernetes was not asked: --kubeconfig FILE names one"
    assert {one["said"] for one in rows} == {sentence}
    assert len(rows) > 5


def test_a_kubernetes_that_is_not_there_is_not_asked_for_minutes(ask, kubernetes):
    kubernetes.url = "http://127.0.0.1:9"
    answer = ask("--timeout", 5)
    assert answer.code == 5
    assert "Kubernetes' API cannot be reached" in found(answer)["namespace kubeflow"]["said"]


def test_a_server_that_is_not_there_is_missing_and_the_rest_is_told(kubernetes, tmp_path):
    file = kubernetes.kubeconfig(tmp_path)
    answer = invoke(command, "--host", "http://127.0.0.1:9", "--kubeconfig", file, "--json")
    assert answer.code == 4
    assert found(answer)["server"]["command"] == "kubectl -n kubeflow port-forward svc/ml-pipeline-ui 8080:80"
    assert found(answer)["your rights"]["state"] == "cannot tell"
    assert found(answer)["claim mnist-tfx-serving"]["state"] == "ok"


@pytest.mark.parametrize(
    ("tag", "state"),
    [("2.16.1", "ok"), ("2.14.4", "missing"), ("2.4.1", "missing"), ("unknown", "cannot tell"), ("", "cannot tell")],
)
def test_the_version_is_judged(ask, server, tag, state):
    server.tag = tag
    assert found(ask())["version"]["state"] == state


def test_an_older_server_takes_a_file_that_is_compiled_for_it(ask, server, tmp_path):
    server.tag = "2.14.4"
    assert "--kfp-version 2.14.4" in found(ask())["version"]["command"]
    (tmp_path / "cluster.yaml").write_text(f"{CLUSTER}kfp_version: 2.14.4\n")
    assert not_ok(ask()) == {}


@pytest.mark.parametrize(("tag", "state"), [("2.17.0", "ok"), ("2.14.4", "missing"), ("unknown", "cannot tell")])
def test_a_restricted_namespace_wants_pods_as_newer_servers_make_them(ask, server, kubernetes, tag, state):
    server.tag = tag
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubernetes.add(client.V1Namespace(metadata=client.V1ObjectMeta(name="kubeflow", labels=labels)))
    assert found(ask())["namespace kubeflow"]["state"] == state


def test_a_pull_secret_is_one_of_a_registry(ask, kubernetes, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER.replace("defaults: {", "defaults: {image_pull_secrets: [login], "))
    assert "create secret docker-registry login" in found(ask())["secret login"]["command"]
    kubernetes.add(secret("login", ".dockerconfigjson"))
    assert not_ok(ask()) == {}


def test_a_server_that_refuses_to_list_runs_is_told(ask, server):
    server.faults.append(Fault(403, "GET", "/runs"))
    answer = ask()
    assert answer.code == 4
    assert "not allowed (403)" in found(answer)["runs on the server"]["said"]


def test_an_installation_for_several_users_asks_for_rights_in_the_namespace(ask, server, kubernetes):
    server.multi_user = True
    kubernetes.add(client.V1ServiceAccount(metadata=meta("default-editor")))
    assert found(ask("--namespace", "kubeflow"))["your rights"]["said"] == "runs may be created"
    kubernetes.denied.add((None, "create", "runs"))
    one = found(ask("--namespace", "kubeflow"))["your rights"]
    assert (one["state"], one["said"]) == ("missing", "not allowed: create runs")


def test_a_volume_of_one_node_is_enough_where_there_is_one_node(ask, kubernetes):
    kubernetes.add(claim("mnist-tfx-serving", "ReadWriteOnce"))
    assert not_ok(ask()) == {"claim mnist-tfx-serving": "cannot tell"}
    kubernetes.remove(client.V1Node, "one")
    kubernetes.add(node("two", nvidia_com__gpu="1"))
    assert not_ok(ask()) == {}


def test_a_claim_waits_well_where_its_class_makes_volumes(ask, kubernetes):
    kubernetes.add(claim("mnist-tfx-serving", phase="Pending"))
    kubernetes.add(client.V1StorageClass(metadata=meta("standard"), provisioner="rancher.io/local-path"))
    assert not_ok(ask()) == {}


def test_a_root_outside_the_default_is_told_for_the_sake_of_kfp_3(ask, kubernetes):
    kubernetes.add(
        client.V1ConfigMap(metadata=meta("kfp-launcher"), data={"defaultPipelineRoot": "minio://mlpipeline/x"})
    )
    assert "is outside, which KFP 3.0 refuses" in found(ask())["kfp-launcher"]["said"]


PROVIDERS = """
s3:
  default: {endpoint: s3.example, credentials: {fromEnv: true}}
  overrides:
    - {bucketName: lake, keyPrefix: a, credentials: {secretRef: {secretName: s, accessKeyKey: k, secretKeyKey: v}}}
gs:
  default: {credentials: {fromEnv: false, secretRef: {secretName: g, tokenKey: t}}}
minio:
  default: {credentials: {fromEnv: false, secretRef: {secretName: m, accessKeyKey: k, secretKeyKey: v}}}
"""


@pytest.mark.parametrize(
    ("providers", "root", "secret"),
    [
        ("", "minio://mlpipeline/m", MINIO),
        ("", "s3://lake/m", None),
        (PROVIDERS, "s3://lake/m", None),
        (PROVIDERS, "s3://lake/a/m", SecretRef("s", ("k", "v"))),
        (PROVIDERS, "gs://b/m", SecretRef("g", ("t",))),
        (PROVIDERS, "minio://b/m", SecretRef("m", ("k", "v"))),
    ],
)
def test_the_secret_of_a_bucket_is_the_one_that_kfps_launcher_takes(providers, root, secret):
    assert launcher_config.credentials({"providers": providers}, root) == secret


@pytest.mark.parametrize("providers", ["s3: {default: {}}", "s3: 3", "[", "- s3"])
def test_providers_that_kfp_cannot_read_are_told(providers):
    with pytest.raises(BadInput, match="providers"):
        launcher_config.credentials({"providers": providers}, "s3://lake/m")


def test_the_list_for_people_says_the_same(server, tmp_path):
    server.tag = "2.17.0"
    answer = invoke(command, "--host", server.url, env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    first, second, *_ = answer.out.splitlines()
    assert first == f"ok           server: {server.url}"
    assert second == "ok           version: Kubeflow Pipelines 2.17.0"
    assert "cannot tell  namespace kubeflow: no kubeconfig" in answer.out
