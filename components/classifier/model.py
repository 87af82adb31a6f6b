"""`ClassifierSettings` -> the network to train on reconstructions."""

from __future__ import annotations

import keras

from components.settings import ClassifierSettings


def build_classifier(settings: ClassifierSettings, pixels: int, label_count: int) -> keras.Sequential:
    """Builds the dense network: image_xf [N, pixels] -> logits [N, label_count].

    Noise and dropout, where the settings have them, act while training alone. Softmax is applied where probabilities
    are wanted: the loss is more exact, and cheaper, on logits.
    """
    layers: list[keras.layers.Layer] = []
    if settings.noise:
        layers.append(keras.layers.GaussianNoise(settings.noise, seed=settings.seed))
    for depth, width in enumerate(settings.layers, start=1):
        layers.append(keras.layers.Dense(width, settings.activation))
        if settings.dropout:
            layers.append(keras.layers.Dropout(settings.dropout, seed=settings.seed + depth))
    return keras.Sequential([keras.Input((pixels,)), *layers, keras.layers.Dense(label_count)])
