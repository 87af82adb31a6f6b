"""The training loop: trained weights of a Keras model and their history.

`keras.Model.fit` takes a second longer to start, its shuffling cannot be taken up again in the middle, and it fails
under MultiWorkerMirroredStrategy (keras#20585). So: Keras layers, optimisers and schedules, and a loop of our own, one
`tf.function` call per epoch of up to `SAVED_ROWS` rows, on as many replicas as the scope has in which the model was built.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from components.errors import BadInput, EnvironmentProblem
from components.settings import TrainingSettings
from components.training import kernels
from components.training.checkpoint import Arrays, Begun, Checkpoint, Snapshot
from components.training.estimate import Choice
from components.training.kernels import Kernels
from components.training.optimizer import build_optimizer
from components.training.passes import training_pass, validation_pass
from components.training.placement import Placement
from components.training.progress import Epoch, ProgressLines, TensorBoardScalars
from components.training.task import Shuffle, Task

SAVED_ROWS: Final = 1 << 18
"""Rows after which an epoch is saved in the middle; a small network learns from so many in ten seconds on two cores."""


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
      epochs: all of them, those before an interruption included.
      resumed_from_epoch: the number of whole epochs in a checkpoint; None for a training in one go.
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

    def write(
        self,
        folder: str,
        settings: TrainingSettings,
        *,
        retrained: Training | None = None,
        choice: Choice | None = None,
    ) -> None:
        """Write `training.json` into `folder`: what a `components.training.retrain` came to, and why it was this device.

        The first layer's kernels go beside it, as `weights.npz`: those of the training that ended in what is served.
        """
        record = {
            "settings": settings.model_dump(mode="json"),
            **self.to_dict(),
            **{name: getattr(settings, name) for name in ("strategy", "precision", "jit")},
            **self.facts,
            **({} if choice is None else choice.facts()),
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
      checkpoint: written after every epoch, and within long ones; of several workers, all go on from the chief's.
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
    steps = math.ceil(len(task.train) / settings.batch)
    epochs = max(settings.epochs, math.ceil(settings.min_steps / steps))
    optimizer = build_optimizer(settings.optimizer, epochs=epochs, steps_per_epoch=steps, replicas=placement.replicas)
    optimizer.build(task.model.trainable_variables)
    variables = [*task.model.variables, *optimizer.variables]
    restored = _restored(checkpoint, placement, variables)
    if restored is not None and not restored.begun.is_in(len(task.train), settings.batch):
        restored = None
    if restored is not None:
        _assign(variables, restored.variables)
    snapshot = restored or _untrained(task.model)
    resumed = None if restored is None else len(restored.epochs)
    placement.vary_noise(task.model)
    runner = _Epochs(task, settings, optimizer, placement)
    watchers = _watchers(epochs, log_folder, snapshot.epochs) if placement.is_chief else ()
    while len(snapshot.epochs) < epochs and not _is_stale(snapshot.epochs, settings.patience):
        save = functools.partial(_save_within, checkpoint, placement, snapshot, variables)
        epoch = runner.run(len(snapshot.epochs) + 1, snapshot.begun, save)
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


@dataclass(frozen=True)
class _Epochs:
    """Runs the epochs of one training."""

    task: Task
    settings: TrainingSettings
    optimizer: keras.optimizers.Optimizer
    placement: Placement

    @functools.cached_property
    def _train(self) -> Callable[..., tf.Tensor]:
        return training_pass(self.task, self.settings, self.optimizer, self.placement)

    @functools.cached_property
    def _validate(self) -> Callable[[], tf.Tensor]:
        return validation_pass(self.task)

    def run(self, number: int, begun: Begun, save: Callable[[Begun], None]) -> Epoch:
        """Train from where the epoch was left, and validate; `save` is called with where it is now and then."""
        started = time.monotonic() - begun.seconds
        rows, batch = len(self.task.train), self.settings.batch
        feed = self.task.train.feed(batch, Shuffle(self.settings.seed, number), start=begun.rows)
        at_once = max(1, SAVED_ROWS // batch) * batch
        while begun.rows < rows:
            stop = min(begun.rows + at_once, rows)
            total = self._train(feed, tf.constant(begun.rows), tf.constant(stop), tf.constant(begun.loss, tf.float32))
            begun = Begun(stop, float(total), time.monotonic() - started)
            if stop < rows:
                save(begun)
        return self._ended(number, begun.loss, started)

    def _ended(self, number: int, total: float, started: float) -> Epoch:
        validation = self.task.validation
        sums: Any = self._validate().numpy()
        sums = self.placement.added(sums) if validation.workers > 1 else sums
        means = np.append(np.float32(total) / np.float32(len(self.task.train)), sums / np.float32(len(validation)))
        # All workers have to stop at the same epoch, whatever the last bits of their own figures are.
        loss, val_loss, *metrics = map(float, self.placement.from_chief(means.astype(np.float64)))
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            raise BadInput(
                "training diverged",
                where=f"{self.task.name}, epoch {number}",
                wanted="a finite loss",
                got=f"{loss} on train, {val_loss} on validation",
                hint="lower optimizer.learning_rate, or set optimizer.clip_norm",
            )
        named = dict(zip(self.task.metrics, metrics, strict=True))
        # Of constant rates, there is one per replica.
        rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        return Epoch(number, loss, val_loss, named, rate, time.monotonic() - started)


def _watchers(total: int, log_folder: str, before: Sequence[Epoch]) -> tuple[Callable[[Epoch], None], ...]:
    scalars = TensorBoardScalars(log_folder)
    for epoch in before:
        scalars(epoch)  # the log of the process that was interrupted lies in a folder of its own, or is gone
    return ProgressLines(total, len(before)), scalars


def _restored(checkpoint: Checkpoint, placement: Placement, variables: Sequence[Any]) -> Snapshot | None:
    snapshot = Snapshot.from_bytes(placement.bytes_from_chief(checkpoint.content()))
    if snapshot is None or not snapshot.fits([tuple(variable.shape) for variable in variables]):
        return None
    return snapshot


def _untrained(model: keras.Model) -> Snapshot:
    return Snapshot(epochs=(), variables=(), kernels=kernels.with_kernel({}, model, 0))


def _advanced(
    before: Snapshot, epoch: Epoch, variables: Sequence[Any], model_variables: int, *, keep_best: bool
) -> Snapshot:
    epochs = (*before.epochs, epoch)
    arrays = _arrays(variables)
    best: Arrays = ()
    if keep_best:
        best = arrays[:model_variables] if _best(epochs) is epoch else before.best
    return Snapshot(epochs, arrays, best, before.kernels)


def _save_within(
    checkpoint: Checkpoint, placement: Placement, before: Snapshot, variables: Sequence[Any], begun: Begun
) -> None:
    if placement.is_chief:
        checkpoint.save(dataclasses.replace(before, variables=_arrays(variables), begun=begun))


def _arrays(variables: Sequence[Any]) -> Arrays:
    return tuple(keras.ops.convert_to_numpy(variable).copy() for variable in variables)


def _assign(variables: Sequence[Any], arrays: Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _best(epochs: Sequence[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.val_loss)


def _is_stale(epochs: Sequence[Epoch], patience: int | None) -> bool:
    return bool(patience and epochs and epochs[-1].number - _best(epochs).number >= patience)
