"""Augmentation: scaled images shifted, turned and zoomed a little by chance, while training alone."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from components.settings import Augmentation


class RandomMoves(keras.layers.Layer):  # type: ignore[misc]  # keras has no annotations
    """Draws one shift, rotation and zoom for every image of a batch, and moves it in one bilinear pass.

    Keras has a layer for each of the three; one after the other they interpolate three times. What comes in from beyond
    the border is 0.
    """

    def __init__(self, settings: Augmentation, shape: tuple[int, int], seed: int) -> None:
        super().__init__()
        # XLA has no ImageProjectiveTransformV3: `components.training.passes` keeps this outside of what it compiles.
        self.supports_jit = False
        self._settings = settings
        self._shape = shape
        # Its state is a variable of the model, and so in every checkpoint.
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, images: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return the moved images float32 [N, pixels]; the images themselves unless `training`."""
        if not training:
            return images
        square = tf.reshape(images, [-1, *self._shape, 1])
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=square,
            transforms=self._transforms(tf.shape(square)[0]),
            output_shape=tf.constant(self._shape),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        return tf.reshape(moved, [-1, math.prod(self._shape)])

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> tuple[int | None, int]:
        """As Keras asks for it: moved images have the shape of those that came in."""
        return input_shape

    def _transforms(self, rows: tf.Tensor) -> tf.Tensor:
        """Return projections float32 [N, 8], which map each pixel of the result to where it comes from."""
        wanted = self._settings
        turn = self._drawn(rows, math.radians(wanted.rotation))
        size = 1.0 + self._drawn(rows, wanted.zoom)
        cosine, sine = tf.cos(turn) / size, tf.sin(turn) / size
        middle_y, middle_x = ((length - 1) / 2 for length in self._shape)
        right = middle_x - cosine * middle_x + sine * middle_y + self._drawn(rows, wanted.shift)
        down = middle_y - sine * middle_x - cosine * middle_y + self._drawn(rows, wanted.shift)
        none = tf.zeros([rows])
        return tf.stack([cosine, -sine, right, sine, cosine, down, none, none], axis=1)

    def _drawn(self, rows: tf.Tensor, largest: float) -> tf.Tensor:
        return keras.random.uniform([rows], -largest, largest, seed=self._seeds)
