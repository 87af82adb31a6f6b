"""Lint: each rule on a compiled file that was broken on purpose, and the failures of TFX's own compiler's output."""

import json

import jsonschema
import pytest
from command_line import PROJECT, mnist_tfx
from kubeflow.compiled_files import IMAGE, broken, compiled, digits, from_bucket, stock, stock_resolver

from pipeline.kubeflow.compiler.pods import Images
from pipeline.kubeflow.document import Document, write
from pipeline.kubeflow.lint.check import RULES, lint

SCHEMA = PROJECT / "pipeline" / "json_schemas" / "kubeflow_lint.json"


def rules(document, target=None, level="error"):
    return {finding.rule for finding in lint(document, target) if finding.level == level}


def tasks(document):
    return document.spec["root"]["dag"]["tasks"]


def container(document, name):
    return document.spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def component(document, name):
    return document.spec["components"][name]


def renamed(old, new):
    def change(document):
        text = json.dumps(document.spec).replace(f'"{old}"', f'"{new}"')
        document.spec.clear()
        document.spec.update(json.loads(text))

    return change


def extended(name, field, *more):
    def change(document):
        container(document, name).setdefault(field, []).extend(more)

    return change


def without_volumes(document):
    document.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].clear()


def served_from(path):
    def change(document):
        args = container(document, "Pusher")["args"]
        args[args.index("--serving") + 1] = path

    return change


BROKEN = {
    "arguments that are no list": (lambda d: container(d, "Pusher").update(args={"a": 1}), "messages"),
    "a field of another type": (lambda d: tasks(d)["Pusher"].update(cachingOptions=[3]), "messages"),
    "no inputs at all": (lambda d: tasks(d)["Pusher"].update(inputs=None), "required-inputs"),
    "an old schema version": (lambda d: d.spec.update(schemaVersion="2.0.0"), "schema-version"),
    "a name in capitals": (lambda d: d.spec["pipelineInfo"].update(name="Digits_1"), "pipeline-name"),
    "a local root": (lambda d: d.spec.update(defaultPipelineRoot="/tmp/root"), "pipeline-root"),
    "a parameter without default": (
        lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].pop("defaultValue"),
        "runtime-default",
    ),
    "a name with a dot": (renamed("Classifier", "Trainer.mnist"), "task-name"),
    "a name with an underscore": (renamed("Baseline", "latest_blessed"), "task-name"),
    "a leading digit": (renamed("Baseline", "1st"), "task-name"),
    "the name of another task's driver": (renamed("Baseline", "Classifier-driver"), "task-name"),
    "a task that is not there": (lambda d: tasks(d)["Pusher"]["dependentTasks"].append("Nobody"), "dependencies"),
    "a circle": (lambda d: tasks(d)["ExampleGen"]["dependentTasks"].append("Pusher"), "dependencies"),
    "no component": (lambda d: tasks(d)["Pusher"].update(componentRef={"name": "Nobody"}), "references"),
    "no executor": (lambda d: component(d, "Pusher").update(executorLabel="nobody"), "references"),
    "a producer that is not there": (
        lambda d: tasks(d)["Pusher"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"].update(
            producerTask="Nobody"
        ),
        "sources",
    ),
    "an output that is not there": (
        lambda d: tasks(d)["Pusher"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"].update(
            outputArtifactKey="x"
        ),
        "sources",
    ),
    "an output parameter that is not there": (
        lambda d: component(d, "ExampleGenDriver")["outputDefinitions"]["parameters"].pop("is_new"),
        "sources",
    ),
    "a parameter that the pipeline does not take": (
        lambda d: tasks(d)["ExampleGen"]["inputs"]["parameters"].update(source={"componentInputParameter": "data"}),
        "sources",
    ),
    "a parameter that is not given": (
        lambda d: tasks(d)["Evaluator"]["inputs"]["parameters"].pop("settings"),
        "required-inputs",
    ),
    "an artifact that is not given": (
        lambda d: tasks(d)["Evaluator"]["inputs"]["artifacts"].pop("model"),
        "required-inputs",
    ),
    "a resolver": (
        lambda d: d.spec["deploymentSpec"]["executors"].update(Baseline_executor={"resolver": {}}),
        "executor-kind",
    ),
    "a driver in a hook": (
        lambda d: container(d, "ExampleGen").update(lifecycle={"preCacheCheck": {"command": ["python"]}}),
        "pre-cache-check",
    ),
    "an artifact of no type": (
        lambda d: component(d, "Pusher")["inputDefinitions"]["artifacts"].update(model={"artifactType": {}}),
        "artifact-types",
    ),
    "another command": (lambda d: container(d, "Transform").update(command=["python", "-m", "tfx"]), "artifact-types"),
    "another command under minio": (
        lambda d: container(d, "ReviewedSchema").update(command=["python", "-m", "tfx"]),
        "openable-root",
    ),
    "a GPU image without a GPU": (lambda d: container(d, "Classifier").pop("resources"), "trainer-resources"),
    "no image": (lambda d: container(d, "Pusher").pop("image"), "image"),
    "a password in a variable": (extended("Pusher", "env", {"name": "DB_PASSWORD", "value": "x"}), "clear-text-secret"),
    "a token in a variable": (extended("Pusher", "env", {"name": "API_TOKEN", "value": "x"}), "clear-text-secret"),
    "a key in a variable": (
        extended("Pusher", "env", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
        "clear-text-secret",
    ),
    "a token in an argument": (extended("Pusher", "args", "--token=abc"), "clear-text-secret"),
    "a password in an argument": (extended("Pusher", "args", "--db-password", "abc"), "clear-text-secret"),
    "a password in a URL": (extended("Pusher", "args", "--db", "mysql://me:abc@host/db"), "clear-text-secret"),
    "an argument that is too long": (extended("Pusher", "args", "x" * 131_072), "argument-size"),
    "a variable that is too long": (extended("Pusher", "env", {"name": "A", "value": "x" * 131_072}), "argument-size"),
    "an invocation that is too long": (
        lambda d: tasks(d)["Pusher"]["inputs"]["parameters"].update(
            serving_dir={"runtimeValue": {"constant": "x" * 131_072}}
        ),
        "argument-size",
    ),
    "no volume": (without_volumes, "serving-volume"),
    "a volume elsewhere": (served_from("/servings"), "serving-volume"),
    "a bucket": (served_from("gs://bucket/serving"), "serving-bucket"),
    "a mounted bucket": (served_from("/gcs/bucket/serving"), "serving-bucket"),
}


