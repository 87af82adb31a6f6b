"""Rows on disk are trained on as rows in memory are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.settings import DataSettings, TrainingSettings
from components.training import stored
from components.training.checkpoint import Checkpoint
from components.training.fit import fit, in_batches, seed_everything
from components.training.input import TransformGraph, read_rows
from components.training.task import Pairs, Task

INPUTS = np.random.default_rng(5).normal(size=(41, 3)).astype(np.float32)


def _on_disk(*arrays):
    return stored.store([[array[:17] for array in arrays], [array[17:] for array in arrays]])


def test_rows_come_from_disk_as_they_were_written():
    rows, labels = _on_disk(INPUTS, INPUTS[:, :1])
    assert isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, INPUTS)
    np.testing.assert_array_equal(labels, INPUTS[:, :1])


def test_batches_come_in_the_order_asked_for_and_the_last_is_smaller():
    order = np.random.default_rng(6).permutation(41).astype(np.int32)
    batches = list(stored.in_order(_on_disk(INPUTS, INPUTS * 2), tf.constant(order), 8))
    assert [len(inputs) for inputs, _ in batches] == [8, 8, 8, 8, 8, 1]
    np.testing.assert_array_equal(np.concatenate([inputs for inputs, _ in batches]), INPUTS[order])
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in batches]), INPUTS[order] * 2)


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_split_that_does_not_fit_is_read_to_disk(examples, transform_graphs, splits, in_memory):
    data = DataSettings(shape=(6, 5), pixel_max=16, label_count=3)
    graph = TransformGraph.load(transform_graphs["minmax"])
    rows = read_rows([f"{examples}/Split-train/*"], graph, data, in_memory=in_memory)
    assert stored.is_stored(rows.images) == stored.is_stored(rows.labels) == (in_memory == 0)
    np.testing.assert_allclose(rows.images, splits["train"].flat / 16, rtol=1e-6)
    assert len(rows) == len(splits["train"].labels)


def test_what_is_computed_from_rows_on_disk_stays_there():
    doubled = in_batches(lambda rows: rows * 2, _on_disk(INPUTS)[0])
    assert stored.is_stored(doubled)
    np.testing.assert_array_equal(doubled, INPUTS * 2)


def test_a_training_from_disk_ends_in_the_weights_of_one_from_memory(tmp_path):
    settings = TrainingSettings(batch=8, epochs=4)
    targets = INPUTS.sum(axis=1, keepdims=True)
    ends = []
    for pairs in (Pairs(tf.constant(INPUTS), tf.constant(targets)), Pairs(*_on_disk(INPUTS, targets))):
        seed_everything(settings)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.2, seed=1), keras.layers.Dense(1)])
        task = Task("toy", model, keras.losses.MeanSquaredError(reduction=None), pairs, pairs)
        training = fit(task, settings, checkpoint=Checkpoint(None), log_folder=str(tmp_path))
        ends.append(([epoch.val_loss for epoch in training.epochs], *model.get_weights()))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
