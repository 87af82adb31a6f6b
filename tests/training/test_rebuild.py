"""`--resume` and `--rebuild`: what becomes of checkpoints, and of trainings that are over."""

import pytest
from command_line import mnist_tfx

from components.errors import BadInput
from components.training.cluster import TF_CONFIG
from pipeline import local
from pipeline.config import Reuse
from pipeline.configure import Request
from pipeline.view import RunView

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


@pytest.mark.e2e
@pytest.mark.slow
def test_a_rebuilt_training_takes_nothing_from_a_checkpoint(root, digits_folder):
    asked = ("run", "--data", digits_folder, "--root", root, "--json")
    checkpoints = root / "checkpoints"
    left = [folder / "training.npz" for folder in checkpoints.iterdir()]
    for file in left:
        file.write_bytes(b"of an interrupted training")
    states = {node["id"]: node["state"] for node in mnist_tfx(*asked, "--rebuild").json["nodes"]}
    # The classifier's work is another one by now, on a new autoencoder; what is left of the old one is nobody's.
    assert [file.exists() for file in left].count(False) >= 1
    assert (states["Autoencoder"], states["Classifier"], states["Transform"]) == ("executed", "executed", "cached")
