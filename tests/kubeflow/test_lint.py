"""Lint: each rule on a compiled file that was broken on purpose, and the failures of TFX's own compiler's output."""

import pytest
from command_line import mnist_tfx
from kubeflow.broken_files import (
    BROKEN,
    component,
    container,
    extended,
    platform,
    served_from,
    tasks,
    triggered,
    without_volumes,
)
from kubeflow.compiled_files import IMAGE, broken, compiled, digits, from_bucket, stock, stock_resolver

from pipeline.kubeflow import kfp_version
from pipeline.kubeflow.compiler.pods import Images
from pipeline.kubeflow.document import Document, read, write
from pipeline.kubeflow.lint.check import RULES, lint


def rules(document, target=None, level="error"):
    return {finding.rule for finding in lint(document, target) if finding.level == level}


@pytest.mark.parametrize(("change", "rule"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found(change, rule):
    assert rule in rules(broken(digits(), change))


@pytest.mark.parametrize("document", [digits, lambda: digits("vertex"), from_bucket], ids=["oss", "vertex", "bucket"])
def test_what_we_compile_has_no_errors(document):
    assert rules(document()) == set()


def test_a_pinned_image_leaves_nothing_to_say():
    digest = "0" * 64
    images = Images(cpu=f"a@sha256:{digest}", gpu=f"b@sha256:{digest}", gpus=1)
    assert lint(compiled(images=images)) == ()


def test_every_rule_has_a_broken_file():
    elsewhere = {"form", "importer-uri", "importer-folder", "accelerator", "default-root", "profile-root"}
    assert {rule for _, rule in BROKEN.values()} | elsewhere == set(RULES)


@pytest.mark.parametrize(("image", "what"), [("a:latest", "latest"), ("a", "latest"), ("a:1", "not pinned")])
def test_an_image_that_can_change_is_worth_a_warning(image, what):
    document = broken(digits(), lambda d: container(d, "Pusher").update(image=image))
    (found,) = (finding for finding in lint(document) if finding.where == image)
    assert (found.rule, found.level) == ("image", "warning")
    assert what in found.what


def test_cpu_trainers_that_ask_for_nothing_are_worth_a_warning():
    document = compiled(images=Images(cpu=IMAGE, gpus=0))
    found = [finding for finding in lint(document) if finding.rule == "trainer-resources"]
    assert [(finding.where, finding.level) for finding in found] == [
        ("Autoencoder", "warning"),
        ("Classifier", "warning"),
    ]


@pytest.mark.parametrize("source", ["embedded", "/data", "http://host/data"])
def test_only_a_bucket_can_be_imported(source):
    def change(document):
        document.spec["root"]["inputDefinitions"]["parameters"]["source"]["defaultValue"] = source

    assert "importer-uri" in rules(broken(from_bucket(), change))


@pytest.mark.parametrize("source", ["minio://mlpipeline", "minio://mlpipeline/", "minio://mlpipeline//"])
def test_a_whole_bucket_cannot_be_imported(source):
    def change(document):
        document.spec["root"]["inputDefinitions"]["parameters"]["source"]["defaultValue"] = source

    assert rules(broken(from_bucket(), change)) == {"importer-uri"}


@pytest.mark.parametrize(
    ("uri", "level"),
    [
        ("minio://lake/digits/", "error"),
        ("minio://mlpipeline2/digits/", "error"),
        ("s3://mlpipeline/digits/", "warning"),
        ("gs://lake/digits/", "warning"),
        ("minio://mlpipeline/digits/", None),
    ],
)
@pytest.mark.parametrize("constant", [False, True], ids=["a parameter", "a constant"])
def test_minio_data_in_another_bucket_is_an_error_and_s3_and_gs_a_warning(uri, level, constant):
    def change(document):
        document.spec["root"]["inputDefinitions"]["parameters"]["source"]["defaultValue"] = uri
        if constant:
            importer = document.spec["deploymentSpec"]["executors"]["Data_executor"]["importer"]
            importer["artifactUri"] = {"constant": uri}

    found = [one for one in lint(broken(from_bucket(), change)) if one.rule == "other-bucket"]
    assert [one.level for one in found] == [level] * (level is not None)
    assert all("keep data and pipeline root in one bucket" in one.hint for one in found)


@pytest.mark.parametrize(
    ("uri", "version", "is_found"),
    [
        ("minio://mlpipeline/lake/mnist", "2.16.1", True),
        ("minio://mlpipeline/lake/mnist", "2.17.0", False),
        ("minio://mlpipeline/lake/mnist/", "2.16.1", False),
        ("minio://mlpipeline/lake/mnist.csv.gz", "2.16.1", False),
    ],
)
def test_a_folder_without_a_slash_brings_its_namesakes_up_to_2_16(uri, version, is_found):
    def change(document):
        document.spec["root"]["inputDefinitions"]["parameters"]["source"]["defaultValue"] = uri

    found = lint(broken(from_bucket(), change), version=kfp_version.parse(version))
    assert [one.level for one in found if one.rule == "importer-folder"] == ["warning"] * is_found


@pytest.mark.parametrize(
    ("root", "version", "is_found"),
    [
        ("minio://mlpipeline/v2/artifacts/m", "2.17.0", False),
        ("minio://mlpipeline/v2/artifacts", "3.0.0", False),
        ("minio://mlpipeline/v2/artifacts2", "2.17.0", True),
        ("minio://mlpipeline/m", "2.17.0", True),
        ("minio://other/v2/artifacts/m", "2.17.0", True),
        ("s3://bucket/m", "2.17.0", False),
        ("s3://bucket/m", "3.0.0", True),
    ],
)
def test_a_root_outside_the_launchers_default_is_worth_a_warning(root, version, is_found):
    document = broken(digits(), lambda d: d.spec.update(defaultPipelineRoot=root))
    found = [one for one in lint(document, version=kfp_version.parse(version)) if one.rule == "default-root"]
    assert [one.level for one in found] == ["warning"] * is_found


@pytest.mark.parametrize(("version", "places"), [("2.17.0", []), ("3.0.0", ["Data"])])
def test_data_outside_the_launchers_default_is_worth_a_warning_from_3_0_on(version, places):
    found = lint(from_bucket(), version=kfp_version.parse(version))
    assert [one.where for one in found if one.rule == "default-root"] == places


@pytest.mark.parametrize(
    ("root", "version", "is_found"),
    [
        ("minio://mlpipeline/v2/artifacts/m", "2.17.0", True),
        ("minio://mlpipeline/private-artifacts/team/m", "2.17.0", False),
        ("minio://mlpipeline/private-artifacts/team2/m", "2.17.0", True),
        ("minio://mlpipeline/shared/m", "2.15.0", False),
        ("minio://mlpipeline/m", "2.14.4", False),
        ("s3://bucket/m", "2.17.0", False),
    ],
)
def test_a_profile_has_folders_of_its_own_from_2_15_on(root, version, is_found):
    document = broken(digits(), lambda d: d.spec.update(defaultPipelineRoot=root))
    found = lint(document, version=kfp_version.parse(version), namespace="team")
    assert [one.rule for one in found if one.rule in ("profile-root", "default-root")] == ["profile-root"] * is_found


def test_on_vertex_a_bucket_is_a_bucket():
    assert "other-bucket" not in rules(compiled("vertex", data="gs://lake/digits/", recipe="digits"), level="warning")


@pytest.mark.parametrize("change", [change for change, _ in BROKEN.values()], ids=BROKEN)
def test_no_broken_file_breaks_a_rule(change):
    document = broken(compiled() if change is None else digits(), change)
    assert [str(one) for one in lint(document) if "cannot be looked at" in one.what] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: tasks(d)["Pusher"].update(inputs=None),
        lambda d: tasks(d)["Pusher"].update(dependentTasks=None, triggerPolicy=None),
        lambda d: container(d, "Pusher").update(env=None, resources=None),
        lambda d: container(d, "Pusher").update(env=[{"value": "a"}, {}]),
    ],
    ids=["inputs", "what it waits for", "variables", "a variable's name"],
)
def test_a_field_that_is_null_is_a_field_that_is_not_there(change):
    assert [one for one in lint(broken(digits(), change)) if "cannot be looked at" in one.what] == []


