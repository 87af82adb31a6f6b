"""The images' files, made and run in a root of their own; and, at once, what such a build takes from the checkout."""

import os
import shutil
import subprocess
import sys

import clean_root
import debian_root
import dockerfile
import pytest
from command_line import PROJECT

WANTED = "MNIST_TFX_CLEAN_ROOT"


def _missing() -> str | None:
    if os.environ.get(WANTED) != "1":
        return f"{WANTED}=1 asks for it: ten minutes, 1.5 GB of downloads, 8 GB of disk"
    return debian_root.obstacle()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(_missing() is not None, reason=str(_missing()))
def test_the_cpu_image_trains_serves_and_passes_its_audit(tmp_path):
    try:
        command = [sys.executable, PROJECT / "tests" / "clean_root.py", tmp_path / "roots"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    finally:
        shutil.rmtree(tmp_path / "roots", ignore_errors=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS ") >= len(clean_root.CHECKS)


def test_a_build_is_sent_the_code_and_no_data_tests_or_history():
    sent = set(clean_root.build_context(PROJECT))
    assert {"setup.py", "requirements.lock", "kubeflow/install.sh", "pipeline/cli/main.py", "Makefile"} <= sent
    assert {name.split("/")[0] for name in sent} & {"tests", "data", "runs", ".git", ".venv"} == set()


def test_what_the_dockerfile_copies_is_sent():
    sent = set(clean_root.build_context(PROJECT))
    text = (PROJECT / "kubeflow" / "Dockerfile").read_text()
    steps = [step for stage in dockerfile.stages(text) for step in stage.instructions]
    copied = {path for step in steps if step.word == "COPY" and not step.option("from") for path in step.words[:-1]}
    assert copied - {"."} <= sent


def test_what_setup_py_reads_is_sent():
    sent = set(clean_root.build_context(PROJECT))
    manifest = (PROJECT / "MANIFEST.in").read_text().splitlines()
    included = {name for line in manifest if line.startswith("include ") for name in line.split()[1:]}
    assert included <= sent


@pytest.mark.parametrize("line", ["ADD x /opt", "VOLUME /data", 'SHELL ["bash"]'])
def test_an_instruction_that_it_does_not_know_ends_it(line, tmp_path, monkeypatch):
    monkeypatch.setattr(clean_root.Builder, "_overlay", lambda *_: tmp_path)
    stages = dockerfile.stages(f"FROM debian:13.7-slim AS cpu\n{line}\n")
    with pytest.raises(ValueError, match="not known here"):
        clean_root.Builder(tmp_path, stages).root("cpu")


def test_another_distribution_is_refused(tmp_path):
    with pytest.raises(ValueError, match="wanted debian of 13"):
        clean_root.Builder(tmp_path, ())._foreign("ubuntu:24.04")


def test_a_variable_counts_from_where_it_is_set(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(clean_root.Builder, "_overlay", lambda *_: tmp_path)
    monkeypatch.setattr(debian_root, "run", lambda *command, env: ran.append((command[-1], env.get("A"))))
    stages = dockerfile.stages("FROM debian:13.7-slim AS one\nRUN x\nENV A=1\nRUN y\nFROM one AS two\nRUN z\n")
    builder = clean_root.Builder(tmp_path, stages)
    builder.root("one")
    builder.root("two")
    assert ran == [("cd / && x", None), ("cd / && y", "1"), ("cd / && z", "1")]
