"""`kubeflow init`: a cluster file from options or answers, read back by what reads cluster files."""

import os
import pty
import re
import subprocess
import sys

import pytest
import yaml
from command_line import in_process

from pipeline.cli.kubeflow import init
from pipeline.kubeflow.compiler import cluster

ROOT = "minio://mlpipeline/v2/artifacts/m"
NEEDED = ("--target", "oss", "--image", "reg.example/mnist-tfx:1", "--pipeline-root", ROOT)


def written(folder, *options):
    """Runs the command, and returns its answer and the file's path."""
    file = folder / "cluster.yaml"
    return in_process("kubeflow", "init", *NEEDED, "-o", file, *options), file


def test_the_file_says_what_was_given_and_is_read_by_compile(tmp_path):
    answer, file = written(tmp_path, "--gpus", 2, "--cpu", "500m", "--sign-key", "signing/key.pem", "--claim", "mine")
    assert answer.code == 0
    found = cluster.read(file)
    assert (found.target, found.image, found.pipeline_root) == ("oss", "reg.example/mnist-tfx:1", ROOT)
    assert (found.serving.claim, found.serving.path) == ("mine", "/serving")
    assert (found.sign_key.secret, found.sign_key.key) == ("signing", "key.pem")
    assert {node: found.of(node).accelerator.count for node in found.nodes} == {"Autoencoder": 2, "Classifier": 2}
    assert "kubeflow compile --cluster" in answer.out


def test_a_comment_stands_above_every_key(tmp_path):
    lines = written(tmp_path)[1].read_text().splitlines()
    keys = [at for at, line in enumerate(lines) if line.lstrip("#")[:1].isalpha() and not line.startswith("# ")]
    assert len(keys) >= len(cluster.Cluster.model_fields)
    assert all(lines[at - 1].startswith("# ") for at in keys)


def test_trainers_use_cpus_unless_gpus_are_asked_for(tmp_path):
    assert cluster.read(written(tmp_path)[1]).of("Classifier").accelerator.count == 0


def test_the_linter_has_nothing_to_say_of_the_resources(tmp_path):
    defaults = cluster.read(written(tmp_path)[1]).defaults
    assert (defaults.cpu, defaults.memory) == ("1", "4Gi")


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("mine")
    answer, _ = written(tmp_path)
    assert (answer.code, file.read_text()) == (2, "mine")
    assert "cluster.yaml: a file that is there: --replace writes over it" in answer.err
    assert written(tmp_path, "--replace")[0].code == 0
    assert cluster.read(file).target == "oss"


def test_a_file_that_came_meanwhile_is_not_written_over(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("mine")
    with pytest.raises(init.BadInput, match="a file that is there"):
        init._write(file, "ours", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.yaml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--image", "My Image"), "--image: not usable: wanted .*the name in lower case, got 'My Image'"),
        (
            ("--pipeline-root", "lake/m"),
            "--pipeline-root: not usable: wanted minio://bucket/prefix or .*, got 'lake/m'",
        ),
        (("--claim", "a.b"), "--claim: not usable: wanted at most 63 lower case letters"),
        (("--serving", "/s3/b"), "--serving: not usable: wanted a path of a mounted volume"),
        (("--sign-key", "signing"), "--sign-key: not usable: wanted a key of a Secret"),
        (("--kfp-version", "1.8"), "--kfp-version: not usable: wanted a version of Kubeflow Pipelines, 2.5.0 or newer"),
        (("--pull-secret", "My_Login"), "--pull-secret: not usable: wanted a Kubernetes name"),
        (("--memory", "4"), "--memory: not usable: wanted bytes with a unit"),
        (("--target", "vertex"), "--pipeline-root: no bucket that Vertex AI can use"),
    ],
)
def test_what_no_cluster_file_may_say_is_refused_by_its_option(tmp_path, options, message):
    needed = dict(zip(NEEDED[::2], NEEDED[1::2], strict=True)) | dict([options])
    given = [word for option in needed.items() for word in option]
    answer = in_process("kubeflow", "init", *given, "-o", tmp_path / "c.yaml")
    assert answer.code == 2
    assert re.search(message, answer.err), answer.err
    assert not (tmp_path / "c.yaml").exists()


def test_without_a_terminal_everything_that_is_missing_is_said_at_once(tmp_path):
    answer = in_process("kubeflow", "init", "-o", tmp_path / "c.yaml", "--memory", "4")
    assert [line.split(":")[0].strip() for line in answer.err.splitlines()[1:]] == [
        "--target",
        "--image",
        "--pipeline-root",
        "--memory",
    ]


def test_a_file_for_vertex_holds_nothing_that_vertex_refuses(tmp_path):
    file = tmp_path / "c.yaml"
    needed = ("--target", "vertex", "--image", "i:1", "--pipeline-root", "gs://b/m")
    assert in_process("kubeflow", "init", *needed, "-o", file).code == 0
    assert "serving" not in yaml.safe_load(file.read_text())
    refused = in_process("kubeflow", "init", *needed, "-o", tmp_path / "d.yaml", "--claim", "mine")
    assert "Vertex AI has no volumes" in refused.err


def test_on_a_terminal_it_asks_until_an_answer_is_usable(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pipeline", "kubeflow", "init", "-o", str(tmp_path / "c.yaml")]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as asked:
        os.write(ours, b"\nMy Image\nreg.example/m:1\nminio://b/m\n1\n\nsigning/key.pem\nlogin\n\n")
        assert asked.wait(60) == 0
    found = cluster.read(tmp_path / "c.yaml")
    assert (found.target, found.image, found.pipeline_root) == ("oss", "reg.example/m:1", "minio://b/m")
    assert found.of("Classifier").accelerator.count == 1
    assert (found.sign_key.secret, found.defaults.image_pull_secrets, found.service_account) == (
        "signing",
        ("login",),
        None,
    )
    assert "the name in lower case, got 'My Image'" in os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
