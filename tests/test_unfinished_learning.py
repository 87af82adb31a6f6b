"""What a refusal advises: longer training only where the last epoch was the best."""

import json
from types import SimpleNamespace

import pytest

from pipeline.runner.unfinished_learning import commands


def trained(root, losses):
    (root / "run").mkdir()
    history = [{"number": number, "val_loss": loss} for number, loss in enumerate(losses, start=1)]
    (root / "run" / "training.json").write_text(json.dumps({"epochs_run": len(losses), "history": history}))
    return {"Classifier": SimpleNamespace(outputs={"model_run": (SimpleNamespace(path="run"),)})}


def test_a_training_that_ended_with_its_best_epoch_is_to_go_on_for_longer(tmp_path):
    [command] = commands(tmp_path, trained(tmp_path, [0.9, 0.5, 0.4]))
    assert command == (
        "mnist-tfx run ... --set classifier.epochs=6 # Classifier ended with the best epoch: train longer"
    )


@pytest.mark.parametrize("losses", [[0.9, 0.4, 0.5], [0.4, 0.4], [0.4], [None, 0.3]])
def test_one_that_had_levelled_off_or_cannot_tell_is_left_alone(tmp_path, losses):
    assert list(commands(tmp_path, trained(tmp_path, losses))) == []


def test_one_whose_record_is_there_and_its_files_are_gone_is_left_alone(tmp_path):
    work = trained(tmp_path, [0.9, 0.5])
    (tmp_path / "run" / "training.json").unlink()
    assert list(commands(tmp_path, work)) == []