def test_a_null_in_a_file_is_read_as_protojson_reads_it(tmp_path):
    write(broken(digits(), lambda d: container(d, "StatisticsGen").update(lifecycle=None)), tmp_path / "p.yaml")
    assert "lifecycle" not in read(tmp_path / "p.yaml").tasks["StatisticsGen"].container


@pytest.mark.parametrize("text", ["{{$}}", "{{$.inputs.parameters['a']}} and {{$.outputs.artifacts['b'].uri}}", "{a}}"])
def test_kfps_own_placeholders_pass(text):
    assert "placeholders" not in rules(broken(digits(), extended("Pusher", "args", text)))


@pytest.mark.parametrize(
    ("change", "rule", "what"),
    [
        (
            lambda d: tasks(d)["Pusher"]["cachingOptions"].update(cacheKey="a"),
            "unknown-field",
            "cacheKey is newer than many a server",
        ),
        (
            lambda d: container(d, "Pusher").update(enviroment=[]),
            "unknown-field",
            "enviroment is no field of a PipelineContainerSpec",
        ),
        (triggered("size(inputs.parameter_values['is_new']) > 3"), "trigger", "is not understood"),
        (
            lambda d: tasks(d)["Evaluator"]["inputs"]["parameters"].update(data={"runtimeValue": {"constant": 5}}),
            "parameter-type",
            "5 for a parameter of type STRING",
        ),
        (
            lambda d: container(d, "Classifier").update(resources={"accelerator": {"type": "NVIDIA_L4", "count": "1"}}),
            "accelerator",
            "NVIDIA_L4 is none of the accelerators known for Kubeflow Pipelines",
        ),
    ],
    ids=["a newer field", "a field that is dropped", "more of CEL", "a number for a text", "a device of Vertex AI"],
)
def test_what_may_be_meant_is_worth_a_warning(change, rule, what):
    document = broken(digits(), change)
    (found,) = (finding for finding in lint(document) if finding.rule == rule)
    assert found.level == "warning"
    assert what in found.what
    assert rules(document) == set()


