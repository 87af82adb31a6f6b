"""What is to be fitted to what: a network, its rows, its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import keras
import tensorflow as tf
from typing_extensions import Self

INFERENCE_BATCH: Final = 8192
"""Rows per step where nothing is learned; bounds the memory for activations."""

PerRow: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(targets [N, ...], outputs [N, ...]) -> float32 [N]."""

Prepare: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""What is kept of some rows -> their inputs float32 [n, ...] and targets float32 [n, ...]; a part of the step's graph."""

Feed: TypeAlias = Any
"""What the graph of a pass is given to read its batches from: an order of rows int64 [N], or batches one by one."""


class Shuffle(NamedTuple):
    """What an order of rows follows from, so that a resumed training goes through them as an uninterrupted one would."""

    seed: int
    epoch: int


class Batch(NamedTuple):
    """One step's rows, as far as they are in this process.

    Attributes:
      inputs: float32 [n, ...], n at least 1.
      targets: float32 [n, ...].
      rows: int32, of the whole batch, wherever they are.
      here: int32, how many of `inputs` count: `rows` where each process has all of a batch.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    rows: tf.Tensor
    here: tf.Tensor


class Pairs(Protocol):
    """Inputs and the targets that a model shall give for them, read batch by batch; see `resident` and `stored`.

    Attributes:
      workers: how many processes share the rows out among them; 1 where each has them all.
    """

    @property
    def workers(self) -> int: ...  # noqa: D102  # see the class

    def __len__(self) -> int:
        """Return the number of rows, those of other processes included."""
        ...

    def feed(self, batch: int, shuffle: Shuffle | None = None, *, start: int = 0) -> Feed:
        """Return what the batches of an epoch are read from.

        Args:
          batch: rows of a step, in all processes.
          shuffle: None for the order in which they were read.
          start: rows of the order that are skipped; a multiple of `batch`.
        """
        ...

    def next_batch(self, feed: Feed, start: tf.Tensor, batch: int) -> Batch:
        """Return the batch that begins at row `start` of the order; part of a graph, called for one after the other."""
        ...

    def own(self) -> Pairs:
        """Return the rows that this process has, as if there were no others."""
        ...

    def map(self, function: Prepare) -> Self:
        """Return the same rows with `function` applied to each batch, whenever it is read."""
        ...

    def materialised(self) -> Self:
        """Return the same rows with all that `map` was given applied, once."""
        ...

    def followed_by(self, other: Self) -> Self:
        """Return these rows and then those of `other`, which was read after them and is mapped alike."""
        ...


@dataclass(frozen=True)
class Task:
    """What is to be fitted to what.

    Attributes:
      name: for messages.
      model: a Keras model; its random layers are seeded by whoever built it, under the scope of its placement.
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


def as_kept(inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what is given: the `Prepare` of rows that need none."""
    return inputs, targets


def composed(first: Prepare, second: Prepare) -> Prepare:
    """Return `second` of what `first` returns."""
    return lambda inputs, targets: second(*first(inputs, targets))
