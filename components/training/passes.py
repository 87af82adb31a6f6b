"""Passes over data: one `tf.function` for all batches of an epoch, and one for the validation rows.

The loss of a batch is the mean over its rows, wherever they are: each replica adds up its share and divides by the size
of the whole batch, so that the last, smaller one counts its rows like any other and the number of replicas is no matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from components.settings import TrainingSettings
from components.training.placement import Placement, share
from components.training.task import INFERENCE_BATCH, Batch, Feed, Pairs, Task

Network: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
PerBatch: TypeAlias = Callable[[Batch], tf.Tensor]
Gradients: TypeAlias = Callable[
    [tf.Tensor, tf.Tensor, "tf.Tensor | None", tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]
]


def training_pass(
    task: Task, settings: TrainingSettings, optimizer: keras.optimizers.Optimizer, placement: Placement
) -> Callable[[Feed, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function that trains on a part of an epoch.

    Its arguments are what `Pairs.feed` gives, the rows of the order at which to begin and to end, int32, and the sum of
    the losses of the rows before, float32; it returns that sum with its own added.
    """
    before, network = _parted(task.model)
    gradients_of = _gradients(task, network, optimizer)
    together = placement.replicas > 1
    if settings.jit and together:
        gradients_of = _by_xla(gradients_of)
    clips_together = together and settings.optimizer.clip_norm is not None

    def learn(inputs: tf.Tensor, targets: tf.Tensor, counts: tf.Tensor | None, rows: tf.Tensor) -> tf.Tensor:
        loss, gradients = gradients_of(inputs, targets, counts, rows)
        if clips_together:
            gradients = _in_equal_shares(gradients)
        optimizer.apply(gradients, task.model.trainable_variables)
        return loss

    # Replicas add up their gradients between the two halves, which XLA cannot; one alone is one launch on a GPU.
    learn_by_one = _by_xla(learn) if settings.jit and not together else learn

    def step(batch: Batch) -> tf.Tensor:
        mine, its_targets, counts = share(batch, task.train.workers)
        return learn_by_one(before(mine), its_targets, counts, tf.cast(batch.rows, tf.float32))

    def of_batch(batch: Batch) -> tf.Tensor:
        return placement.summed(step, batch)

    def run(feed: Feed, start: tf.Tensor, stop: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        return _sum_over(task.train, feed, (start, stop), settings.batch, of_batch, total)

    return _compiled(run)


def validation_pass(task: Task) -> Callable[[], tf.Tensor]:
    """Return a function that gives the sums of loss and metrics over this process's validation rows, float32 [n]."""
    measures = (task.loss, *task.metrics.values())
    pairs = task.validation.own()

    def of_batch(batch: Batch) -> tf.Tensor:
        outputs = tf.cast(task.model(batch.inputs, training=False), tf.float32)
        return tf.stack([tf.reduce_sum(measure(batch.targets, outputs)) for measure in measures])

    def run(feed: Feed) -> tf.Tensor:
        rows = (tf.constant(0), tf.constant(len(pairs)))
        return _sum_over(pairs, feed, rows, INFERENCE_BATCH, of_batch, tf.zeros([len(measures)]))

    compiled = _compiled(run)
    return lambda: compiled(pairs.feed(INFERENCE_BATCH))


def _sum_over(  # noqa: PLR0913  # rows, in batches, and what is added up of them
    pairs: Pairs, feed: Feed, rows: tuple[tf.Tensor, tf.Tensor], batch: int, of_batch: PerBatch, total: tf.Tensor
) -> tf.Tensor:
    """Return `total` and the sum of what `of_batch` gives of each `batch` rows from the first to the last of `rows`."""
    first, last = rows

    def add(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return start + batch, total + of_batch(pairs.next_batch(feed, start, batch))

    return tf.while_loop(lambda start, _: start < last, add, (first, total))[1]


def _compiled(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    # Without autograph, which takes as long to rewrite the loops as a small training takes for some epochs.
    compiled: Callable[..., tf.Tensor] = tf.function(function, autograph=False)
    return compiled


def _by_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = tf.function(function, jit_compile=True, autograph=False)
    return compiled


def _parted(model: keras.Sequential) -> tuple[Network, Network]:
    """Return a network in training as two: its first layers, as far as XLA cannot compile them, and the others.

    The first ones only prepare the images, and have no weights to learn.
    """
    first = list(itertools.takewhile(lambda layer: not layer.supports_jit, model.layers))
    return _in_training(first), _in_training(model.layers[len(first) :]) if first else _in_training([model])


def _in_training(layers: Iterable[keras.layers.Layer]) -> Network:
    def network(rows: tf.Tensor) -> tf.Tensor:
        for layer in layers:
            rows = layer(rows, training=True)
        return rows

    return network


def _gradients(task: Task, network: Network, optimizer: keras.optimizers.Optimizer) -> Gradients:
    def gradients_of(
        inputs: tf.Tensor, targets: tf.Tensor, counts: tf.Tensor | None, rows_of_batch: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            # In float32: a loss in 16 bits loses the small differences that training goes by.
            losses = task.loss(targets, tf.cast(network(inputs), tf.float32))
            losses = losses if counts is None else losses * counts
            loss = optimizer.scale_loss(tf.reduce_sum(losses) / rows_of_batch)
        return tf.reduce_sum(losses), tape.gradient(loss, task.model.trainable_variables)

    return gradients_of


def _in_equal_shares(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return to each replica an equal share of the whole batch's gradients.

    Keras clips what a replica has and then adds up the replicas. What it has to clip is the gradient of the whole batch;
    in equal shares, cut to an equal share of the norm (see `build_optimizer`), that is what adding up gives.
    """
    context = tf.distribute.get_replica_context()
    together = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return [gradient / context.num_replicas_in_sync for gradient in together]
