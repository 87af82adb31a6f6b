"""The loss that the classifier minimises, and whether a row is right; one value per row."""

from __future__ import annotations

import keras
import tensorflow as tf

from components.classifier.model import probabilities
from components.settings import ClassifierSettings
from components.training.task import PerRow

CLIPPED = (1e-10, 0.9999999)
"""Where `clipped_crossentropy` cuts probabilities off: beyond, it neither grows nor teaches."""


def build_loss(settings: ClassifierSettings) -> PerRow:
    """Return the loss of one-hot labels float32 [N, label_count] and a network's outputs of the same shape."""
    if settings.loss == "clipped_crossentropy":
        return _clipped_crossentropy
    if settings.loss == "mse":
        squared = keras.losses.MeanSquaredError(reduction=None)
        is_tanh = settings.output_activation == "tanh"
        return squared if is_tanh else lambda labels, outputs: squared(labels, probabilities(settings, outputs))
    loss: PerRow = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=settings.label_smoothing, reduction=None
    )
    return loss


def is_right(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return 1.0 where the largest output is the label's, else 0.0."""
    return tf.cast(tf.argmax(outputs, axis=1) == tf.argmax(labels, axis=1), tf.float32)


def _clipped_crossentropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    given = tf.clip_by_value(tf.nn.softmax(logits), *CLIPPED)
    likelihood = labels * tf.math.log(given) + (1 - labels) * tf.math.log(1 - given)
    return -tf.reduce_sum(likelihood, axis=1)
