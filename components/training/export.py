"""Exports of trained Keras layers as plain TensorFlow ops on frozen variables, in SavedModels.

A SavedModel of Keras layers takes about twice as long to write and to load, which the check and the evaluation would
pay for too. What is written here needs neither Keras nor any code of this project to be loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import keras
import tensorflow as tf

from components.savedmodel_fingerprint import drop_uuid

Step: TypeAlias = Callable[[tf.Tensor], tf.Tensor]

WEIGHTED: Final = (keras.layers.Dense, keras.layers.Conv2D)
LAYERS_FILE: Final = "assets.extra/layers.json"
"""In a Model whose layers somebody may want to have back as Keras', what `describe` says of them."""

SHAPING: Final = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.MaxPooling2D)


class FrozenLayers(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """The layers of a trained network, one after the other; layers of training alone are left out.

    Attributes:
      kernels: float32 [inputs, units] of each dense layer, [height, width, channels, filters] of each convolution.
      biases: float32 [units] or [filters], in the same order.
    """

    def __init__(self, layers: Iterable[keras.layers.Layer]) -> None:
        super().__init__()
        used = [layer for layer in layers if isinstance(layer, WEIGHTED + SHAPING)]
        weighted = [layer for layer in used if isinstance(layer, WEIGHTED)]
        self.kernels = [_frozen(layer.kernel) for layer in weighted]
        self.biases = [_frozen(layer.bias) for layer in weighted]
        weights = iter(zip(self.kernels, self.biases, strict=True))
        self._steps = [_weighted(layer, *next(weights)) if layer in weighted else _shaping(layer) for layer in used]

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Return the last layer's outputs float32 [N, units] for `rows` float32 [N, inputs]."""
        for step in self._steps:
            rows = step(rows)
        return rows


def describe(layers: Iterable[keras.layers.Layer]) -> str:
    """Return dense layers without their weights as JSON, in the order in which `FrozenLayers` keeps those."""
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    return json.dumps(
        [{"units": one.units, "activation": keras.activations.serialize(one.activation)} for one in dense]
    )


def rebuild(described: str, frozen: Iterable[FrozenLayers]) -> list[keras.layers.Layer]:
    """Return the layers that `describe` described, with the weights of the stacks that were made of them."""
    stacks = list(frozen)
    weights = [pair for stack in stacks for pair in zip(stack.kernels, stack.biases, strict=True)]
    layers = [keras.layers.Dense(**options) for options in json.loads(described)]
    for layer, (kernel, bias) in zip(layers, weights, strict=True):
        layer.build((None, kernel.shape[0]))
        layer.set_weights([kernel.numpy(), bias.numpy()])
    return layers


def save(module: tf.Module, folder: str, signatures: Mapping[str, Callable[..., tf.Tensor]]) -> None:
    """Write `module` with `signatures`, each a `tf.function` with an input signature."""
    tf.saved_model.save(module, folder, signatures=dict(signatures))
    drop_uuid(Path(folder))


def _frozen(weight: keras.Variable) -> tf.Variable:
    return tf.Variable(keras.ops.convert_to_numpy(weight), trainable=False)


def _weighted(layer: keras.layers.Layer, kernel: tf.Variable, bias: tf.Variable) -> Step:
    activation = layer.activation
    if isinstance(layer, keras.layers.Dense):
        return lambda rows: activation(tf.matmul(rows, kernel) + bias)
    strides, padding = layer.strides, layer.padding.upper()
    return lambda rows: activation(tf.nn.conv2d(rows, kernel, strides, padding) + bias)


def _shaping(layer: keras.layers.Layer) -> Step:
    if isinstance(layer, keras.layers.MaxPooling2D):
        size, strides, padding = layer.pool_size, layer.strides, layer.padding.upper()
        return lambda rows: tf.nn.max_pool2d(rows, size, strides, padding)
    shape = [-1, *layer.output.shape[1:]]
    return lambda rows: tf.reshape(rows, shape)
