"""The loops of a training and of its validation as TensorFlow would place them on a GPU: what lies where, what is copied."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gpu_placement import loop_bodies, placed

from components.autoencoder.model import build_autoencoder
from components.classifier.losses import build_loss, is_right
from components.classifier.model import build_classifier
from components.settings import (
    Augmentation,
    AutoencoderSettings,
    ClassifierSettings,
    Convolution,
    DataSettings,
    OptimizerSettings,
)
from components.training.optimizer import build_optimizer
from components.training.passes import training_pass, validation_pass
from components.training.placement import Placement
from components.training.resident import ResidentPairs
from components.training.task import Shuffle, Task

DATA = DataSettings(shape=(12, 12), pixel_max=255)
COSINE = OptimizerSettings(schedule="cosine", clip_norm=1.0)
MOVED = Augmentation(shift=1, rotation=10, zoom=0.1)
DENSE = ClassifierSettings(layers=(16, 8), dropout=0.2, augmentation=MOVED, optimizer=COSINE, batch=32)
CONVOLUTION = ClassifierSettings(convolutions=(Convolution(filters=4, pool=2),), layers=(8,), dropout=0.5, batch=32)
AUTOENCODER = AutoencoderSettings(layers=(16,), latent=4, optimizer=COSINE, batch=32)


def rows(count=100):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, DATA.pixels)).astype(np.uint8)
    return tf.constant(images), tf.constant(rng.integers(0, 10, (count, 1)))


def scaled(images, labels):
    return tf.cast(images, tf.float32) / 255, tf.one_hot(labels[:, 0], 10)


def task_of(settings, pairs):
    keras.utils.set_random_seed(1)
    if isinstance(settings, AutoencoderSettings):
        again = pairs.map(lambda images, _: (images, images))
        loss = keras.losses.MeanSquaredError(reduction=None)
        return Task("autoencoder", build_autoencoder(settings, DATA).whole, loss, again, again)
    return Task("classifier", build_classifier(settings, DATA), build_loss(settings), pairs, pairs, {"right": is_right})


def trained_once(settings, pairs):
    """Returns the function of a training after an epoch, its arguments, and the task."""
    task = task_of(settings, pairs)
    steps = -(-len(pairs) // settings.batch)
    optimizer = build_optimizer(settings.optimizer, epochs=1, steps_per_epoch=steps)
    optimizer.build(task.model.trainable_variables)
    run = training_pass(task, settings, optimizer, Placement.of(task.model))
    feed = pairs.feed(settings.batch, Shuffle(0, 1))
    arguments = feed, tf.constant(0), tf.constant(len(pairs)), tf.constant(0.0)
    run(*arguments)
    return run, arguments, task


def the_loop(settings, pairs):
    run, arguments, _ = trained_once(settings, pairs)
    [body] = loop_bodies(run.get_concrete_function(*arguments))
    return body


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("settings", [AUTOENCODER, DENSE, CONVOLUTION], ids=["autoencoder", "dense", "convolution"])
def test_a_step_stays_on_the_gpu(settings, jit):
    settings = settings.model_copy(update={"jit": jit})
    found = placed(the_loop(settings, ResidentPairs.on_device(*rows()).map(scaled)))
    assert found.on_cpu == []
    # Keys of random numbers and the size of a batch: a few bytes. No rows, no weights, and no loss.
    assert [str(copy) for copy in found.copies if (copy.shape.num_elements() or 1000) > 2] == []
    back = {copy.by for copy in found.copies if copy.to == "host"}
    # A key, and the shape in which the gradient of a mean is spread.
    assert back <= {"StatelessRandomGetKeyCounter", "Reshape"}


def test_a_validation_stays_on_the_gpu():
    task = task_of(DENSE, ResidentPairs.on_device(*rows()).map(scaled))
    compiled = validation_pass(task)
    compiled()
    [pass_] = [
        cell.cell_contents for cell in compiled.__closure__ if hasattr(cell.cell_contents, "get_concrete_function")
    ]
    [body] = loop_bodies(pass_.get_concrete_function(task.validation.feed(100)))
    found = placed(body)
    assert (found.on_cpu, found.copies) == ([], [])


def test_rows_of_both_splits_together_stay_on_the_gpu():
    pairs = ResidentPairs.on_device(*rows()).map(scaled)
    assert placed(the_loop(AUTOENCODER, pairs.followed_by(pairs))).on_cpu == []


def test_bytes_in_a_tensor_would_be_gathered_by_the_cpu():
    """Why the rows are variables; and that what the tests above look at can be seen."""
    found = placed(the_loop(AUTOENCODER, ResidentPairs(*rows()).map(scaled)))
    assert [kind for _, kind, _ in found.on_cpu] == ["GatherV2"]
    assert {copy.to for copy in found.copies if copy.dtype == tf.uint8} == {"host", "device"}


def test_xla_takes_gradients_and_update_in_one():
    pairs = ResidentPairs.on_device(*rows()).map(scaled)
    plain, compiled = (the_loop(CONVOLUTION.model_copy(update={"jit": jit}), pairs) for jit in (False, True))

    def launched(graph):
        return sum(op.type not in ("Const", "NoOp", "Placeholder", "ReadVariableOp") for op in graph.get_operations())

    assert launched(compiled) < launched(plain) / 3
    assert not [op for op in compiled.get_operations() if "Apply" in op.type or op.type.startswith("Assign")]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_xla_compiles_learns_the_same(precision):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pairs = ResidentPairs.on_device(*rows()).map(scaled)
        changes = {"augmentation": None, "dropout": 0.0, "precision": precision}
        weights = []
        for jit in (False, True):
            _, _, task = trained_once(DENSE.model_copy(update={**changes, "jit": jit}), pairs)
            weights.append([np.asarray(variable) for variable in task.model.trainable_variables])
    finally:
        keras.config.set_dtype_policy(policy)
    for plain, compiled in zip(*weights, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-6 if precision == "float32" else 3e-3)
    assert any(one.std() > 0 for one in weights[0])
