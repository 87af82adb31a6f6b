"""Retraining of the network that validation chose, on train and validation together.

Nothing is left to choose by then: the epochs are those that were kept, and the schedule is laid over them. The figures
on validation that are noted along the way are of rows that are learned from.
"""

from __future__ import annotations

import dataclasses

import keras

from components.settings import TrainingSettings
from components.training.checkpoint import Checkpoint
from components.training.fit import Training, fit
from components.training.task import Task

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
    again = dataclasses.replace(
        task, name=f"{task.name}, retrained", model=model, train=task.train.followed_by(task.validation)
    )
    kept = settings.model_copy(update={"epochs": chosen.kept_epoch, "min_steps": 0, "patience": None})
    return fit(again, kept, checkpoint=below(checkpoint), log_folder=f"{log_folder}/{FOLDER}")


def below(checkpoint: Checkpoint) -> Checkpoint:
    """Return the place for the checkpoint of a retraining."""
    return Checkpoint(None if checkpoint.folder is None else checkpoint.folder / FOLDER)
