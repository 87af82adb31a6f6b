"""Retraining of the network that validation chose, on train and validation together.

Nothing is left to choose by then: the epochs are those that were kept, and the schedule is laid over them. The figures
on validation that are noted along the way are of rows that are learned from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf

from components.settings import TrainingSettings
from components.training import stored
from components.training.checkpoint import Checkpoint
from components.training.fit import Training, fit
from components.training.passes import INFERENCE_BATCH
from components.training.task import Pairs, Task

FOLDER = "retrained"
"""Below those of checkpoint and log."""


def retrain(  # noqa: PLR0913  # what `fit` needs, and what the choice was made of
    task: Task,
    model: keras.Model,
    chosen: Training,
    settings: TrainingSettings,
    *,
    checkpoint: Checkpoint,
    log_folder: str,
) -> Training:
    """Train `model` in place.

    Args:
      task: what the choice was made for.
      model: the network again, its weights as they were at the start.
      chosen: how the training went that the choice was made in; it is not to be repeated, so its checkpoint stays
        until this one is over as well.
      settings: those of the choice.
      checkpoint: of the choice; this training's own lies below it.
      log_folder: the same.
    """
    again = dataclasses.replace(task, name=f"{task.name}, retrained", model=model, train=_together(task))
    kept = settings.model_copy(update={"epochs": chosen.kept_epoch, "min_steps": 0, "patience": None})
    return fit(again, kept, checkpoint=below(checkpoint), log_folder=f"{log_folder}/{FOLDER}")


def _together(task: Task) -> Pairs:
    parts = (task.train, task.validation)
    if any(stored.is_stored(part.inputs) for part in parts):
        return Pairs(*stored.store(_batches(parts)))
    return Pairs(
        tf.concat([part.inputs for part in parts], axis=0), tf.concat([part.targets for part in parts], axis=0)
    )


def _batches(parts: Iterable[Pairs]) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    for part in parts:
        for start in range(0, len(part.inputs), INFERENCE_BATCH):
            rows = slice(start, start + INFERENCE_BATCH)
            yield part.inputs[rows], part.targets[rows]


def below(checkpoint: Checkpoint) -> Checkpoint:
    """Return the place for the checkpoint of a retraining."""
    return Checkpoint(None if checkpoint.folder is None else checkpoint.folder / FOLDER)
