"""`kubeflow compile` as a command: the bytes, suffixes and answers, and what it says beside them."""

import json

import numpy as np
import pytest
from command_line import mnist_tfx
from kubeflow.compiled_files import IMAGE, ROOTS, compiled, digits

from components.errors import BadInput
from pipeline.kubeflow import document, names
from pipeline.kubeflow.compiler.compile import MOST_EXCLUDED
from pipeline.kubeflow.compiler.warnings import warnings
from pipeline.kubeflow.lint.check import lint
from pipeline.kubeflow.simulate.volumes import Volumes

TARGETS = pytest.mark.parametrize("target", ROOTS)


@TARGETS
def test_the_command_writes_the_same_bytes_with_lean_imports(target, tmp_path):
    file = tmp_path / ("p.yaml" if target == "oss" else "p.json")
    asked = ("--target", target, "--image", IMAGE, "--pipeline-root", ROOTS[target], "-o", file, "--json")
    answer = mnist_tfx("kubeflow", "compile", *asked, cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert (answer.status, answer.json["file"]) == ("ok", str(file))
    assert file.read_text() == digits(target).to_text()
    assert list(tmp_path.iterdir()) == [file], "nothing else was written"


def test_a_wrong_suffix_is_refused_before_anything_is_compiled(tmp_path):
    asked = ("--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", tmp_path / "p.json", "--json")
    answer = mnist_tfx("kubeflow", "compile", *asked)
    assert (answer.code, list(tmp_path.iterdir())) == (2, [])
    assert "wanted .yaml or .yml, got .json" in answer.err
    assert (answer.status, answer.json) == ("usage", None)


def test_a_training_in_several_processes_is_refused_because_a_task_is_one_pod(tmp_path):
    asked = ("--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", tmp_path / "p.yaml")
    answer = mnist_tfx("kubeflow", "compile", *asked, "--set", "strategy=multiworker")
    assert (answer.code, list(tmp_path.iterdir())) == (2, [])
    assert "a task is one pod" in answer.err


def test_yml_is_yaml(tmp_path):
    file = tmp_path / "p.yml"
    answer = mnist_tfx(
        "kubeflow", "compile", "--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", file
    )
    assert (answer.code, file.is_file()) == (0, True), answer.err


def test_an_engine_whose_workers_are_elsewhere_is_passed_on_with_what_they_need(tmp_path):
    asked = ("--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", tmp_path / "p.yaml")
    answer = mnist_tfx("kubeflow", "compile", *asked, "--beam", "flink", "--beam-option", "flink_master=host:8081")
    assert answer.code == 0
    assert "a worker of flink sees nothing of a pod but what both mount: TMPDIR" in answer.err
    assert "FlinkRunner" in (tmp_path / "p.yaml").read_text()


def test_what_vertex_leaves_to_others_is_said_once(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nnodes: {Classifier: {accelerator: {type: NVIDIA_B200}}}\n")
    volume, accelerator = warnings(compiled("vertex", cluster=cluster))
    assert volume.startswith("a PipelineJob mounts no volume: unless /serving is mounted")
    assert accelerator.startswith("NVIDIA_B200 is no accelerator that is known here")
    assert list(warnings(digits())) == []
    asked = (
        "--target",
        "vertex",
        "--image",
        IMAGE,
        "--pipeline-root",
        ROOTS["vertex"],
        "-o",
        tmp_path / "p.json",
        "--json",
    )
    answer = mnist_tfx("kubeflow", "compile", *asked)
    assert (answer.code, answer.err) == (0, f"warning: {volume}\n")
    assert answer.status == "ok"


CLUSTER = """version: 1
target: oss
image: reg.example/mnist-tfx:1
pipeline_root: minio://mlpipeline/v2/artifacts/m
"""


def test_everything_that_is_missing_is_said_at_once_with_where_it_may_stand():
    answer = mnist_tfx("kubeflow", "compile", "--data", "minio://mlpipeline/data")
    assert answer.code == 2
    missing = [line.split(":")[0].strip() for line in answer.err.splitlines()[1:]]
    assert sorted(missing) == ["--image", "--output", "--pipeline-root", "--recipe", "--target"]
    assert "--image: an option that is needed is missing: wanted the option, or `image` in the file" in answer.err


def test_a_wrong_value_is_not_missing_as_well(tmp_path):
    asked = ("--target", "moon", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", tmp_path / "p.yaml")
    answer = mnist_tfx("kubeflow", "compile", *asked)
    assert (answer.code, answer.err.count("--target")) == (2, 1), answer.err


def test_a_cluster_file_says_target_image_and_root_and_an_option_wins(tmp_path):
    cluster, file = tmp_path / "cluster.yaml", tmp_path / "p.yaml"
    cluster.write_text(CLUSTER)
    answer = mnist_tfx(
        "kubeflow", "compile", "--cluster", cluster, "-o", file, "--image", "other:2", "--gpus", 0, "--json"
    )
    assert answer.code == 0, answer.err
    assert (answer.json["target"], answer.json["pipeline_root"]) == ("oss", "minio://mlpipeline/v2/artifacts/m")
    assert list(answer.json["images"]) == ["other:2"]


def test_what_stands_in_a_cluster_file_is_judged_by_the_target_and_named_by_the_file(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(CLUSTER)
    answer = mnist_tfx("kubeflow", "compile", "--cluster", cluster, "--target", "vertex", "-o", tmp_path / "p.json")
    assert answer.code == 2
    assert "cluster.yaml: pipeline_root: no bucket that Vertex AI can use: wanted gs://bucket/prefix" in answer.err


def test_it_says_what_was_made_and_the_commands_to_go_on_with(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(CLUSTER)
    answer = mnist_tfx("kubeflow", "compile", "--cluster", cluster, "-o", "p.yaml", cwd=tmp_path)
    assert answer.code == 0, answer.err
    first, *_ = answer.out.splitlines()
    assert first == "p.yaml: pipeline digits for Kubeflow Pipelines, 13 tasks"
    assert "root      minio://mlpipeline/v2/artifacts/m" in answer.out
    following = [line.split("mnist-tfx ")[-1] for line in answer.out.splitlines()[-3:]]
    assert following == ["kubeflow lint p.yaml", "kubeflow simulate p.yaml", "kubeflow submit p.yaml --host URL --wait"]


def test_a_description_is_in_the_file_and_labels_are_on_every_pod(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\ndefaults: {labels: {team: vision}}\nnodes: {Pusher: {labels: {team: mlops}}}\n")
    file = compiled("oss", cluster=cluster, description="For the: stand", labels={"cost/center": "7"})
    assert file.spec["pipelineInfo"]["description"] == "For the: stand"
    assert "# Description: For the: stand\n" in file.comment
    labels = {name: task.platform["podMetadata"]["labels"] for name, task in file.tasks.items() if task.container}
    assert labels["Pusher"] == {"team": "mlops", "cost/center": "7"}
    assert labels["Baseline"] == {"team": "vision", "cost/center": "7"}
    with pytest.raises(BadInput, match=r"--label: labels.a b: wanted a label's key"):
        compiled("oss", labels={"a b": "c"})
    with pytest.raises(BadInput, match="Vertex AI has no labels: a job has some"):
        compiled("vertex", labels={"a": "b"})


def test_pipelines_that_share_a_volume_have_folders_of_their_own_on_it(tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("version: 1\nserving: {claim: shared, folder: letters}\n")
    file = compiled("oss", cluster=cluster)
    pusher = file.tasks["Pusher"]
    assert pusher.serving == "/serving/letters"
    assert [(one["constant"], one["mountPath"]) for one in pusher.platform["pvcMount"]] == [("shared", "/serving")]
    assert [fault for fault in lint(file) if fault.level == "error"] == []
    volumes = Volumes.of(file, tmp_path, {})
    assert {claim: str(path) for claim, path in volumes.serving_claims.items()} == {"shared": "letters"}


def test_the_pipeline_has_the_name_that_was_asked_for(tmp_path):
    asked = ("--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "--name", "letters")
    answer = mnist_tfx("kubeflow", "compile", *asked, "-o", tmp_path / "p.yaml", "--json")
    assert answer.json["pipeline"] == "letters"
    assert "  name: letters\n" in (tmp_path / "p.yaml").read_text()


def test_labels_in_words_are_named_where_the_data_can_be_seen_from_here(tmp_path):
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    np.save(tmp_path / "X.npy", np.zeros((30, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.array(words * 3))
    file = tmp_path / "p.yaml"
    asked = ("--target", "oss", "--image", IMAGE, "--pipeline-root", ROOTS["oss"], "-o", file, "--recipe", "digits")
    answer = mnist_tfx("kubeflow", "compile", *asked, "--data", tmp_path, "--form", "pairs")
    assert answer.code == 0, answer.err
    assert (
        f"data: classes are named as in {tmp_path} on this machine: eight, five, four, nine, one and 5 more"
        in answer.err
    )
    data = document.read(file).tasks[names.DRIVER].spec["inputs"]["parameters"]["settings"]["runtimeValue"]["constant"]
    assert json.loads(data)["class_names"] == sorted(words)
    np.save(tmp_path / "y.npy", np.array([*words, *words, *words[:9], "ten"]))
    answer = mnist_tfx("kubeflow", "compile", *asked, "--data", tmp_path, "--form", "pairs")
    assert answer.code == 2
    assert "--set data.label_count=11, or --class-names FILE with all names" in answer.err


def test_more_rows_than_a_drivers_command_line_takes_are_not_left_out_by_digest(tmp_path):
    listed = tmp_path / "exclude.txt"
    listed.write_text("".join(f"{number:064x}\n" for number in range(MOST_EXCLUDED + 1)))
    with pytest.raises(BadInput, match=r"data\.exclude: .*wanted 500 at most, got 501.*mnist-tfx data exclude"):
        compiled("oss", exclude=listed)
