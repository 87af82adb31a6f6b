"""Rows that do not fit into memory: files that are written once and read by every epoch, window by window.

The files lie in $TMPDIR and have no name, so that they are gone with their process. Rows have a fixed length there, so
that a training can be taken up at any of them. The order of an epoch follows from seed and number of the epoch alone:
blocks of neighbouring rows are shuffled, so many of them as fill a window are read, and the rows of a window are shuffled.
ExampleGen has written them in the order of their digests, so that neighbours have nothing in common in the first place.

Of several workers, each has the rows whose number leaves its own as the remainder, and of each batch as many as come to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from typing_extensions import Self

from components import disk
from components.errors import BadInput, EnvironmentProblem
from components.progress import Count
from components.training.task import INFERENCE_BATCH, Batch, Feed, Prepare, Shuffle, as_kept, composed

WINDOW_BYTES: Final = 16 << 20
"""Read and shuffled at once: 21,000 raw images of 28x28, or 5,300 of them as float32. A few windows are in memory."""

BLOCK_BYTES: Final = 1 << 18
"""Read in one go; the smaller, the more of a window's rows come from far apart."""

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Column:
    """One array [n, ...] in a file, row after row."""

    file: IO[bytes]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape)

    def read_into(self, rows: npt.NDArray[Any], first: int) -> None:
        """Fill `rows` with those from number `first` on."""
        # Not by a memory map: its pages would count as this process's memory.
        target = rows.reshape(-1).view(np.uint8).data
        offset = first * self.row_bytes
        while len(target):
            count = os.preadv(self.file.fileno(), [target], offset)
            if not count:
                raise EnvironmentProblem("rows of this training are gone", where=tempfile.gettempdir())
            target, offset = target[count:], offset + count


@dataclass(frozen=True)
class Part:
    """Rows of one split: a column of inputs and one of targets.

    Attributes:
      columns: of `rows` rows each.
      rows: those of this process.
    """

    columns: tuple[Column, ...]
    rows: int

    def read(self, blocks: Sequence[tuple[int, int]]) -> Arrays:
        """Return the rows of all blocks (first, stop), joined in this order."""
        count = sum(stop - first for first, stop in blocks)
        arrays = tuple(np.empty((count, *column.shape), column.dtype) for column in self.columns)
        at = 0
        for first, stop in blocks:
            for column, array in zip(self.columns, arrays, strict=True):
                column.read_into(array[at : at + stop - first], first)
            at += stop - first
        return arrays


def store(batches: Iterable[Sequence[tf.Tensor]]) -> Part:
    """Write batches [n, ...] of as many columns each to files, as they come.

    Raises:
      EnvironmentProblem: when there is no room for them.
    """
    columns: tuple[Column, ...] = ()
    rows = 0
    try:
        for batch in batches:
            columns = columns or tuple(_column(tensor) for tensor in batch)
            for column, tensor in zip(columns, batch, strict=True):
                column.file.write(np.ascontiguousarray(tensor).data)
            rows += len(batch[0])
        for column in columns:
            column.file.flush()
    except OSError as err:
        for column in columns:
            with contextlib.suppress(OSError):  # it still has to write what it could not
                column.file.close()
        raise disk.problem(err, "cannot be written", where=tempfile.gettempdir()) from err
    return Part(columns, rows)


def _column(tensor: tf.Tensor) -> Column:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the column keeps it
    return Column(file, np.dtype(tensor.dtype.as_numpy_dtype), tuple(tensor.shape[1:]))


