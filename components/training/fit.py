"""Rows, a Keras model and its settings -> trained weights and their history.

`keras.Model.fit` takes a second longer to start, its shuffling cannot be taken up again in the middle, and it fails
under MultiWorkerMirroredStrategy (keras#20585). So: Keras layers, optimisers and schedules, and a loop of our own, one
`tf.function` call per epoch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from components.errors import BadInput
from components.settings import TrainingSettings
from components.training.checkpoint import Arrays, Checkpoint, Snapshot
from components.training.optimizer import build_optimizer
from components.training.progress import Epoch, ProgressLines, TensorBoardScalars

PerRow: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(targets [N, ...], outputs [N, ...]) -> float32 [N]."""

INFERENCE_BATCH = 8192
"""Rows per step where nothing is learned; bounds the memory for activations."""


@dataclass(frozen=True)
class Pairs:
    """Inputs float32 [N, ...] and the targets float32 [N, ...] that a model shall give for them."""

    inputs: tf.Tensor
    targets: tf.Tensor


@dataclass(frozen=True)
class Task:
    """What is to be fitted to what.

    Attributes:
      name: for messages.
      model: a Keras model; its random layers are seeded by whoever built it.
      loss: minimised as a mean over rows.
      train: learned from.
      validation: looked at after each epoch.
      metrics: further means over the validation rows, by name.
    """

    name: str
    model: keras.Model
    loss: PerRow
    train: Pairs
    validation: Pairs
    metrics: Mapping[str, PerRow] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
      epochs: all of them, those before an interruption included.
      resumed_from_epoch: the number of epochs found in a checkpoint; None for a training in one go.
      kept_epoch: the epoch whose weights the model has.
    """

    epochs: tuple[Epoch, ...]
    resumed_from_epoch: int | None
    kept_epoch: int

    def write(self, folder: str, settings: TrainingSettings) -> None:
        """Writes `training.json` into `folder`."""
        record = {
            "settings": settings.model_dump(mode="json"),
            "epochs_run": len(self.epochs),
            "kept_epoch": self.kept_epoch,
            "resumed_from_epoch": self.resumed_from_epoch,
            "seconds": sum(epoch.seconds for epoch in self.epochs),
            "device": device_name(),
            "history": [epoch.to_dict() for epoch in self.epochs],
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "training.json").write_text(json.dumps(record, indent=1) + "\n")


def device_name() -> str:
    """Returns what this process trains on: the names of its GPUs, or `cpu`."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return ", ".join(names) or "cpu"


def seed_everything(settings: TrainingSettings) -> None:
    """Seeds weights, noise and dropout; to be called before the model is built. Affects the whole process."""
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()


def fit(task: Task, settings: TrainingSettings, *, checkpoint: Checkpoint, log_folder: str) -> Training:
    """Trains `task.model` in place, from the checkpoint if there is one.

    Args:
      task: the model and what it learns from.
      settings: optimiser, batch, epochs, patience, seed.
      checkpoint: written after every epoch.
      log_folder: for TensorBoard.

    Returns:
      The history. With `patience`, the model has the weights of its best epoch, otherwise those of the last.

    Raises:
      BadInput: when the loss stops being a number.
    """
    steps = math.ceil(len(task.train.inputs) / settings.batch)
    epochs = max(settings.epochs, math.ceil(settings.min_steps / steps))
    optimizer = build_optimizer(settings.optimizer, epochs=epochs, steps_per_epoch=steps)
    optimizer.build(task.model.trainable_variables)
    variables = [*task.model.variables, *optimizer.variables]
    snapshot = _restored(checkpoint, variables) or Snapshot(epochs=(), variables=())
    resumed = len(snapshot.epochs) or None
    run_epoch = _epoch_runner(task, settings, optimizer)
    watchers = (ProgressLines(epochs), TensorBoardScalars(log_folder))
    while len(snapshot.epochs) < epochs and not _is_stale(snapshot.epochs, settings.patience):
        epoch = run_epoch(len(snapshot.epochs) + 1)
        snapshot = _advanced(snapshot, epoch, variables, len(task.model.variables), keep_best=bool(settings.patience))
        checkpoint.save(snapshot)
        for watcher in watchers:
            watcher(epoch)
    if settings.patience:
        _assign(task.model.variables, snapshot.best)
    kept = _best(snapshot.epochs) if settings.patience else snapshot.epochs[-1]
    return Training(snapshot.epochs, resumed, kept.number)


