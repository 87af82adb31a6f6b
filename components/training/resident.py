"""Rows in memory, in full: each epoch goes through one permutation of them all.

They are kept as they were ingested, a byte to a pixel, and scaled in the graph of the step. All that a step reads lies in
the memory of the device: TensorFlow gathers bytes on a GPU from a variable, not from a tensor, and it keeps tensors of
32-bit integers in the host's memory, so that an order of these would be copied batch by batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from typing_extensions import Self

from components.training.task import INFERENCE_BATCH, Batch, Feed, Prepare, Shuffle, as_kept, composed


@dataclass(frozen=True)
class ResidentPairs:
    """Pairs in this process's memory; of several workers, each has them all.

    Attributes:
      inputs: [N, ...], a variable or, for a test, a tensor.
      targets: [N, ...], likewise.
      prepare: of them, what the model is given and shall give; elementwise, or it would depend on the batch.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    prepare: Prepare = as_kept

    @classmethod
    def on_device(cls, inputs: tf.Tensor, targets: tf.Tensor, prepare: Prepare = as_kept) -> Self:
        """Return pairs in the memory of the device that trains."""
        return cls(tf.Variable(inputs, trainable=False), tf.Variable(targets, trainable=False), prepare)

    @property
    def workers(self) -> int:
        """One, as far as it matters here."""
        return 1

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def feed(self, batch: int, shuffle: Shuffle | None = None, *, start: int = 0) -> Feed:
        """Return the numbers of all rows in order, int64 [N], whatever the batch and the start."""
        del batch, start
        if shuffle is None:
            return tf.range(len(self), dtype=tf.int64)
        return tf.constant(np.random.default_rng(shuffle).permutation(len(self)), tf.int64)

    def next_batch(self, feed: Feed, start: tf.Tensor, batch: int) -> Batch:
        """Return the batch that begins at row `start` of the order."""
        # Gathered before they are shared out, so that a replica is sent a batch and not the whole split.
        numbers = feed[start : start + batch]
        inputs, targets = self.prepare(tf.gather(self.inputs, numbers), tf.gather(self.targets, numbers))
        rows = tf.shape(inputs)[0]
        return Batch(inputs, targets, rows, rows)

    def own(self) -> Self:
        """Return all rows: there are no others."""
        return self

    def map(self, function: Prepare) -> Self:
        """Return the same rows with `function` applied to each batch."""
        return dataclasses.replace(self, prepare=composed(self.prepare, function))

    def materialised(self) -> Self:
        """Return the same rows, prepared once, `INFERENCE_BATCH` at a time."""
        columns: list[tf.Variable] = []
        start = 0
        for batch in self._prepared():
            # Into variables of the full size: joining a list of batches would take twice the memory.
            columns = columns or [tf.Variable(tf.zeros([len(self), *one.shape[1:]], one.dtype)) for one in batch]
            stop = start + len(batch[0])
            for column, values in zip(columns, batch, strict=True):
                column[start:stop].assign(values)
            start = stop
        return dataclasses.replace(self, inputs=columns[0], targets=columns[1], prepare=as_kept)

    def _prepared(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        prepare = tf.function(self.prepare, autograph=False, reduce_retracing=True)
        for start in range(0, len(self), INFERENCE_BATCH):
            rows = slice(start, start + INFERENCE_BATCH)
            yield prepare(self.inputs[rows], self.targets[rows])

    def followed_by(self, other: Self) -> Self:
        """Return these rows and then those of `other`."""
        inputs, targets = ((self.inputs, other.inputs), (self.targets, other.targets))
        return self.on_device(tf.concat(inputs, axis=0), tf.concat(targets, axis=0), self.prepare)