@dataclass(frozen=True)
class StoredPairs:
    """Pairs in files.

    Attributes:
      parts: one split after the other, this process's rows of each.
      rows: of all processes.
      prepare: of them, what the model is given and shall give.
      worker: number of this process.
      workers: how many processes share the rows.
      window_bytes: what is read and shuffled at once.
    """

    parts: tuple[Part, ...]
    rows: int
    prepare: Prepare = as_kept
    worker: int = 0
    workers: int = 1
    window_bytes: int = WINDOW_BYTES

    def __len__(self) -> int:
        return self.rows

    def feed(self, batch: int, shuffle: Shuffle | None = None, *, start: int = 0) -> Feed:
        """Return an iterator over what is kept of the batches from row `start` of the order on.

        Raises:
          BadInput: when there are fewer rows in a batch than workers.
        """
        if batch < self.workers:
            raise BadInput("fewer rows than workers", where="batch", wanted=f"at least {self.workers}", got=batch)
        order = _Order(self.parts, self.window_bytes, shuffle)
        # Whether the last batch leaves this worker without a row, which some kernels cannot do without.
        is_padded = self._before(self.rows) == self._before((self.rows - 1) // batch * batch)
        windows = order.windows(self._before(start), is_padded=is_padded)
        sizes = [self._before(p + batch) - self._before(p) for p in range(start, start + self.workers * batch, batch)]
        dataset = tf.data.Dataset.range(windows.count).map(_reader(windows.read, self.parts[0]))
        return iter(dataset.rebatch(sizes if self.workers > 1 else batch).prefetch(2))

    def _before(self, position: int) -> int:
        """Return how many of the first `position` rows of an order are this worker's."""
        return (position - self.worker + self.workers - 1) // self.workers

    def next_batch(self, feed: Feed, start: tf.Tensor, batch: int) -> Batch:
        """Return this worker's rows of the batch that begins at row `start` of the order."""
        inputs, targets = self.prepare(*next(feed))
        if self.workers == 1:
            rows = tf.shape(inputs)[0]
            return Batch(inputs, targets, rows, rows)
        stop = tf.minimum(start + batch, self.rows)
        before, until = ((at - self.worker + self.workers - 1) // self.workers for at in (start, stop))
        return Batch(inputs, targets, stop - start, until - before)

    def own(self) -> StoredPairs:
        """Return the rows that this process has, as if there were no others."""
        return dataclasses.replace(self, rows=sum(part.rows for part in self.parts), worker=0, workers=1)

    def map(self, function: Prepare) -> Self:
        """Return the same rows with `function` applied to each batch, whenever it is read."""
        return dataclasses.replace(self, prepare=composed(self.prepare, function))

    def materialised(self) -> Self:
        """Return the same rows, prepared once and written to files of their own."""
        prepare = tf.function(self.prepare, autograph=False, reduce_retracing=True)
        count = Count("rows prepared", sum(part.rows for part in self.parts))

        def prepared(part: Part) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
            for start in range(0, part.rows, INFERENCE_BATCH):
                stop = min(start + INFERENCE_BATCH, part.rows)
                yield prepare(*map(tf.convert_to_tensor, part.read([(start, stop)])))
                count.add(stop - start)

        parts = tuple(store(prepared(part)) for part in self.parts)
        return dataclasses.replace(self, parts=parts, prepare=as_kept)

    def followed_by(self, other: Self) -> Self:
        """Return these rows and then those of `other`."""
        return dataclasses.replace(self, parts=(*self.parts, *other.parts), rows=self.rows + other.rows)


@dataclass(frozen=True)
class _Windows:
    """What is read one after the other.

    Attributes:
      count: of windows.
      read: the number of one -> its rows.
    """

    count: int
    read: Callable[[int], Arrays]


@dataclass(frozen=True)
class _Order:
    """The order of one pass over the rows of some parts."""

    parts: tuple[Part, ...]
    window_bytes: int
    shuffle: Shuffle | None

    def windows(self, start: int, *, is_padded: bool) -> _Windows:
        """Return the windows from row `start` of the order on; with `is_padded`, any row once more at the end."""
        ends = self._ends
        first = int(np.searchsorted(ends, start, side="right"))
        skipped = start - (int(ends[first - 1]) if first else 0)

        def read(number: int) -> Arrays:
            if first + number == len(ends):
                return self.parts[0].read([(0, 1)])
            rows = self._read(first + number)
            return rows if number or not skipped else tuple(array[skipped:] for array in rows)

        return _Windows(len(ends) - first + is_padded, read)

    @cached_property
    def _block_rows(self) -> int:
        # At most a sixteenth of a window, whatever its size.
        wanted = min(BLOCK_BYTES, self.window_bytes // 16)
        return max(1, wanted // sum(column.row_bytes for column in self.parts[0].columns))

    @cached_property
    def _blocks(self) -> npt.NDArray[np.int64]:
        """Of every block, in order: part, first row, and the row where it ends; [N, 3]."""
        starts = [np.arange(0, part.rows, self._block_rows) for part in self.parts]
        blocks: npt.NDArray[np.int64] = np.concatenate(
            [
                np.stack([np.full_like(begins, n), begins, np.minimum(begins + self._block_rows, part.rows)], axis=1)
                for n, (begins, part) in enumerate(zip(starts, self.parts, strict=True))
            ]
        )
        if self.shuffle is not None:
            np.random.default_rng(self.shuffle).shuffle(blocks)
        return blocks

    @property
    def _window_blocks(self) -> int:
        row_bytes = sum(column.row_bytes for column in self.parts[0].columns)
        return max(1, self.window_bytes // (row_bytes * self._block_rows))

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        """Row of the order at which each window ends."""
        ends = np.cumsum(self._blocks[:, 2] - self._blocks[:, 1])
        last = np.arange(self._window_blocks, len(ends) + self._window_blocks, self._window_blocks)
        of_windows: npt.NDArray[np.int64] = ends[np.minimum(last, len(ends)) - 1]
        return of_windows

    def _read(self, window: int) -> Arrays:
        blocks = self._blocks[window * self._window_blocks : (window + 1) * self._window_blocks]
        read = [
            part.read([(int(first), int(stop)) for _, first, stop in blocks[blocks[:, 0] == number]])
            for number, part in enumerate(self.parts)
        ]
        rows = tuple(np.concatenate(arrays) if len(read) > 1 else arrays[0] for arrays in zip(*read, strict=True))
        if self.shuffle is None:
            return rows
        order = np.random.default_rng((*self.shuffle, window)).permutation(len(rows[0]))
        return tuple(array[order] for array in rows)


def _reader(read: Callable[[int], Arrays], part: Part) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    def rows_of(window: tf.Tensor) -> tuple[tf.Tensor, ...]:
        types = [tf.as_dtype(column.dtype) for column in part.columns]
        rows = tf.numpy_function(lambda number: read(int(number)), [window], types, stateful=False)
        return tuple(tf.ensure_shape(r, [None, *c.shape]) for r, c in zip(rows, part.columns, strict=True))

    return rows_of