def in_batches(function: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
    """Returns `function` of all `rows`, computed `INFERENCE_BATCH` rows at a time."""
    starts = range(0, len(rows), INFERENCE_BATCH)
    return tf.concat([function(rows[start : start + INFERENCE_BATCH]) for start in starts], axis=0)


def _epoch_runner(
    task: Task, settings: TrainingSettings, optimizer: keras.optimizers.Optimizer
) -> Callable[[int], Epoch]:
    train = tf.function(_training_pass(task, settings.batch, optimizer))
    validate = tf.function(_validation_pass(task))
    rows = len(task.train.inputs)

    def run_epoch(number: int) -> Epoch:
        started = time.monotonic()
        # Seeded by epoch, so that a resumed training goes through the rows as an uninterrupted one would.
        order = np.random.default_rng((settings.seed, number)).permutation(rows).astype(np.int32)
        loss = float(train(tf.constant(order)))
        val_loss, *metrics = (float(value) for value in validate())
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            raise BadInput(
                "training diverged",
                where=f"{task.name}, epoch {number}",
                wanted="a finite loss",
                got=f"{loss} on train, {val_loss} on validation",
                hint="lower optimizer.learning_rate, or set optimizer.clip_norm",
            )
        named = dict(zip(task.metrics, metrics, strict=True))
        rate = float(optimizer.learning_rate)
        return Epoch(number, loss, val_loss, named, rate, time.monotonic() - started)

    return run_epoch


def _training_pass(task: Task, batch: int, optimizer: keras.optimizers.Optimizer) -> Callable[[tf.Tensor], tf.Tensor]:
    def step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = task.loss(targets, task.model(inputs, training=True))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, task.model.trainable_variables)
        optimizer.apply(gradients, task.model.trainable_variables)
        return tf.reduce_sum(losses)

    def training_pass(order: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for start in tf.range(0, tf.size(order), batch):
            rows = order[start : start + batch]
            total += step(tf.gather(task.train.inputs, rows), tf.gather(task.train.targets, rows))
        return total / tf.cast(tf.size(order), tf.float32)

    return training_pass


def _validation_pass(task: Task) -> Callable[[], tf.Tensor]:
    measures = (task.loss, *task.metrics.values())

    def validation_pass() -> tf.Tensor:
        count = tf.shape(task.validation.inputs)[0]
        totals = tf.zeros([len(measures)])
        for start in tf.range(0, count, INFERENCE_BATCH):
            targets = task.validation.targets[start : start + INFERENCE_BATCH]
            outputs = task.model(task.validation.inputs[start : start + INFERENCE_BATCH], training=False)
            totals += tf.stack([tf.reduce_sum(measure(targets, outputs)) for measure in measures])
        return totals / tf.cast(count, tf.float32)

    return validation_pass


def _restored(checkpoint: Checkpoint, variables: Sequence[Any]) -> Snapshot | None:
    snapshot = checkpoint.load()
    if snapshot is None or not snapshot.fits([tuple(variable.shape) for variable in variables]):
        return None
    _assign(variables, snapshot.variables)
    return snapshot


def _advanced(
    before: Snapshot, epoch: Epoch, variables: Sequence[Any], model_variables: int, *, keep_best: bool
) -> Snapshot:
    epochs = (*before.epochs, epoch)
    arrays = tuple(keras.ops.convert_to_numpy(variable).copy() for variable in variables)
    best: Arrays = ()
    if keep_best:
        best = arrays[:model_variables] if _best(epochs) is epoch else before.best
    return Snapshot(epochs, arrays, best)


def _assign(variables: Sequence[Any], arrays: Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _best(epochs: Sequence[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.val_loss)


def _is_stale(epochs: Sequence[Epoch], patience: int | None) -> bool:
    return bool(patience and epochs and epochs[-1].number - _best(epochs).number >= patience)
