"""The cluster file: what every key means, and that what nobody knows is refused with what is known."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from command_line import PROJECT

from components.errors import BadInput
from pipeline.kubeflow.compiler import cluster, cluster_text, images
from pipeline.kubeflow.compiler.cluster import Accelerator, Cluster, TaskResources
from pipeline.kubeflow.compiler.images import gpu_variant
from pipeline.kubeflow.compiler.platform_document import NOT_ON_VERTEX, refuse_for_vertex
from pipeline.kubeflow.compiler.pods import Images, pods
from pipeline.kubeflow.compiler.resources import cores, gigabytes, resources
from pipeline.kubeflow.compiler.targets import TARGETS
from pipeline.kubeflow.names import DRIVER
from pipeline.stages import STAGES, TRAINERS

EXAMPLE = PROJECT / "kubeflow" / "cluster.example.yaml"
IMAGE = Images(cpu="reg.example/mnist-tfx:1")
PINNED = "a@sha256:" + "0" * 64


def read(folder: Path, text: str) -> Cluster:
    path = folder / "cluster.yaml"
    path.write_text(f"version: 1\n{text}")
    return cluster.read(path)


def test_the_example_has_every_key_there_is():
    values = yaml.safe_load(EXAMPLE.read_text())
    assert set(values) == {field.alias or name for name, field in Cluster.model_fields.items()}
    used = {key for section in (values["defaults"], *values["nodes"].values()) for key in section}
    assert used == set(TaskResources.model_fields)


def test_a_new_file_names_every_key_there_is():
    assert [key.name for key in cluster_text.KEYS] == [
        field.alias or name for name, field in Cluster.model_fields.items()
    ]


def test_the_examples_in_a_new_file_are_usable(tmp_path):
    examples = {key.name: key.example for key in cluster_text.KEYS if key.example is not None}
    text = cluster_text.text(examples, "cluster.yaml").partition("version: 1\n")[2]
    assert read(tmp_path, text).sign_key is not None


def test_the_example_is_read():
    found = cluster.read(EXAMPLE)
    assert found.schema_folder == "/schemas"
    assert found.of("Classifier").accelerator == Accelerator(type="nvidia.com/gpu", count=1)


def test_a_node_goes_over_the_defaults_and_keeps_the_rest(tmp_path):
    found = read(
        tmp_path,
        "defaults: {cpu: 1, memory: 4Gi, env: {A: 1, B: 2}, volumes: [{claim: a, path: /a}]}\n"
        "nodes: {Pusher: {cpu: 2, env: {B: 3}, volumes: [{claim: b, path: /b}]}}",
    )
    pusher = found.of("Pusher")
    assert (pusher.cpu, pusher.memory, pusher.env) == ("2", "4Gi", {"A": "1", "B": "3"})
    assert [volume.claim for volume in pusher.volumes] == ["a", "b"]
    assert found.of("Baseline").cpu == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node: {}", "unknown key node: wanted one of defaults, .*version: did you mean nodes"),
        ("nodes: {Trainer: {cpu: 1}}", "unknown node Trainer: wanted one of ExampleGenDriver, ExampleGen,"),
        ("nodes: {Data: {cpu: 1}}", "unknown node Data"),
        (
            "nodes: {Pusher: {memroy: 1G}}",
            "unknown key nodes.Pusher.memroy: wanted one of accelerator, cpu, .*: did you mean memory",
        ),
        ("nodes: {Pusher: {gpus: 1}}", "unknown key nodes.Pusher.gpus: wanted one of accelerator, cpu, env"),
        (
            "sign_key: {secret: a, key: b, kee: c}",
            "unknown key sign_key.kee: wanted one of key, secret: did you mean key",
        ),
        (
            "defaults: {volumes: [{claim: a, path: /a, mode: rw}]}",
            "unknown key defaults.volumes\\[0\\].mode: wanted one of claim, path",
        ),
        (
            "defaults: {cpu: two}",
            "defaults.cpu: wanted cores, such as 2, 0.5 or 500m, and not 0, got 'two'",
        ),
        ("defaults: {cpu: 0m}", "defaults.cpu: wanted"),
        ("defaults: {memory: 0G}", "defaults.memory: wanted bytes with a unit, .* and not 0, got '0G'"),
        ("defaults: {memory: 0.00Gi}", "defaults.memory: wanted"),
        ("image: My Image", "image: wanted .*the name in lower case, got 'My Image'"),
        ("gpu_image: reg.example:port/a", "gpu_image: wanted"),
        ("nodes: {Pusher: {image: 'a:'}}", "nodes.Pusher.image: wanted"),
        ("defaults: {volumes: [{claim: a.b, path: /a}]}", "defaults.volumes\\[0\\].claim: wanted at most 63"),
        (f"serving: {{claim: {'a' * 64}}}", "serving.claim: wanted at most 63"),
        ("sign_key: {secret: a.b, key: c}", "sign_key.secret: wanted at most 63"),
        ("serving: {path: /a/../s3/b}", "serving.path: wanted a path of a mounted volume"),
        ("defaults: {cpu: -1}", "defaults.cpu: wanted"),
        ("defaults: {memory: 4}", "defaults.memory: wanted bytes with a unit"),
        ("defaults: {accelerator: {count: -1}}", "defaults.accelerator.count: wanted"),
        ("defaults: {retries: 99}", "defaults.retries: wanted"),
        ("defaults: {env: {A B: x}}", "defaults.env.A B: wanted a variable's name"),
        ("defaults: {env: {A: [1]}}", "defaults.env.A: wanted"),
        (
            "defaults: {volumes: [{claim: a, path: data}]}",
            "defaults.volumes\\[0\\].path: wanted an absolute path",
        ),
        ("defaults: {tolerations: [{effect: NoSchedule}]}", "tolerates everything"),
        ("serving: {path: /gcs/bucket/serving}", "serving.path: wanted a path of a mounted volume"),
        ("serving: {path: s3://bucket/serving}", "serving.path: wanted a path of a mounted volume"),
        ("serving: {claim: My Claim}", "serving.claim: wanted at most 63 lower case letters"),
        ("serving: {path: /.cache/serving}", "serving.path: wanted a path outside /.cache, where KFP mounts"),
        ("schema: /kfp-launcher", "schema: wanted a path outside /kfp-launcher, where KFP mounts a volume of its own"),
        ("kfp_version: 2.4.1", "kfp_version: wanted a version of Kubeflow Pipelines, 2.5.0 or newer, got '2.4.1'"),
        ("defaults: {image_pull_policy: Sometimes}", "defaults.image_pull_policy: wanted"),
        ("defaults: {image_pull_secrets: [A B]}", "defaults.image_pull_secrets: wanted a Kubernetes name"),
        ("defaults: {security_context: {run_as_user: 0}}", "defaults.security_context.run_as_user: wanted"),
        ("defaults: {security_context: {privileged: true}}", "unknown key defaults.security_context.privileged"),
        ("schema: schemas", "schema: wanted an absolute path"),
        ('service_account: "a\\nb: c"', "service_account: wanted an account's name"),
    ],
)
def test_what_nobody_knows_is_refused_with_what_is_known(tmp_path, text, message):
    with pytest.raises(BadInput, match=message) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no cluster file"),
        (b"- a", "no cluster file"),
        (b"a: [", "not readable as YAML"),
        (b"\xff\xfe", "not readable as YAML"),
        (b"nodes: {}", "version is missing: wanted version: 1"),
        (b"version: 2", "version: wanted"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / "cluster.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        cluster.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        cluster.read(tmp_path / "cluster.yaml")


@pytest.mark.parametrize(("cpu", "wanted"), [("2", 2.0), ("0.5", 0.5), ("500m", 0.5)])
def test_cores_are_kubernetes(cpu, wanted):
    assert cores(cpu) == wanted


@pytest.mark.parametrize(
    ("memory", "wanted"), [("4Gi", 4 * 1024**3 / 1e9), ("8G", 8.0), ("500M", 0.5), ("1.5Gi", 1.5 * 1024**3 / 1e9)]
)
def test_memory_is_in_gigabytes(memory, wanted):
    assert gigabytes(memory) == wanted


def test_nothing_asked_for_is_nothing_in_the_file():
    assert resources(TaskResources(), None) == {}


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("reg.example/mnist-tfx:1", "reg.example/mnist-tfx:1-gpu"),
        ("reg.example:5000/mnist-tfx", "reg.example:5000/mnist-tfx:latest-gpu"),
        ("reg.example:5000/a/mnist-tfx:2.0", "reg.example:5000/a/mnist-tfx:2.0-gpu"),
        ("mnist-tfx", "mnist-tfx:latest-gpu"),
    ],
)
def test_the_gpu_image_has_the_tag_with_gpu_behind_it(image, wanted):
    assert gpu_variant(image) == wanted


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_gpus_of_the_command_line_are_the_trainers_and_nobody_elses(target):
    found = pods(cluster.DEFAULT, target, dataclasses.replace(IMAGE, gpus=1))
    assert tuple(found) == (DRIVER, *STAGES)
    with_gpu = {node: pod for node, pod in found.items() if pod.accelerator}
    assert tuple(with_gpu) == TRAINERS == ("Autoencoder", "Classifier")
    assert {pod.accelerator for pod in with_gpu.values()} == {(target.accelerator, 1)}
    assert {pod.image for pod in with_gpu.values()} == {"reg.example/mnist-tfx:1-gpu"}
    assert {found[node].image for node in found if node not in with_gpu} == {"reg.example/mnist-tfx:1"}


@pytest.mark.parametrize(
    ("gpus", "wanted"), [(0, None), (4, ("nvidia.com/mig-1g.10gb", 4)), (None, ("nvidia.com/mig-1g.10gb", 2))]
)
def test_the_command_line_has_the_last_word_about_gpus(tmp_path, gpus, wanted):
    found = read(tmp_path, "nodes: {Classifier: {accelerator: {type: nvidia.com/mig-1g.10gb, count: 2}}}")
    assert pods(found, TARGETS["oss"], Images(cpu="a:1", gpus=gpus))["Classifier"].accelerator == wanted


def test_cpu_trainers_have_the_cpu_image():
    found = pods(cluster.DEFAULT, TARGETS["oss"], Images(cpu=PINNED))
    assert {pod.image for pod in found.values()} == {PINNED}


def test_a_secret_that_becomes_no_volume_may_have_any_name_that_kubernetes_takes(tmp_path):
    found = read(tmp_path, "defaults: {secrets: {A: {secret: a.b, key: c}}}")
    assert found.defaults.secrets["A"].secret == "a.b"


def test_paths_of_mounts_are_read_without_detours(tmp_path):
    assert read(tmp_path, "schema: /a/../b/").schema_folder == "/b"


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("image", "is_one", "pinned"),
    [
        ("a", True, False),
        ("reg.example:5000/a/b__c-d.e:1.0-gpu", True, False),
        ("[2001:db8::1]:5000/a:1", True, False),
        (f"a@sha256:{DIGEST}", True, True),
        (f"reg.example/a:1@sha256:{DIGEST}", True, True),
        (f"a@sha512:{DIGEST * 2}", True, True),
        ("a@sha256:00", False, False),
        (f"a@sha256:{DIGEST.upper()}", False, False),
        (f"a@sha256:{DIGEST}0", False, False),
        ("a@sha256:...", False, False),
        ("", False, False),
        ("a b", False, False),
        ("A", False, False),
        ("a:", False, False),
        (f"a:{'1' * 129}", False, False),
        ("a//b", False, False),
        ("-a", False, False),
        ("https://reg.example/a:1", False, False),
    ],
)
def test_references_of_images_are_those_of_the_registries(image, is_one, pinned):
    assert (images.is_reference(image), images.is_pinned(image)) == (is_one, pinned)


def test_an_accelerator_that_vertex_may_have_by_now_is_taken():
    found = Cluster(nodes={"Classifier": TaskResources(accelerator=Accelerator(type="NVIDIA_B200"))})
    assert pods(found, TARGETS["vertex"], IMAGE)["Classifier"].accelerator == ("NVIDIA_B200", 1)


def test_an_image_pinned_by_digest_does_not_say_which_is_the_gpu_image():
    with pytest.raises(BadInput, match=r"cannot be told from a digest.*--gpu-image.*--gpus 0"):
        pods(cluster.DEFAULT, TARGETS["oss"], Images(cpu=PINNED, gpus=1))


def test_images_come_from_the_cluster_file_where_the_command_line_names_none():
    found = Cluster(image="a:1", gpu_image="b:1", nodes={"Pusher": TaskResources(image="c:1")})
    named = {node: pod.image for node, pod in pods(found, TARGETS["oss"], Images(cpu=None, gpus=1)).items()}
    assert (named["Baseline"], named["Classifier"], named["Pusher"]) == ("a:1", "b:1", "c:1")


def test_no_image_at_all_is_refused():
    with pytest.raises(BadInput, match="--image: no image"):
        pods(cluster.DEFAULT, TARGETS["oss"], Images(cpu=None))


@pytest.mark.parametrize(
    ("target", "kind", "known"),
    [
        ("oss", "NVIDIA_L4", "nvidia.com/gpu"),
        ("vertex", "nvidia.com/gpu", "NVIDIA_L4"),
        ("oss", "gpu", "nvidia.com/gpu"),
    ],
)
def test_an_unknown_accelerator_is_refused_with_the_known_ones(target, kind, known):
    found = Cluster(nodes={"Classifier": TaskResources(accelerator=Accelerator(type=kind))})
    with pytest.raises(BadInput, match=f"Classifier: accelerator.type: unknown accelerator.*wanted one of .*{known}"):
        pods(found, TARGETS[target], IMAGE)


@pytest.mark.parametrize(
    "text",
    [
        "defaults: {secrets: {A: {secret: a, key: b}}}",
        "defaults: {volumes: [{claim: a, path: /a}]}",
        "nodes: {Pusher: {node_selector: {a: b}}}",
        "nodes: {Pusher: {tolerations: [{operator: Exists}]}}",
        "nodes: {Pusher: {timeout: 5}}",
        "defaults: {image_pull_secrets: [a]}",
        "defaults: {image_pull_policy: Always}",
        "defaults: {security_context: {run_as_user: 5}}",
        "sign_key: {secret: a, key: b}",
        "serving: {claim: a}",
    ],
)
def test_what_vertex_cannot_do_is_refused_there_with_the_reason(tmp_path, text):
    with pytest.raises(BadInput, match="Vertex AI has no ") as refused:
        refuse_for_vertex(read(tmp_path, text))
    assert refused.value.hint in NOT_ON_VERTEX.values()


def test_vertex_takes_what_it_can_do(tmp_path):
    text = (
        "service_account: a@b\ndefaults: {cpu: 2, memory: 8G, env: {A: b}, retries: 2}\nserving: {path: /mnt/serving}"
    )
    refuse_for_vertex(read(tmp_path, text))