@pytest.mark.parametrize(("change", "rule"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found(change, rule):
    assert rule in rules(broken(digits(), change))


@pytest.mark.parametrize("document", [digits, lambda: digits("vertex"), from_bucket], ids=["oss", "vertex", "bucket"])
def test_what_we_compile_has_no_errors(document):
    assert rules(document()) == set()


def test_a_pinned_image_leaves_nothing_to_say():
    images = Images(cpu="a@sha256:00", gpu="b@sha256:00")
    assert lint(compiled(images=images)) == ()


def test_every_rule_has_a_broken_file():
    elsewhere = {"form", "importer-uri"}
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

    assert rules(broken(from_bucket(), change)) == {"importer-uri"}


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
        lambda d: component(d, "Evaluator")["inputDefinitions"]["parameters"].update(more={"isOptional": True}),
        lambda d: component(d, "Evaluator")["inputDefinitions"]["parameters"].update(more={"defaultValue": 1}),
    ],
)
def test_what_only_looks_broken_is_left_alone(change):
    assert rules(broken(digits(), change)) == set()


def test_errors_come_first():
    document = broken(digits(), without_volumes)
    assert [finding.level for finding in lint(document)] == ["error"] * 3 + ["warning"] * 2


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
        (stock_resolver, {"executor-kind", "task-name"}),
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
        (["job.yaml"], 1, "findings"),
        (["job.yaml", "--target", "vertex"], 0, "ok"),
        (["none.yaml"], 2, "error"),
        (["missing.yaml"], 2, "error"),
    ],
)
def test_the_command_says_by_its_exit_code_what_it_found(files, arguments, code, status):
    answer = mnist_tfx("kubeflow", "lint", files / arguments[0], *arguments[1:], "--json")
    assert (answer.code, answer.json["status"]) == (code, status)
    jsonschema.validate(answer.json, json.loads(SCHEMA.read_text()))


def test_findings_are_printed_one_to_a_line(files):
    answer = mnist_tfx("kubeflow", "lint", files / "bad.yaml")
    *findings, summary = answer.out.splitlines()
    assert [line.split()[0] for line in findings] == ["error"] * 3 + ["warning"] * 2
    assert summary.endswith("3 errors, 2 warnings in 13 tasks")
