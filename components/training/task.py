"""What is to be fitted to what: a network, its rows, its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import keras
import tensorflow as tf

PerRow: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(targets [N, ...], outputs [N, ...]) -> float32 [N]."""


@dataclass(frozen=True)
class Pairs:
    """Inputs float32 [N, ...] and the targets float32 [N, ...] that a model shall give for them.

    Both are tensors, or arrays that are read from disk (see `components.training.stored`).
    """

    inputs: tf.Tensor
    targets: tf.Tensor


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
