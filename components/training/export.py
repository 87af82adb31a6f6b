"""Trained Keras layers -> plain TensorFlow ops on frozen variables, and SavedModels made of them.

A SavedModel of Keras layers takes about twice as long to write and to load, which the check and the evaluation would
pay for too. What is written here needs neither Keras nor any code of this project to be loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf


class DenseStack(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """The dense layers of a trained network, one after the other; layers of training alone are left out.

    Attributes:
      kernels: float32 [inputs, units] of each layer.
      biases: float32 [units] of each layer.
    """

    def __init__(self, layers: Iterable[keras.layers.Layer]) -> None:
        super().__init__()
        dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
        self._activations = [layer.activation for layer in dense]
        self.kernels = [_frozen(layer.kernel) for layer in dense]
        self.biases = [_frozen(layer.bias) for layer in dense]

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the last layer's outputs float32 [N, units] for `rows` float32 [N, inputs]."""
        for kernel, bias, activation in zip(self.kernels, self.biases, self._activations, strict=True):
            rows = activation(tf.matmul(rows, kernel) + bias)
        return rows


def save(module: tf.Module, folder: str, signatures: Mapping[str, Callable[..., tf.Tensor]]) -> None:
    """Writes `module` with `signatures`, each a `tf.function` with an input signature."""
    tf.saved_model.save(module, folder, signatures=dict(signatures))


def _frozen(weight: keras.Variable) -> tf.Variable:
    return tf.Variable(keras.ops.convert_to_numpy(weight), trainable=False)
