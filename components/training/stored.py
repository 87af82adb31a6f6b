"""Batches of rows that do not fit into memory, read from a file, some of them ahead of their use.

The file is the cache: transformed once, read by every epoch. It lies in $TMPDIR and has no name, so that it is gone with
its process. Batches come in the order asked for, so that a training is the same as from memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

IN_MEMORY_BYTES: Final = 4 << 30
"""What a split may take as tensors: 1.4 million images of 28x28."""


def store(batches: Iterable[Sequence[tf.Tensor]]) -> tuple[npt.NDArray[np.float32], ...]:
    """Write batches float32 [n, ...] to disk, as they come, and return them joined as arrays that are read from there.

    Args:
      batches: of as many tensors each as arrays are wanted; at least one.
    """
    files: list[IO[bytes]] = []
    shapes: list[tuple[int, ...]] = []
    rows = 0
    for batch in batches:
        if not files:
            files = [tempfile.TemporaryFile() for _ in batch]  # noqa: SIM115  # the arrays keep them
            shapes = [tuple(tensor.shape[1:]) for tensor in batch]
        for file, tensor in zip(files, batch, strict=True):
            file.write(np.asarray(tensor, np.float32).tobytes())
        rows += len(batch[0])
    for file in files:
        file.flush()
    return tuple(
        np.memmap(file, np.float32, "r", shape=(rows, *shape)) for file, shape in zip(files, shapes, strict=True)
    )


def is_stored(rows: tf.Tensor | npt.NDArray[np.float32]) -> bool:
    """Return whether rows are read from disk."""
    return isinstance(rows, np.ndarray)


def in_order(arrays: Sequence[npt.NDArray[np.float32]], order: tf.Tensor, batch: int) -> tf.data.Dataset:
    """Return the rows of `arrays` with the numbers in `order`, int32 [N], by `batch`, read ahead."""

    def read(numbers: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.float32], ...]:
        return tuple(np.asarray(array[numbers]) for array in arrays)

    def rows_of(numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = tf.numpy_function(read, [numbers], [tf.float32] * len(arrays), stateful=False)
        return tuple(tf.ensure_shape(r, [None, *a.shape[1:]]) for r, a in zip(rows, arrays, strict=True))

    numbers = tf.data.Dataset.from_tensor_slices(order).batch(batch)
    return numbers.map(rows_of, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
