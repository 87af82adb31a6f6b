"""Training input: every row of a split once, through the transform graph, in large batches.

MNIST is trained on from memory (54,000 rows are 170 MB as float32), so there is no input pipeline beyond this: one pass
of two seconds instead of one per epoch. What does not fit goes through a file (see `stored`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from components.errors import BadInput
from components.features import IMAGE, IMAGE_XF, LABEL, LABEL_XF
from components.progress import Count
from components.settings import DataSettings
from components.training import stored

PARSE_BATCH = 4096
"""Serialised Examples per parse and per call of the transform graph; smaller ones are slower, larger ones no faster."""


@dataclass(frozen=True)
class Rows:
    """One split, transformed.

    Attributes:
      images: float32 [N, pixels].
      labels: float32 [N, label_count], one-hot.

    Both are tensors, or arrays that are read from disk.
    """

    images: tf.Tensor
    labels: tf.Tensor

    def __len__(self) -> int:
        return int(self.images.shape[0])


@dataclass(frozen=True)
class TransformGraph:
    """A transform graph as Transform left it, loaded by TensorFlow alone.

    Attributes:
      saved_model: the loaded graph; who embeds `apply` has to keep it, for it owns what the graph captures.
    """

    saved_model: tf.Module

    @classmethod
    def load(cls, artifact: str) -> TransformGraph:
        """Load the graph from a TransformGraph artifact's directory."""
        return cls(tf.saved_model.load(f"{artifact}/transform_fn"))

    def apply(self, images: tf.Tensor, labels: tf.Tensor) -> Rows:
        """Transform raw `images` int64 [N, pixels] and `labels` int64 [N, 1]."""
        outputs = self.saved_model.transform_fn({IMAGE: images, LABEL: labels})
        return Rows(outputs[IMAGE_XF], outputs[LABEL_XF])

    def scale(self, images: tf.Tensor) -> tf.Tensor:
        """Transform raw `images` int64 [N, pixels] alone into float32 [N, pixels]."""
        # The graph's signature wants a label. The image never depends on it, so the optimiser prunes it from what is
        # served; tensorflow_transform's own layer stands in for missing features in the same way.
        return self.apply(images, tf.zeros([tf.shape(images)[0], 1], tf.int64)).images


def read_rows(
    patterns: Sequence[str], transform: TransformGraph, data: DataSettings, *, in_memory: int = stored.IN_MEMORY_BYTES
) -> Rows:
    """Read all shards of a split.

    Args:
      patterns: of TFRecord files, uncompressed, as TFX's `FnArgs` names them.
      transform: applied to each batch.
      data: gives the fixed lengths to parse with.
      in_memory: bytes above which the rows stay on disk.

    Returns:
      The rows in the order of the shards' names and of the records in them.

    Raises:
      BadInput: when there are no rows.
    """
    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    dataset = (
        tf.data.TFRecordDataset(files)
        .batch(PARSE_BATCH)
        .map(_parse_and_transform(transform, data), num_parallel_calls=tf.data.AUTOTUNE)
    )
    # A pixel takes at least one byte in an Example, and four as float32.
    fits = 4 * sum(tf.io.gfile.stat(file).length for file in files) <= in_memory
    batches = list(_counted(dataset)) if fits else stored.store(_counted(dataset))
    if not batches:
        raise BadInput("the split has no rows", where=", ".join(patterns), hint="see data.split in the recipe")
    if not fits:
        return Rows(*batches)
    images, labels = zip(*batches, strict=True)
    return Rows(tf.concat(images, axis=0), tf.concat(labels, axis=0))


def _counted(batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    count = Count("rows read")
    for images, labels in batches:
        count.add(len(labels))
        yield images, labels


def _parse_and_transform(
    transform: TransformGraph, data: DataSettings
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    features = {
        IMAGE: tf.io.FixedLenFeature([data.pixels], tf.int64),
        LABEL: tf.io.FixedLenFeature([1], tf.int64),
    }

    def parse_and_transform(serialised: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.io.parse_example(serialised, features)
        rows = transform.apply(raw[IMAGE], raw[LABEL])
        return rows.images, rows.labels

    return parse_and_transform
