"""The training loop: trained weights of a Keras model and their history.

`keras.Model.fit` takes a second longer to start, its shuffling cannot be taken up again in the middle, and it fails
under MultiWorkerMirroredStrategy (keras#20585). So: Keras layers, optimisers and schedules, and a loop of our own, one
`tf.function` call per epoch, on as many replicas as the scope has in which the model was built.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.errors import BadInput, EnvironmentProblem
from components.settings import TrainingSettings
from components.training import kernels, stored
from components.training.checkpoint import Arrays, Checkpoint, Snapshot
from components.training.kernels import Kernels
from components.training.optimizer import build_optimizer
from components.training.passes import INFERENCE_BATCH, training_pass, validation_pass
from components.training.placement import Placement
from components.training.progress import Epoch, ProgressLines, TensorBoardScalars
from components.training.task import Task


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
      epochs: all of them, those before an interruption included.
      resumed_from_epoch: the number of epochs found in a checkpoint; None for a training in one go.
      kept_epoch: the epoch whose weights the model has.
      kernels: of the first layer, at several moments.
      facts: on what it ran.
    """

    epochs: tuple[Epoch, ...]
    resumed_from_epoch: int | None
    kept_epoch: int
    kernels: Kernels = field(default_factory=dict)
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the history and what it comes to, as JSON values."""
        return {
            "epochs_run": len(self.epochs),
            "kept_epoch": self.kept_epoch,
            "resumed_from_epoch": self.resumed_from_epoch,
            "seconds": sum(epoch.seconds for epoch in self.epochs),
            "history": [epoch.to_dict() for epoch in self.epochs],
        }

    def write(self, folder: str, settings: TrainingSettings, *, retrained: Training | None = None) -> None:
        """Write `training.json` into `folder`, and in it what a `components.training.retrain` came to.

        The first layer's kernels go beside it, as `weights.npz`: those of the training that ended in what is served.
        """
        record = {
            "settings": settings.model_dump(mode="json"),
            **self.to_dict(),
            **{name: getattr(settings, name) for name in ("strategy", "precision", "jit")},
            **self.facts,
            "retrained": None if retrained is None else retrained.to_dict(),
            **({} if retrained is None else retrained.in_short()),
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "training.json").write_text(json.dumps(record, indent=1) + "\n")
        kernels.write((retrained or self).kernels, Path(folder))

    def in_short(self) -> dict[str, Any]:
        """Return what the execution's record says of a retraining; it has the history by its digest alone."""
        return {
            f"retrained_{name}": value
            for name, value in self.to_dict().items()
            if name in ("epochs_run", "resumed_from_epoch", "seconds")
        }


def seed_everything(settings: TrainingSettings) -> None:
    """Seed weights, noise and dropout; to be called before the model is built. Affects the whole process."""
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()


def fit(task: Task, settings: TrainingSettings, *, checkpoint: Checkpoint, log_folder: str) -> Training:
    """Train `task.model` in place, from the checkpoint if there is one.

    Args:
      task: the model and what it learns from.
      settings: optimiser, batch, epochs, patience, seed.
      checkpoint: written after every epoch; of several workers, all go on from the chief's.
      log_folder: for TensorBoard.

    Returns:
      The history. With `patience`, the model has the weights of its best epoch, otherwise those of the last.

    Raises:
      BadInput: when the loss stops being a number.
      EnvironmentProblem: when another worker of the same training is gone.
    """
    placement = Placement.of(task.model)
    with placement.scope():
        try:
            return _fit(task, settings, placement, checkpoint, log_folder)
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as err:
            raise EnvironmentProblem(
                "another worker of this training is gone",
                where=task.name,
                hint="start all workers again: they go on from the chief's checkpoint",
            ) from err


