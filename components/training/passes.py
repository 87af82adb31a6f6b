"""A task -> one `tf.function` for all batches of an epoch, and one for the validation rows.

The loss of a batch is the mean over its rows, wherever they are: each replica adds up its share and divides by the size
of the whole batch, so that the last, smaller one counts its rows like any other and the number of replicas is no matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
import tensorflow as tf

from components.settings import TrainingSettings
from components.training import stored
from components.training.placement import Placement, share
from components.training.task import Task

INFERENCE_BATCH = 8192
"""Rows per step where nothing is learned; bounds the memory for activations."""

Gradients: TypeAlias = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]


def training_pass(
    task: Task, settings: TrainingSettings, optimizer: keras.optimizers.Optimizer, placement: Placement
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that trains on the rows in a given order, int32 [N], and gives the mean loss."""
    gradients_of = _gradients(task, optimizer)
    if settings.jit:
        gradients_of = tf.function(gradients_of, jit_compile=True)
    clips_together = placement.replicas > 1 and settings.optimizer.clip_norm is not None

    @tf.autograph.experimental.do_not_convert
    def step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.shape(inputs)[0], tf.float32)
        loss, gradients = gradients_of(share(inputs), share(targets), rows)
        if clips_together:
            gradients = _in_equal_shares(gradients)
        optimizer.apply(gradients, task.model.trainable_variables)
        return loss

    def run(order: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        if stored.is_stored(task.train.inputs):
            for inputs, targets in stored.in_order((task.train.inputs, task.train.targets), order, settings.batch):
                total += placement.summed(step, inputs, targets)
            return total / tf.cast(tf.size(order), tf.float32)
        for start in tf.range(0, tf.size(order), settings.batch):
            rows = order[start : start + settings.batch]
            # Gathered here, so that a replica is sent a batch and not the whole split.
            total += placement.summed(step, tf.gather(task.train.inputs, rows), tf.gather(task.train.targets, rows))
        return total / tf.cast(tf.size(order), tf.float32)

    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(run)
    return compiled


def validation_pass(task: Task) -> Callable[[], tf.Tensor]:
    """Returns a function that gives the means of loss and metrics over the validation rows, float32 [1 + metrics]."""
    measures = (task.loss, *task.metrics.values())

    rows = task.validation

    @tf.autograph.experimental.do_not_convert
    def sums(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        outputs = tf.cast(task.model(inputs, training=False), tf.float32)
        return tf.stack([tf.reduce_sum(measure(targets, outputs)) for measure in measures])

    def run() -> tf.Tensor:
        count = len(rows.inputs)
        totals = tf.zeros([len(measures)])
        if stored.is_stored(rows.inputs):
            for inputs, targets in stored.in_order((rows.inputs, rows.targets), tf.range(count), INFERENCE_BATCH):
                totals += sums(inputs, targets)
            return totals / tf.cast(count, tf.float32)
        for start in tf.range(0, count, INFERENCE_BATCH):
            end = start + INFERENCE_BATCH
            totals += sums(rows.inputs[start:end], rows.targets[start:end])
        return totals / tf.cast(count, tf.float32)

    compiled: Callable[[], tf.Tensor] = tf.function(run)
    return compiled


def _gradients(task: Task, optimizer: keras.optimizers.Optimizer) -> Gradients:
    def gradients_of(
        inputs: tf.Tensor, targets: tf.Tensor, rows_of_batch: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            # In float32: a loss in 16 bits loses the small differences that training goes by.
            losses = task.loss(targets, tf.cast(task.model(inputs, training=True), tf.float32))
            loss = optimizer.scale_loss(tf.reduce_sum(losses) / rows_of_batch)
        return tf.reduce_sum(losses), tape.gradient(loss, task.model.trainable_variables)

    return gradients_of


def _in_equal_shares(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns to each replica an equal share of the whole batch's gradients.

    Keras clips what a replica has and then adds up the replicas. What it has to clip is the gradient of the whole batch;
    in equal shares, cut to an equal share of the norm (see `build_optimizer`), that is what adding up gives.
    """
    context = tf.distribute.get_replica_context()
    together = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return [gradient / context.num_replicas_in_sync for gradient in together]
