"""`--resume` and `--rebuild`: what becomes of checkpoints, and of trainings that are over."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from command_line import PROJECT, mnist_tfx

from components.errors import BadInput
from components.training.cluster import TF_CONFIG
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request
from pipeline.provenance.ledger import read_ledger
from pipeline.runner import local
from pipeline.runner.progress import RunView

FLOW = ["ExampleGen", "Transform", "Autoencoder", "Classifier", "Evaluator"]


def test_to_rebuild_is_to_train_again_whatever_is_cached():
    assert Reuse(trainings=False).forced(FLOW) == {"Autoencoder", "Classifier"}
    assert Reuse(trainings=False, except_for=frozenset({"Evaluator"})).forced(FLOW) == {*FLOW[2:]}
    assert Reuse().forced(FLOW) == frozenset()


def test_without_an_autoencoder_only_the_classifier_is_rebuilt():
    assert Reuse(trainings=False).forced([node for node in FLOW if node != "Autoencoder"]) == {"Classifier"}


def test_several_workers_that_nobody_starts_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(TF_CONFIG, raising=False)
    with pytest.raises(BadInput, match="run --workers 2"):
        local.run(Request(root=tmp_path / "root", strategy="multiworker"), Reuse(), RunView.__new__(RunView))
    assert not (tmp_path / "root").exists()


@pytest.fixture
def interrupted(root, digits_folder):
    """A root whose autoencoder's training was killed after some epochs, and the command that it was killed in."""
    asked = ("run", "--data", digits_folder, "--root", root, "--set", "autoencoder.epochs=400", "--json")
    command = [sys.executable, "-m", "pipeline", *map(str, asked)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while not list(root.glob("checkpoints/*/training.npz")):
            assert process.poll() is None, "the training was over before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    return asked


def resumed_from(root):
    newest = max(root.glob("artifacts/Autoencoder/model_run/*"), key=lambda folder: int(folder.name))
    return json.loads((newest / "training.json").read_text())["resumed_from_epoch"]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("rebuild", [False, True], ids=["resumed", "rebuilt"])
def test_a_rebuilt_training_takes_nothing_from_a_checkpoint_and_a_resumed_one_does_and_says_so(
    root, interrupted, rebuild
):
    options = ["--rebuild"] if rebuild else []
    [run] = [intent.run_id for intent in read_ledger(root / "ledger.jsonl").unsettled()]
    plan = mnist_tfx(*interrupted, *options, "--dry-run")
    answer = mnist_tfx(*interrupted, *options)
    assert answer.code == 0, answer.err
    said = re.fullmatch(r"(.*); would be resumed at epoch ([0-9]+)", plan.why()["Autoencoder"])
    done = re.fullmatch(r"(.*); resumed at epoch ([0-9]+) of ([0-9]+)", answer.why()["Autoencoder"])
    if rebuild:
        assert (plan.why()["Autoencoder"], answer.why()["Autoencoder"]) == ("asked for", "asked for")
    else:
        assert said.group(1) == done.group(1) == f"run {run} began it and did not finish"
        assert int(said.group(2)) == int(done.group(2)) == resumed_from(root) + 1 <= int(done.group(3))
    cached = {node for node, state in plan.states().items() if state == "cached"}
    assert cached == {node for node, state in answer.states().items() if state == "cached"}
    assert not [why for why in plan.why().values() if any(f"{node} execute" in why for node in cached)]
    assert (answer.states()["Autoencoder"], answer.states()["Transform"]) == ("executed", "cached")
    assert (resumed_from(root) is None) == rebuild
    assert not list(root.glob("checkpoints/*/*"))
