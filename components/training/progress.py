"""Progress of a training: JSON lines for the runner's bar, and scalars for TensorBoard."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import tensorflow as tf

from components.progress import report

EVENTS: Final = "events.out.tfevents.training"
"""Name of the log; TensorBoard takes every file with `tfevents` in its name for one."""


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
        """Return the fields as JSON values."""
        return asdict(self)


class ProgressLines:
    """Reports each epoch; the first time before there is one, so that what takes long has a name."""

    def __init__(self, total: int, done: int = 0) -> None:
        self._total = total
        report("epoch", done, total)

    def __call__(self, epoch: Epoch) -> None:
        """Report `epoch` as the latest of the total."""
        report("epoch", epoch.number, self._total, loss=epoch.loss, val_loss=epoch.val_loss, **epoch.metrics)


class TensorBoardScalars:
    """Writes the numbers of each epoch as TensorBoard scalars to `EVENTS` below `folder`, in place of what was there.

    A file writer of TensorFlow's would put time, host and process id into the name. The log is part of an artifact: a
    training that is repeated into the same folder of a bucket would then leave a file there that no record knows.
    """

    def __init__(self, folder: str) -> None:
        tf.io.gfile.makedirs(folder)
        self._writer = tf.io.TFRecordWriter(f"{folder}/{EVENTS}")
        self._write(file_version="brain.Event:2")  # TensorBoard's loader wants it first

    def __call__(self, epoch: Epoch) -> None:
        """Write `epoch` at its number as the step."""
        scalars = {"loss": epoch.loss, "val_loss": epoch.val_loss, "learning_rate": epoch.learning_rate}
        for name, value in (scalars | epoch.metrics).items():
            summary = tf.compat.v1.Summary()
            entry = summary.value.add(tag=name, tensor=tf.make_tensor_proto(value, tf.float32))
            entry.metadata.plugin_data.plugin_name = "scalars"  # what tf.summary.scalar writes
            self._write(step=epoch.number, summary=summary)
        self._writer.flush()

    def _write(self, **fields: Any) -> None:
        self._writer.write(tf.compat.v1.Event(wall_time=time.time(), **fields).SerializeToString())
