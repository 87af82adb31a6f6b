"""Training anew on train and validation, after the choice: for the epochs that were kept, and resumable like the choice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.settings import OptimizerSettings, TrainingSettings
from components.training.checkpoint import Checkpoint
from components.training.fit import fit, seed_everything
from components.training.resident import ResidentPairs
from components.training.retrain import below, retrain
from components.training.task import Task

SETTINGS = TrainingSettings(batch=8, epochs=6, patience=2, optimizer=OptimizerSettings(learning_rate=0.05))
ALL = np.random.default_rng(5).normal(size=(60, 3)).astype(np.float32)


def network():
    seed_everything(SETTINGS)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def pairs(inputs, sign=1.0):
    return ResidentPairs(tf.constant(inputs), tf.constant(sign * inputs.sum(axis=1, keepdims=True)))


@pytest.fixture
def task():
    """A choice on validation that is best after one epoch: its targets have the wrong sign."""
    squared = keras.losses.MeanSquaredError(reduction=None)
    return Task("toy", network(), squared, pairs(ALL[:40]), pairs(ALL[40:], sign=-1.0))


def both(task, folder):
    checkpoint = Checkpoint(folder / "checkpoint")
    chosen = fit(task, SETTINGS, checkpoint=checkpoint, log_folder=str(folder))
    model = network()
    return model, chosen, retrain(task, model, chosen, SETTINGS, checkpoint=checkpoint, log_folder=str(folder))


def test_the_network_is_trained_for_the_epochs_that_were_kept(task, tmp_path):
    _, chosen, retrained = both(task, tmp_path)
    assert (len(chosen.epochs), chosen.kept_epoch) == (3, 1)
    assert len(retrained.epochs) == 1


def test_it_learns_from_train_and_validation_and_starts_as_the_choice_did(task, tmp_path):
    model, _, _ = both(task, tmp_path)
    joined = ResidentPairs(*(tf.concat(parts, axis=0) for parts in _columns(task.train, task.validation)))
    again = Task("toy", network(), task.loss, joined, task.validation)
    once = SETTINGS.model_copy(update={"epochs": 1, "patience": None})
    fit(again, once, checkpoint=Checkpoint(None), log_folder=str(tmp_path / "again"))
    for got, wanted in zip(model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_a_killed_retraining_repeats_neither_itself_nor_the_choice(task, tmp_path):
    first, _, _ = both(task, tmp_path)
    second, chosen, retrained = both(task, tmp_path)
    assert (chosen.resumed_from_epoch, retrained.resumed_from_epoch) == (3, 1)
    np.testing.assert_allclose(second.get_weights()[0], first.get_weights()[0])


def test_without_a_place_for_checkpoints_none_is_kept():
    assert below(Checkpoint(None)) == Checkpoint(None)


def _columns(*found):
    return [one.inputs for one in found], [one.targets for one in found]
