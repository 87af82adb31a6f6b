"""Training input: the rows of both splits, read once as they were ingested, and the transform graph for their batches.

A row is kept with a byte to a pixel and is scaled in the graph of each step, which takes a quarter of the memory of scaled
rows and gives the same bits. Up to `IN_MEMORY_BYTES` they are in memory (see `resident`), above that in a file (see
`stored`): parsing Examples anew for every epoch takes as long as a sixth of a small network's training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import BadInput
from components.features import IMAGE, IMAGE_XF, LABEL, LABEL_XF
from components.progress import Count
from components.settings import DataSettings
from components.training.placement import Placement
from components.training.resident import ResidentPairs
from components.training.stored import StoredPairs, store
from components.training.task import Pairs, Prepare

PARSE_BATCH = 4096
"""Serialised Examples per parse; smaller ones are slower, larger ones no faster."""

IN_MEMORY_BYTES: Final = 512 << 20
"""What train and validation may take together as float32, to be in memory: 140,000 images of 28x28."""

STORED_BYTES: Final = 4 << 30
"""What they may take, for values that are computed from them once to be written to a file: 1.4 million such images."""


class Transformed(NamedTuple):
    """Rows as the transform graph gives them.

    Attributes:
      images: float32 [N, pixels].
      labels: float32 [N, label_count], one-hot.
    """

    images: tf.Tensor
    labels: tf.Tensor


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

    def apply(self, images: tf.Tensor, labels: tf.Tensor) -> Transformed:
        """Transform raw `images` [N, pixels], of any type, and `labels` int64 [N, 1]."""
        outputs = self.saved_model.transform_fn({IMAGE: tf.cast(images, tf.int64), LABEL: labels})
        return Transformed(outputs[IMAGE_XF], outputs[LABEL_XF])

    def scale(self, images: tf.Tensor) -> tf.Tensor:
        """Transform raw `images` int64 [N, pixels] alone into float32 [N, pixels]."""
        # The graph's signature wants a label. The image never depends on it, so the optimiser prunes it from what is
        # served; tensorflow_transform's own layer stands in for missing features in the same way.
        return self.apply(images, tf.zeros([tf.shape(images)[0], 1], tf.int64)).images

    def prepare(self, data: DataSettings) -> Prepare:
        """Return the function from images uint8 [N, pixels] and labels int64 [N, 1] to what `apply` makes of them.

        Graphs are optimised in more than one way: tf.data multiplies by a reciprocal where a graph of its own divides,
        which is another last bit in half of the pixels. So where all pixels are scaled alike, their 256 values are as
        tf.data has them, on whatever device and by whatever graph: by a factor where one gives them, else by a look-up.
        """
        table = self._by_tf_data(data)
        if table is None:
            return self.apply
        factor = table[1]
        if (table == np.arange(256, dtype=np.float32) * factor).all():
            return lambda images, labels: (tf.cast(images, tf.float32) * factor, self.one_hot(labels, data))
        scaled = tf.constant(table)
        return lambda images, labels: (tf.gather(scaled, tf.cast(images, tf.int32)), self.one_hot(labels, data))

    def _by_tf_data(self, data: DataSettings) -> npt.NDArray[np.float32] | None:
        """Return what tf.data makes of each value of a pixel, float32 [256]; None where pixels differ in it."""

        def of_images(value: tf.Tensor) -> tf.Tensor:
            return self.apply(tf.fill([1, data.pixels], value), tf.zeros([1, 1], tf.int64)).images[0]

        # Converted by autograph, which has nothing to do here, it would take half a second.
        scaled = tf.data.Dataset.range(256).map(tf.autograph.experimental.do_not_convert(of_images))
        values = np.array([[image.min(), image.max()] for image in scaled.as_numpy_iterator()])
        return values[:, 0] if (values[:, 0] == values[:, 1]).all() else None

    def one_hot(self, labels: tf.Tensor, data: DataSettings) -> tf.Tensor:
        """Transform `labels` int64 [N, 1] alone into float32 [N, label_count]."""
        return self.apply(tf.zeros([tf.shape(labels)[0], data.pixels], tf.int64), labels).labels


def read_splits(  # noqa: PLR0913  # two splits, and how much of them may be where
    train: Sequence[str],
    validation: Sequence[str],
    transform: TransformGraph,
    data: DataSettings,
    placement: Placement,
    *,
    in_memory: int = IN_MEMORY_BYTES,
) -> tuple[Pairs, Pairs]:
    """Read all shards of both splits.

    Args:
      train: patterns of TFRecord files, uncompressed, as TFX's `FnArgs` names them.
      validation: likewise.
      transform: is applied to each batch.
      data: gives the fixed lengths to parse with.
      placement: of several workers, each keeps its share of rows that are not in memory.
      in_memory: bytes, see `IN_MEMORY_BYTES`.

    Returns:
      Scaled images and one-hot labels, in the order of the shards' names and of the records in them.

    Raises:
      BadInput: when one of the splits has no rows.
      EnvironmentProblem: when there is no room for rows that do not fit into memory.
    """
    count = Count("rows read")
    splits = [_Split(tuple(patterns), data, count) for patterns in (train, validation)]
    prepare = transform.prepare(data)
    # A pixel takes at least one byte in an Example.
    if 4 * sum(split.bytes for split in splits) <= in_memory:
        first, second = (split.resident() for split in splits)
        return first.map(prepare), second.map(prepare)
    of_train = splits[0].stored(placement)
    # Numbered on from those of train, so that it makes no difference whether both are learned from.
    of_validation = splits[1].stored(placement, before=len(of_train))
    return of_train.map(prepare), of_validation.map(prepare)


def materialised(pairs: Pairs, data: DataSettings) -> Pairs:
    """Return `pairs` with all that they are mapped by computed once, unless it takes more than `STORED_BYTES`."""
    return pairs.materialised() if 4 * data.pixels * len(pairs) <= STORED_BYTES else pairs


@dataclass(frozen=True)
class _Split:
    """The files of one split; rows are images uint8 [n, pixels] and labels int64 [n, 1]."""

    patterns: tuple[str, ...]
    data: DataSettings
    count: Count

    @property
    def files(self) -> list[str]:
        return sorted(name for pattern in self.patterns for name in tf.io.gfile.glob(pattern))

    @property
    def bytes(self) -> int:
        return sum(tf.io.gfile.stat(file).length for file in self.files)

    def resident(self) -> ResidentPairs:
        batches = list(self._batches())
        if not batches:
            raise self._empty()
        images, labels = zip(*batches, strict=True)
        return ResidentPairs.on_device(tf.concat(images, axis=0), tf.concat(labels, axis=0))

    def stored(self, placement: Placement, *, before: int = 0) -> StoredPairs:
        """Return this worker's share of the rows, of which `before` other ones were shared out earlier."""
        workers, worker = placement.workers, placement.worker
        part = store(self._batches(workers, (worker - before) % workers))
        [rows] = placement.added(np.array([part.rows])).tolist()
        if not rows:
            raise self._empty()
        return StoredPairs((part,), rows, worker=worker, workers=workers)

    def _batches(self, shares: int = 1, share: int = 0) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        records = tf.data.TFRecordDataset(self.files)
        records = records.shard(shares, share) if shares > 1 else records
        for images, labels in records.batch(PARSE_BATCH).map(_parser(self.data), num_parallel_calls=tf.data.AUTOTUNE):
            self.count.add(len(labels))
            yield images, labels

    def _empty(self) -> BadInput:
        return BadInput("the split has no rows", where=", ".join(self.patterns), hint="see data.split in the recipe")


def _parser(data: DataSettings) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    features = {
        IMAGE: tf.io.FixedLenFeature([data.pixels], tf.int64),
        LABEL: tf.io.FixedLenFeature([1], tf.int64),
    }

    def parse(serialised: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.io.parse_example(serialised, features)
        return tf.cast(raw[IMAGE], tf.uint8), raw[LABEL]

    return parse
