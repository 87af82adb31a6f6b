"""Compiling: one definition of the graph, two targets, nothing of this machine in the file."""

import json
import re
import shutil
import socket
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import PROJECT
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from kubeflow.compiled_files import IMAGE, ROOTS, compiled, digits, from_bucket, judged

from components.errors import BadInput, MnistTfxError
from components.schema_files import schema_digest
from components.settings import Settings
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow import kfp_version, names
from pipeline.kubeflow.compiler.containers import COMMAND, SERVING_READERS
from pipeline.kubeflow.compiler.pods import Images
from pipeline.kubeflow.compiler.warnings import warnings
from pipeline.kubeflow.document import read, write
from pipeline.kubeflow.lint.check import lint
from pipeline.stages import STAGES

EXAMPLE = PROJECT / "kubeflow" / "cluster.example.yaml"
TARGETS = pytest.mark.parametrize("target", ROOTS)


def option(task, name):
    args = task.container["args"]
    return args[args.index(name) + 1] if name in args else None


def arguments(document, name):
    return {task.name: option(task, name) for task in document.tasks.values() if task.container is not None}


@TARGETS
def test_every_node_and_the_driver_is_a_task_under_a_name_that_argo_takes(target):
    tasks = digits(target).tasks
    assert set(tasks) == {names.DRIVER, *STAGES}
    assert all(names.TASK_NAME.fullmatch(name) and not name.endswith("-driver") for name in tasks)


@TARGETS
def test_the_file_is_what_kfps_own_messages_hold(target):
    document = digits(target)
    json_format.ParseDict(document.spec, pipeline_spec_pb2.PipelineSpec())
    deployment = document.spec["deploymentSpec"]
    json_format.ParseDict(deployment, pipeline_spec_pb2.PipelineDeploymentConfig())
    if target == "oss":
        json_format.ParseDict(document.platform, pipeline_spec_pb2.PlatformSpec())
    else:
        job = json_format.Parse(document.to_text(), pipeline_spec_pb2.PipelineJob())
        assert job.runtime_config.parameter_values["source"].string_value == "embedded"