@pytest.mark.parametrize("place", ["defaults: {", "nodes: {ExampleGenDriver: {", "nodes: {ReviewedSchema: {"])
def test_a_schema_on_a_volume_has_to_be_mounted_in_both_tasks_that_read_it(tmp_path, place):
    cluster, closing = tmp_path / "cluster.yaml", "}" * place.count("{")
    cluster.write_text(f"version: 1\nschema: /schemas\n{place}volumes: [{{claim: s, path: /schemas}}]{closing}\n")
    found = [finding for finding in lint(compiled(cluster=cluster)) if finding.rule == "input-volume"]
    without = {"nodes: {ExampleGenDriver: {": "ReviewedSchema", "nodes: {ReviewedSchema: {": "ExampleGenDriver"}
    assert [finding.where for finding in found] == [without[name] for name in (place,) if name in without]


def test_data_in_a_mounted_bucket_needs_no_volume_on_vertex():
    assert "input-volume" not in rules(compiled("vertex", data="/gcs/b/d", recipe="digits"), level="warning")
    assert "input-volume" in rules(compiled("vertex", data="/data", recipe="digits"), level="warning")


@pytest.mark.parametrize(("target", "other"), [("oss", "vertex"), ("vertex", "oss")])
def test_each_target_has_a_form_of_its_own(target, other):
    assert "form" in rules(digits(target), other)