def _fit(
    task: Task, settings: TrainingSettings, placement: Placement, checkpoint: Checkpoint, log_folder: str
) -> Training:
    steps = math.ceil(len(task.train.inputs) / settings.batch)
    epochs = max(settings.epochs, math.ceil(settings.min_steps / steps))
    optimizer = build_optimizer(settings.optimizer, epochs=epochs, steps_per_epoch=steps, replicas=placement.replicas)
    optimizer.build(task.model.trainable_variables)
    variables = [*task.model.variables, *optimizer.variables]
    snapshot = _restored(checkpoint, placement, variables) or _untrained(task.model)
    resumed = len(snapshot.epochs) or None
    placement.vary_noise(task.model)
    run_epoch = _epoch_runner(task, settings, optimizer, placement)
    watchers = _watchers(epochs, log_folder, snapshot.epochs) if placement.is_chief else ()
    while len(snapshot.epochs) < epochs and not _is_stale(snapshot.epochs, settings.patience):
        epoch = run_epoch(len(snapshot.epochs) + 1)
        snapshot = _advanced(snapshot, epoch, variables, len(task.model.variables), keep_best=bool(settings.patience))
        if epoch.number in kernels.EPOCHS:
            seen = kernels.with_kernel(snapshot.kernels, task.model, epoch.number * steps)
            snapshot = dataclasses.replace(snapshot, kernels=seen)
        if placement.is_chief:
            checkpoint.save(snapshot)
        for watcher in watchers:
            watcher(epoch)
    if settings.patience:
        _assign(task.model.variables, snapshot.best)
    kept = _best(snapshot.epochs) if settings.patience else snapshot.epochs[-1]
    at_the_end = kernels.with_kernel(snapshot.kernels, task.model, kept.number * steps)
    return Training(snapshot.epochs, resumed, kept.number, at_the_end, placement.facts())


def in_batches(function: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
    """Return `function` of all `rows`, computed `INFERENCE_BATCH` rows at a time; on disk if they are there."""
    starts = range(0, len(rows), INFERENCE_BATCH)
    results = (function(tf.convert_to_tensor(rows[start : start + INFERENCE_BATCH])) for start in starts)
    if stored.is_stored(rows):
        return stored.store((result,) for result in results)[0]
    return tf.concat(list(results), axis=0)


def _epoch_runner(
    task: Task, settings: TrainingSettings, optimizer: keras.optimizers.Optimizer, placement: Placement
) -> Callable[[int], Epoch]:
    train = training_pass(task, settings, optimizer, placement)
    validate = validation_pass(task)
    rows = len(task.train.inputs)

    def run_epoch(number: int) -> Epoch:
        started = time.monotonic()
        # Seeded by epoch, so that a resumed training goes through the rows as an uninterrupted one would.
        order = np.random.default_rng((settings.seed, number)).permutation(rows).astype(np.int32)
        here = np.array([train(tf.constant(order)), *validate()], np.float64)
        # All workers have to stop at the same epoch, whatever the last bits of their own figures are.
        loss, val_loss, *metrics = map(float, placement.from_chief(here))
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            raise BadInput(
                "training diverged",
                where=f"{task.name}, epoch {number}",
                wanted="a finite loss",
                got=f"{loss} on train, {val_loss} on validation",
                hint="lower optimizer.learning_rate, or set optimizer.clip_norm",
            )
        named = dict(zip(task.metrics, metrics, strict=True))
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))  # of constant ones, there is one per replica
        return Epoch(number, loss, val_loss, named, rate, time.monotonic() - started)

    return run_epoch


def _watchers(total: int, log_folder: str, before: Sequence[Epoch]) -> tuple[Callable[[Epoch], None], ...]:
    scalars = TensorBoardScalars(log_folder)
    for epoch in before:
        scalars(epoch)  # the log of the process that was interrupted lies in a folder of its own, or is gone
    return ProgressLines(total, len(before)), scalars


def _restored(checkpoint: Checkpoint, placement: Placement, variables: Sequence[Any]) -> Snapshot | None:
    snapshot = Snapshot.from_bytes(placement.bytes_from_chief(checkpoint.content()))
    if snapshot is None or not snapshot.fits([tuple(variable.shape) for variable in variables]):
        return None
    _assign(variables, snapshot.variables)
    return snapshot


def _untrained(model: keras.Model) -> Snapshot:
    return Snapshot(epochs=(), variables=(), kernels=kernels.with_kernel({}, model, 0))


def _advanced(
    before: Snapshot, epoch: Epoch, variables: Sequence[Any], model_variables: int, *, keep_best: bool
) -> Snapshot:
    epochs = (*before.epochs, epoch)
    arrays = tuple(keras.ops.convert_to_numpy(variable).copy() for variable in variables)
    best: Arrays = ()
    if keep_best:
        best = arrays[:model_variables] if _best(epochs) is epoch else before.best
    return Snapshot(epochs, arrays, best, before.kernels)


def _assign(variables: Sequence[Any], arrays: Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _best(epochs: Sequence[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.val_loss)


def _is_stale(epochs: Sequence[Epoch], patience: int | None) -> bool:
    return bool(patience and epochs and epochs[-1].number - _best(epochs).number >= patience)