def test_everything_a_cluster_file_can_ask_for_is_in_kfps_messages():
    document = compiled(cluster=EXAMPLE)
    json_format.ParseDict(document.spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(document.spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    assert not [finding for finding in lint(document) if finding.level == "error"]


@TARGETS
def test_a_compiled_file_is_read_back_as_it_was(target, tmp_path):
    document = digits(target)
    path = tmp_path / "p"
    write(document, path)
    assert read(path).to_text() == document.to_text()
    assert "&id" not in document.to_text(), "YAML references"


def test_nothing_of_the_compiling_machine_is_in_the_file(tmp_path):
    schema = shutil.copytree(PROJECT / "schema", tmp_path / "schema")
    text = compiled(schema=schema, cluster=EXAMPLE).to_text()
    assert not [path for path in (PROJECT, tmp_path, sys.prefix, tempfile.gettempdir()) if str(path) in text]


def test_an_own_schema_gives_the_file_its_digest_and_the_cluster_file_its_place(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nschema: /schemas\n")
    parameters = compiled(cluster=cluster).tasks["ReviewedSchema"].spec["inputs"]["parameters"]
    assert parameters["source"]["runtimeValue"]["constant"] == "/schemas"
    image = digits().tasks["ReviewedSchema"].spec["inputs"]["parameters"]
    assert image["source"]["runtimeValue"]["constant"] == "image"
    assert image["schema_sha256"] == parameters["schema_sha256"]


def own_schema(folder: Path) -> Path:
    """Returns a copy of the reviewed schemas in which one was changed and approved."""
    copied = Path(shutil.copytree(PROJECT / "schema", folder / "own"))
    schema = copied / "8x8-max16-labels10.pbtxt"
    schema.write_text(f"# ours\n{schema.read_text()}")
    approved = json.loads((copied / "approved.json").read_text())
    approved["approved"]["8x8-max16-labels10"]["digest"] = schema_digest(schema)
    (copied / "approved.json").write_text(json.dumps(approved))
    return copied


def test_an_own_schema_needs_a_cluster_file_that_says_where_the_pods_have_it(tmp_path):
    schema, cluster = own_schema(tmp_path), tmp_path / "cluster.yaml"
    with pytest.raises(BadInput, match=r"--schema .*: the image has another schema: wanted a cluster file"):
        compiled(schema=schema)
    cluster.write_text("version: 1\nschema: /schemas\n")
    parameters = compiled(schema=schema, cluster=cluster).tasks["ReviewedSchema"].spec["inputs"]["parameters"]
    wanted = schema_digest(schema / "8x8-max16-labels10.pbtxt")
    assert parameters["schema_sha256"]["runtimeValue"]["constant"] == wanted


def test_a_copy_of_the_images_schema_needs_no_cluster_file(tmp_path):
    schema = Path(shutil.copytree(PROJECT / "schema", tmp_path / "schema"))
    assert compiled(schema=schema).to_text() == digits().to_text()


def test_a_folder_without_a_schema_for_the_recipe_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no reviewed schema for this geometry: wanted 8x8-max16-labels10.pbtxt in"):
        compiled(schema=tmp_path, cluster=EXAMPLE)


def test_compiling_asks_nobody(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    compiled()


def test_the_root_is_where_each_target_looks_for_it():
    oss, vertex = compiled(root="s3://bucket/some/prefix/"), digits("vertex")
    assert (oss.spec["defaultPipelineRoot"], oss.root) == ("s3://bucket/some/prefix", "s3://bucket/some/prefix")
    assert vertex.job["runtimeConfig"]["gcsOutputDirectory"] == vertex.root == "gs://b/m"


@TARGETS
def test_the_root_is_in_every_containers_arguments_and_so_in_kfps_key(target):
    given = ROOTS[target]
    told = arguments(compiled(target, root=f"{given}/"), "--pipeline-root")
    assert set(told.values()) == {given}


@TARGETS
def test_the_file_says_which_of_our_versions_wrote_it_and_nothing_of_tfx_and_python(target):
    document = digits(target)
    assert document.spec["sdkVersion"] == f"mnist-tfx-{version('mnist-tfx')}"
    assert "labels" not in document.job


@TARGETS
def test_the_source_is_a_runtime_parameter_with_a_default(target):
    document = digits(target)
    assert document.parameters == {"source": {"parameterType": "STRING", "defaultValue": "embedded"}}
    for name in (names.DRIVER, "ExampleGen"):
        given = document.tasks[name].spec["inputs"]["parameters"]["source"]
        assert given == {"componentInputParameter": "source"}


def test_the_driver_comes_before_example_gen_and_says_whether_it_runs():
    document = digits()
    driver, example_gen = document.tasks[names.DRIVER], document.tasks["ExampleGen"]
    assert (driver.cached, driver.upstream) == (False, ())
    assert driver.component["outputDefinitions"]["parameters"].keys() == {"input_fingerprint", "is_new"}
    assert example_gen.upstream == (names.DRIVER,)
    assert example_gen.condition == "inputs.parameter_values['is_new'] == 'true'"
    given = example_gen.spec["inputs"]["parameters"]
    for name in ("input_fingerprint", "is_new"):
        assert given[name]["taskOutputParameter"] == {"producerTask": names.DRIVER, "outputParameterKey": name}
    assert "lifecycle" not in example_gen.container


def test_the_driver_gets_the_whole_recipe():
    given = compiled(overrides=("classifier.epochs=3",)).tasks[names.DRIVER].spec["inputs"]["parameters"]
    recipe = Settings.from_json(given["recipe"]["runtimeValue"]["constant"])
    assert recipe == load_recipe("digits", overrides=["classifier.epochs=3"])
    assert given["settings"]["runtimeValue"]["constant"] == recipe.data.to_json()


def test_data_in_a_bucket_is_imported_for_driver_and_example_gen():
    document = from_bucket()
    importer = document.tasks[names.DATA_IMPORTER]
    assert importer.importer["artifactUri"] == {"runtimeParameter": "source"}
    assert document.values == {"source": "minio://mlpipeline/data/digits/"}
    for name in (names.DRIVER, "ExampleGen"):
        read_from = document.tasks[name].spec["inputs"]["artifacts"]["data"]["taskOutputArtifact"]
        assert read_from == {"producerTask": "Data", "outputArtifactKey": "data"}
        assert "Data" in document.tasks[name].upstream
        assert "data" in json.loads(option(document.tasks[name], "--json_serialized_inputs_spec_args"))["artifacts"]


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        ("minio://mlpipeline/data/days/span-{SPAN}/", "minio://mlpipeline/data/days/"),
        ("s3://data/days/{YYYY}/{MM}/{DD}", "s3://data/days/"),
        ("gs://data/a/b-{SPAN}/train", "gs://data/a/"),
    ],
)
def test_of_a_pattern_the_longest_folder_without_a_field_is_imported(data, folder):
    document = compiled(data=data, recipe="digits", spans=7)
    assert document.tasks["Data"].importer["artifactUri"] == {"constant": folder}
    assert document.values == {"source": data}
    for name in (names.DRIVER, "ExampleGen"):
        assert document.tasks[name].spec["inputs"]["parameters"]["spans"]["runtimeValue"]["constant"] == "7"


def test_data_on_a_volume_is_not_imported():
    document = compiled(data="/data/days/{SPAN}", recipe="digits")
    assert "Data" not in document.tasks
    assert document.values == {"source": "/data/days/{SPAN}"}


@TARGETS
def test_records_travel_along_every_arrow(target):
    tasks = digits(target).tasks
    for task in tasks.values():
        assert "lineage" in task.component["outputDefinitions"]["artifacts"]
        given = task.spec["inputs"].get("artifacts", {})
        read_from = {channel["taskOutputArtifact"]["producerTask"] for channel in given.values()}
        carried = {name for name in given if names.is_lineage_input(name)}
        assert carried == {names.lineage_of(producer) for producer in read_from}
        assert set(task.component["inputDefinitions"].get("artifacts", {})) == set(given)


def test_what_depends_on_the_world_is_never_cached():
    assert {task.name for task in digits().tasks.values() if not task.cached} == set(SERVING_READERS)
    # Records of a task that is never cached are new artifacts each time, and so would be the key of whoever read them.
    assert "artifacts" not in digits().tasks["ExampleGen"].spec["inputs"]


@TARGETS
def test_every_container_runs_our_entrypoint_on_its_own_inputs(target):
    document = digits(target)
    for task in document.tasks.values():
        assert tuple(task.container["command"]) == COMMAND
        assert option(task, "--json_serialized_invocation_args") == "{{$}}"
        assert json.loads(option(task, "--json_serialized_inputs_spec_args")) == task.component["inputDefinitions"]
        assert option(task, "--pipeline") == "digits"
    nodes = {name: name for name in STAGES} | {names.DRIVER: None}
    assert arguments(document, "--node") == nodes
    assert arguments(document, "--driver")[names.DRIVER] == "ExampleGen"
    executors = arguments(document, "--executor_class_path")
    assert executors["Pusher"] == "components.atomic_pusher.AtomicPusherExecutor"
    assert executors["Classifier"] == "tfx.components.trainer.executor.GenericExecutor"


def test_beam_nodes_alone_get_beam_arguments():
    document = compiled(beam_args=("--direct_num_workers=4",))
    told = {task.name for task in document.tasks.values() if "--direct_num_workers=4" in task.container["args"]}
    assert told == {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}


def test_the_volume_of_served_versions_is_mounted_where_it_is_used():
    document = compiled(serving="/models", claim="models")
    expected = {names.DRIVER, "Baseline", "Pusher"}
    told = arguments(document, "--serving")
    assert {name for name, path in told.items() if path == "/models"} == expected
    mounts = {task.name: task.platform["pvcMount"] for task in document.tasks.values() if "pvcMount" in task.platform}
    assert set(mounts) == expected
    assert all(mounted == [{"constant": "models", "mountPath": "/models"}] for mounted in mounts.values())


def test_containers_without_a_gpu_see_none():
    document = digits()
    for task in document.tasks.values():
        no_gpu = {"name": "CUDA_VISIBLE_DEVICES", "value": "-1"} in task.container.get("env", [])
        assert no_gpu != ("accelerator" in task.container.get("resources", {}))


def test_trainers_that_ask_for_a_gpu_are_held_to_it_unless_the_cluster_file_says_otherwise(tmp_path):
    held = {"name": "MNIST_TFX_DEVICE", "value": "gpu"}
    tasks = judged().tasks
    assert {name for name in tasks if held in tasks[name].container.get("env", [])} == {"Autoencoder", "Classifier"}
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nnodes: {Classifier: {env: {MNIST_TFX_DEVICE: auto}}}\n")
    on_any = compiled(cluster=cluster, images=Images(cpu=IMAGE, gpus=1))
    assert held not in on_any.tasks["Classifier"].container["env"]


@pytest.mark.parametrize(("target", "kind"), [("oss", "nvidia.com/gpu"), ("vertex", "NVIDIA_L4")])
def test_trainers_ask_for_a_gpu_by_the_name_that_the_target_has_for_it(target, kind):
    document = compiled(target, images=Images(cpu=IMAGE, gpus=1))
    for node in ("Autoencoder", "Classifier"):
        container = document.tasks[node].container
        assert container["resources"] == {"accelerator": {"type": kind, "count": "1"}}
        assert container["image"] == f"{IMAGE}-gpu"


@pytest.mark.parametrize("gpus", [None, 0])
def test_trainers_train_on_cpus_unless_a_gpu_is_asked_for(gpus):
    document = compiled(images=Images(cpu=IMAGE, gpus=gpus))
    assert {task.container["image"] for task in document.tasks.values()} == {IMAGE}
    assert not [task for task in document.tasks.values() if "resources" in task.container]


def test_what_the_cluster_file_asks_for_is_in_the_file():
    document = compiled(cluster=EXAMPLE)
    example_gen, classifier, pusher = (document.tasks[name] for name in ("ExampleGen", "Classifier", "Pusher"))
    assert example_gen.container["resources"] == {"cpuLimit": 1.0, "memoryLimit": 8 * 1024**3 / 1e9}
    assert example_gen.platform["activeDeadlineSeconds"] == "3600"
    allocator = {"name": "TF_GPU_ALLOCATOR", "value": "cuda_malloc_async"}
    checkpoints = {"name": "MNIST_TFX_CHECKPOINT_FOLDER", "value": "/checkpoints/digits"}
    assert classifier.container["env"] == [checkpoints, {"name": "MNIST_TFX_DEVICE", "value": "gpu"}, allocator]
    assert list(warnings(document)) == []
    assert classifier.platform["nodeSelector"] == {"labels": {"disk": "ssd"}}
    assert classifier.platform["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert classifier.platform["secretAsEnv"] == [
        {"secretName": "proxy", "keyToEnv": [{"secretKey": "password", "envVar": "PROXY_PASSWORD"}]}
    ]
    for name in (names.DRIVER, "ReviewedSchema"):
        assert {"constant": "reviewed-schemas", "mountPath": "/schemas"} in document.tasks[name].platform["pvcMount"]
    (secret,) = pusher.platform["secretAsVolume"]
    assert option(pusher, "--sign-key") == f"{secret['mountPath']}/key.pem"
    assert all(task.spec["retryPolicy"]["maxRetryCount"] == 1 for task in document.tasks.values())


def test_a_service_account_is_in_the_job_or_in_the_head_of_the_file(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nservice_account: runner\n")
    assert compiled("vertex", cluster=cluster).job["serviceAccount"] == "runner"
    oss = compiled(cluster=cluster)
    assert oss.service_account == "runner"
    assert oss.to_text().startswith(oss.comment)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"root": "http://b/k"}, "--pipeline-root: no bucket that Kubeflow Pipelines can use"),
        ({"root": "/local"}, "--pipeline-root: no bucket"),
        (
            {"target": "vertex", "root": "minio://b/m"},
            "--pipeline-root: no bucket that Vertex AI can use: wanted gs://",
        ),
        ({"target": "vertex", "data": "s3://b/m", "recipe": "digits"}, "--data: no bucket that Vertex AI can use"),
        ({"target": "vertex", "claim": "a"}, "serving.claim: Vertex AI has no volumes"),
        ({"data": "s3://b/k"}, "--recipe: no recipe for this data"),
        ({"data": "local", "recipe": "digits"}, "--data: no place that a pod could read"),
        ({"data": "s3://b/{SAPN}/", "recipe": "digits"}, "unknown field"),
        ({"data": "s3://b/k", "recipe": "digits", "spans": 2}, "--spans: spans of data that has none"),
        ({"data": "minio://lake/d", "recipe": "digits"}, r"--data \(Data\): in another bucket than the pipeline root"),
        (
            {"data": "minio://lake/days/{SPAN}/", "recipe": "digits"},
            "wanted minio://mlpipeline/..., got minio://lake/days/",
        ),
        ({"claim": "a.b"}, "--claim: not usable: wanted at most 63 lower case letters"),
        ({"serving": "/a/../gcs/b"}, "--serving: not usable: wanted a path of a mounted volume"),
        ({"serving": "/minio/b"}, "--serving: not usable: wanted a path of a mounted volume"),
        ({"serving": "/s3"}, "--serving: not usable: wanted a path of a mounted volume"),
        ({"data": "s3://b", "recipe": "digits"}, "--data: a whole bucket cannot be fetched: wanted a folder"),
        ({"data": "s3://b//", "recipe": "digits"}, "--data: a whole bucket cannot be fetched"),
        ({"data": "gs://b/{SPAN}/", "recipe": "digits", "target": "vertex"}, "--data: a whole bucket cannot be"),
        ({"images": Images(cpu="A:1")}, "--image: no reference of an image: wanted"),
        ({"images": Images(cpu="a b")}, "--image: no reference of an image: wanted"),
        ({"images": Images(cpu="a:1", gpu="a@sha256:00")}, "--gpu-image: no reference of an image: wanted"),
        ({"recipe": "mnist"}, "--data: recipe mnist needs data"),
        ({"recipe": "nothing"}, "unknown recipe"),
        ({"serving": "serving"}, "--serving: not usable: wanted an absolute path"),
        ({"serving": "gs://b/serving"}, "--serving: not usable: wanted a path of a mounted volume"),
        ({"serving": "/gcs/b/serving"}, "--serving: not usable: wanted a path of a mounted volume"),
        ({"claim": "Not A Name"}, "--claim: not usable: wanted at most 63 lower case letters"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(asked, message):
    with pytest.raises(BadInput, match=message) as refused:
        compiled(**{"target": "oss", **asked})
    assert isinstance(refused.value, MnistTfxError)
    assert "\n" not in str(refused.value)


def test_all_that_a_server_would_refuse_is_told_at_once(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nnodes:\n  Pusher:\n    env: {A: '{{workflow.name}}', B: '{{x'}\n")
    with pytest.raises(BadInput, match="3 problems") as refused:
        compiled(data="minio://lake/d", recipe="digits", cluster=cluster)
    assert all(text in str(refused.value.got) for text in ("minio://lake/d", "{{workflow.name}}", "{{x"))


@pytest.mark.parametrize("uri", ["s3://lake/d", "gs://mlpipeline/d"])
def test_data_in_a_bucket_that_the_pods_account_may_open_is_worth_a_warning(uri):
    [doubt] = warnings(compiled(data=uri, recipe="digits"))
    assert f"Data imports {uri}/: in another bucket" in doubt


@TARGETS
def test_no_output_of_a_task_begins_with_the_name_of_another(target):
    for name, task in digits(target).tasks.items():
        outputs = [*task.component["outputDefinitions"]["artifacts"], "executor-logs"]
        assert [(a, b) for a in outputs for b in outputs if a != b and b.startswith(a)] == [], name


@pytest.mark.parametrize(
    ("given", "imported"),
    [
        ("minio://mlpipeline/lake/mnist", "minio://mlpipeline/lake/mnist/"),
        ("minio://mlpipeline/lake/mnist/", "minio://mlpipeline/lake/mnist/"),
        ("minio://mlpipeline/lake/mnist.csv.gz", "minio://mlpipeline/lake/mnist.csv.gz"),
    ],
)
def test_an_imported_folder_ends_in_a_slash_so_that_nothing_else_begins_with_it(given, imported):
    document = compiled(data=given, recipe="digits")
    assert document.imported(document.tasks["Data"]) == imported == document.values["source"]


def test_a_cluster_file_says_how_images_are_fetched_and_who_runs_them(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(
        "version: 1\ndefaults: {image_pull_secrets: [login, login], image_pull_policy: Always}\n"
        "nodes: {Pusher: {security_context: {run_as_user: 12345, run_as_group: 0}, image_pull_secrets: [other]}}\n"
    )
    tasks = compiled(cluster=cluster).tasks
    assert tasks["Pusher"].platform["imagePullSecret"] == [{"secretName": "login"}, {"secretName": "other"}]
    assert {task.platform["imagePullPolicy"] for task in tasks.values()} == {"Always"}
    assert tasks["Pusher"].platform["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": "12345",
        "runAsGroup": "0",
    }
    assert tasks["Baseline"].platform["securityContext"] == {"runAsNonRoot": True}
    assert [str(one) for one in lint(compiled(cluster=cluster)) if one.level == "error"] == []


@pytest.mark.parametrize(
    ("text", "version", "is_told"),
    [
        ("", None, True),
        ("kfp_version: 2.15.0", None, False),
        ("kfp_version: 2.16", None, True),
        ("kfp_version: 2.15.0", (2, 17, 0), True),
        ("", (2, 14, 4), False),
    ],
)
def test_a_server_is_told_of_non_root_pods_if_it_knows_the_field(tmp_path, text, version, is_told):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(f"version: 1\n{text}\n")
    document = compiled(cluster=cluster, version=version)
    assert [("securityContext" in task.platform) for task in document.tasks.values()] == [is_told] * 13
    assert [one.rule for one in lint(document) if one.level == "error"] == []
    assert document.version == (version or (kfp_version.parse(text.split()[-1]) if text else None))


def test_a_compiled_file_says_which_server_it_is_for_to_whoever_reads_it(tmp_path):
    write(compiled(version=(2, 15, 0)), tmp_path / "p.yaml")
    assert read(tmp_path / "p.yaml").version == (2, 15, 0)


def test_a_security_context_for_a_server_that_knows_none_is_refused(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nkfp_version: 2.15.0\nnodes: {Pusher: {security_context: {run_as_user: 5}}}\n")
    with pytest.raises(
        BadInput, match=r"Pusher: security_context: no such field: wanted Kubeflow Pipelines 2\.16\.0 or"
    ):
        compiled(cluster=cluster)


def test_a_key_and_a_volume_of_one_name_are_refused(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nserving: {claim: a}\nsign_key: {secret: a, key: k.pem}\n")
    with pytest.raises(
        BadInput, match=r"Pusher_executor: pvcMount and secretAsVolume of one name, a, would be one volume"
    ):
        compiled(cluster=cluster)


def test_two_volumes_at_one_path_are_refused(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nnodes: {Pusher: {volumes: [{claim: a, path: /serving}]}}\n")
    with pytest.raises(BadInput, match=r"Pusher_executor: two volumes at /serving: mount one of them elsewhere"):
        compiled(cluster=cluster)


def test_trainers_that_are_retried_without_a_volume_are_worth_a_warning(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(
        "version: 1\ndefaults:\n  retries: 1\nnodes:\n  Classifier:\n"
        "    env: {MNIST_TFX_CHECKPOINT_FOLDER: /checkpoints}\n    volumes: [{claim: c, path: /checkpoints}]\n"
    )
    [doubt] = warnings(compiled(cluster=cluster))
    assert doubt.startswith("Autoencoder is retried and has no MNIST_TFX_CHECKPOINT_FOLDER on a volume")


def test_the_committed_example_is_what_the_command_writes_but_for_digests_of_code():
    kept = (PROJECT / "kubeflow" / "compiled" / "digits.yaml").read_text()
    images = Images(cpu="registry.example/mnist-tfx:1")
    assert without_versions(kept) == without_versions(
        compiled(images=images, root="minio://mlpipeline/v2/artifacts/mnist-tfx").to_text()
    )


def without_versions(text: str) -> str:
    return re.sub(r"[0-9a-f]{64}|mnist-tfx-[0-9.]+", "...", text)
