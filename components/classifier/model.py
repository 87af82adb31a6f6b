"""The classifier's network, for reconstructions or scaled images, and the meaning of its outputs."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

from components.classifier.augmentation import RandomMoves
from components.settings import ClassifierSettings, Convolution, DataSettings
from components.training.own_network import build_network

LEAST: float = 1e-6
"""Smallest probability that outputs of `tanh` are taken for, and any of them may be below zero."""


def build_classifier(settings: ClassifierSettings, data: DataSettings) -> keras.Sequential:
    """Build the network: image_xf [N, pixels] -> outputs [N, label_count], see `probabilities`.

    Noise, dropout and augmentation, where the settings have them, act while training alone. Softmax is applied where
    probabilities are wanted: the loss is more exact, and cheaper, on logits.

    Raises:
      BadInput: if the settings name a function that does not build such a network.
    """
    if settings.build is not None:
        disturbance, logits = _disturbance(settings, data), settings.output_activation == "softmax"
        return build_network("classifier", settings, data, outputs=data.label_count, before=disturbance, logits=logits)
    output = "linear" if settings.output_activation == "softmax" else settings.output_activation
    layers = [*_disturbance(settings, data), *_convolutions(settings, data), *_dense(settings)]
    return keras.Sequential([keras.Input((data.pixels,)), *layers, keras.layers.Dense(data.label_count, output)])


def probabilities(settings: ClassifierSettings, outputs: tf.Tensor) -> tf.Tensor:
    """Return the probabilities float32 [N, label_count] that a network's outputs stand for.

    What is fitted to one-hot labels by least squares estimates their probabilities, but is not bound to be one: so it
    is cut off at `LEAST` and divided by its sum.
    """
    if settings.output_activation == "softmax":
        return tf.nn.softmax(outputs)
    positive = tf.maximum(outputs, LEAST)
    return positive / tf.reduce_sum(positive, axis=1, keepdims=True)


def _disturbance(settings: ClassifierSettings, data: DataSettings) -> Iterator[keras.layers.Layer]:
    if settings.augmentation is not None:
        yield RandomMoves(settings.augmentation, data.shape, seed=settings.seed)
    if settings.noise:
        yield keras.layers.GaussianNoise(settings.noise, seed=settings.seed)


def _convolutions(settings: ClassifierSettings, data: DataSettings) -> Iterator[keras.layers.Layer]:
    if not settings.convolutions:
        return
    yield keras.layers.Reshape((*data.shape, 1))
    for depth, convolution in enumerate(settings.convolutions, start=1):
        yield _convolution(convolution, settings)
        if convolution.pool > 1:
            yield keras.layers.MaxPooling2D(convolution.pool)
        if convolution.dropout:
            yield keras.layers.Dropout(convolution.dropout, seed=settings.seed + 100 + depth)
    yield keras.layers.Flatten()


def _convolution(wanted: Convolution, settings: ClassifierSettings) -> keras.layers.Layer:
    activation = wanted.activation or settings.activation
    return keras.layers.Conv2D(wanted.filters, wanted.kernel, padding=wanted.padding, activation=activation)


def _dense(settings: ClassifierSettings) -> Iterator[keras.layers.Layer]:
    for depth, width in enumerate(settings.layers, start=1):
        yield keras.layers.Dense(width, settings.activation)
        if settings.dropout:
            yield keras.layers.Dropout(settings.dropout, seed=settings.seed + depth)