@pytest.mark.parametrize(
    "change",
    [
        extended("Pusher", "env", {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/secrets/key.json"}),
        extended("Pusher", "args", "--sign-key", "/secrets/key.pem"),
        extended("Pusher", "env", {"name": "DB_PASSWORD", "value": ""}),
        extended("Pusher", "env", {"name": "MONKEY", "value": "x"}),
        extended("Pusher", "args", "--token", "--next"),
        extended("Pusher", "args", "--db", "mysql://me@host/db"),
        extended("Pusher", "args", "x" * 131_071),
        served_from("/serving/below"),
        lambda d: container(d, "Pusher").update(args=["--serving=/serving/below"]),
        lambda d: container(d, "Evaluator").pop("args"),
        triggered("inputs.parameter_values['is_new'] != ')'"),
        triggered("size(inputs.parameter_values['is_new']) > 3"),
        lambda d: platform(d)["Pusher_executor"].update(pod_metadata={"labels": {"any": "thing"}}),
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append(
            {"pvcNameParameter": {}, "mountPath": "/a"} | {"constant": "a"}
        ),
        lambda d: d.spec["deploymentSpec"].update(
            {"@type": "type.googleapis.com/ml_pipelines.PipelineDeploymentConfig"}
        ),
        lambda d: tasks(d)["Evaluator"]["inputs"]["parameters"].update(data={"runtimeValue": {"constant": 5}}),
        lambda d: component(d, "Evaluator")["inputDefinitions"]["parameters"].update(more={"isOptional": True}),
        lambda d: component(d, "Evaluator")["inputDefinitions"]["parameters"].update(more={"defaultValue": 1}),
    ],
)
def test_what_only_looks_broken_is_left_alone(change):
    assert rules(broken(digits(), change)) == set()


def test_errors_come_first():
    document = broken(digits(), without_volumes)
    assert [finding.level for finding in lint(document)] == ["error"] * 3 + ["warning"] * 3


@pytest.mark.parametrize(
    ("document", "failures"),
    [
        (lambda: stock(schema_2_1=False), {"schema-version", "pre-cache-check", "artifact-types"}),
        (lambda: stock(schema_2_1=True), {"pre-cache-check", "artifact-types"}),
        (lambda: with_root(stock(schema_2_1=True)), {"pre-cache-check", "artifact-types", "openable-root"}),
        (
            lambda: stock(schema_2_1=True, suffix=".json"),
            {"form", "pipeline-root", "pre-cache-check", "artifact-types"},
        ),
        (stock_resolver, {"executor-kind", "task-name", "producers"}),
    ],
    ids=["schema 2.0", "schema 2.1", "with a root", "json", "resolver"],
)
def test_stock_files_show_why_kubeflow_pipelines_does_not_run_them(document, failures):
    assert rules(document(), "oss") == failures


def with_root(document: Document) -> Document:
    return broken(document, lambda d: d.spec.update(defaultPipelineRoot="minio://b/m"))


def test_the_stock_file_loses_its_root_and_asks_for_no_resources():
    assert {"pipeline-root", "trainer-resources"} <= rules(stock(schema_2_1=True), "oss", "warning")


@pytest.fixture
def files(tmp_path):
    write(digits(), tmp_path / "good.yaml")
    write(broken(digits(), without_volumes), tmp_path / "bad.yaml")
    write(digits("vertex"), tmp_path / "job.yaml")
    (tmp_path / "none.yaml").write_text("a: 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["good.yaml"], 0, "ok"),
        (["bad.yaml"], 1, "findings"),
        (["good.yaml", "--target", "vertex"], 1, "findings"),
        (["good.yaml", "--kfp-version", "2.15.0"], 1, "findings"),
        (["good.yaml", "--kfp-version", "2.4.1"], 2, "usage"),
        (["job.yaml"], 1, "findings"),
        (["job.yaml", "--target", "vertex"], 0, "ok"),
        (["none.yaml"], 2, "usage"),
        (["missing.yaml"], 2, "usage"),
    ],
)
def test_the_command_says_by_its_exit_code_what_it_found(files, arguments, code, status):
    answer = mnist_tfx("kubeflow", "lint", files / arguments[0], *arguments[1:], "--json")
    assert (answer.code, answer.status) == (code, status)


def test_findings_are_printed_one_to_a_line(files):
    answer = mnist_tfx("kubeflow", "lint", files / "bad.yaml")
    *findings, summary = answer.out.splitlines()
    assert [line.split()[0] for line in findings] == ["error"] * 3 + ["warning"] * 3
    assert summary.endswith("3 errors, 3 warnings in 13 tasks")
