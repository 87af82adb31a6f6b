"""Epochs -> JSON lines for the runner's bar, and scalars for TensorBoard."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from components.training.process import PROGRESS_FD


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
      number: 1 for the first.
      loss: mean over the training rows, as they were when their batch was reached.
      val_loss: mean over the validation rows, after the epoch.
      metrics: further means over the validation rows, by name.
      learning_rate: after the epoch's last step.
      seconds: of wall time.
    """

    number: int
    loss: float
    val_loss: float
    metrics: dict[str, float]
    learning_rate: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return asdict(self)


class ProgressLines:
    """Writes one JSON line per epoch to the descriptor in $MNIST_TFX_PROGRESS_FD; without it, nothing."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._descriptor = int(os.environ.get(PROGRESS_FD, "-1"))

    def __call__(self, epoch: Epoch) -> None:
        """Reports `epoch` as the latest of the total."""
        if self._descriptor < 0:
            return
        line = {"stage": "epoch", "done": epoch.number, "total": self._total}
        line |= {"loss": epoch.loss, "val_loss": epoch.val_loss, **epoch.metrics}
        try:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        except OSError:
            # Nobody is watching any more; the training is worth finishing all the same.
            self._descriptor = -1


class TensorBoardScalars:
    """Writes the numbers of each epoch as TensorBoard scalars below `folder`."""

    def __init__(self, folder: str) -> None:
        self._writer = tf.summary.create_file_writer(folder)

    def __call__(self, epoch: Epoch) -> None:
        """Writes `epoch` at its number as the step."""
        scalars = {"loss": epoch.loss, "val_loss": epoch.val_loss, "learning_rate": epoch.learning_rate}
        with self._writer.as_default(step=epoch.number):
            for name, value in (scalars | epoch.metrics).items():
                tf.summary.scalar(name, value)
        self._writer.flush()
