"""A split's row index on disk, read row by row: `row_index/<split>.npy`, whose rows are sorted by row digest.

A million rows are 72 MB, and most questions concern a few of them: a digest of pixels and label is found by bisection,
and what has to look at each row reads a block at a time. Nothing here needs NumPy, whose import takes as long as an
answer. The format is https://numpy.org/neps/nep-0001-npy-format.html, version 1, with the dtype of
`components.ingest.rows.INDEX`.
"""

from __future__ import annotations

import ast
import bisect
import contextlib
import hashlib
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem, shortened
from pipeline.provenance import file_cache, plain_files

INDEX_DESCR: Final = [("row", "|V32"), ("pixels", "|V32"), ("label", "<i8")]
"""The dtype as an `.npy` header writes it."""

ROW_BYTES: Final = 72
DIGEST_BYTES: Final = 32
PIXELS: Final = slice(32, 64)
BLOCK_ROWS: Final = 1 << 15
"""Rows that are read at once: 2.4 MB."""

_MAGIC: Final = b"\x93NUMPY\x01\x00"
_LABEL: Final = struct.Struct("<q")
_ROWS: Final = struct.Struct("32s40x")
_PIXELS: Final = struct.Struct("32x32s8x")


class RowFile:
    """The rows of an index, each by its number.

    The file is open only while something is read: a root can have thousands of them. It has to be the same file every
    time. Nothing is known of its content beyond its form until `sha256` was compared with the record.

    Raises:
      EnvironmentProblem: if there is no plain file, or it is no row index.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = file_cache.identity(path)
        with self._opened() as descriptor:
            self._start, self._rows = _header(descriptor, path)

    def __len__(self) -> int:
        return self._rows

    def sha256(self) -> str:
        """Return the digest of the file's bytes, read anew."""
        digest, offset = hashlib.sha256(), 0
        with self._opened() as descriptor:
            while block := os.pread(descriptor, 1 << 20, offset):
                digest.update(block)
                offset += len(block)
        return digest.hexdigest()

    def row_digest(self, number: int) -> bytes:
        """Return the digest of a row's pixels and label."""
        return self._read(number, 1)[:DIGEST_BYTES]

    def label(self, number: int) -> int:
        """Return a row's label."""
        label: int = _LABEL.unpack(self._read(number, 1)[PIXELS.stop :])[0]
        return label

    def row_digests(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Return an iterator over the row digests of some neighbours, or of all rows."""
        return self._column(_ROWS, start, stop)

    def pixels(self) -> Iterator[bytes]:
        """Return an iterator over the digests of each row's pixels."""
        return self._column(_PIXELS, 0, None)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of some neighbours, or of all rows, `BLOCK_ROWS` of them at a time."""
        stop = self._rows if stop is None else stop
        for first in range(start, stop, BLOCK_ROWS):
            yield self._read(first, min(BLOCK_ROWS, stop - first))

    def position(self, digest: bytes, *, after: bool = False) -> int:
        """Return how many row digests are lower than `digest`, or, `after` it, no higher."""
        search = bisect.bisect_right if after else bisect.bisect_left
        with self._opened() as descriptor:

            def row_digest(number: int) -> bytes:
                return os.pread(descriptor, DIGEST_BYTES, self._start + number * ROW_BYTES)

            return search(range(self._rows), digest, key=row_digest)

    def with_row(self, digest: bytes) -> range:
        """Return the numbers of the rows with a digest of pixels and label."""
        return range(self.position(digest), self.position(digest, after=True))

    def with_pixels(self, digest: bytes) -> list[int]:
        """Return the numbers of the rows with a digest of pixels, whatever their label."""
        result, first = [], 0
        for block in self.blocks():
            at = block.find(digest)
            while at >= 0:
                if at % ROW_BYTES == PIXELS.start:
                    result.append(first + at // ROW_BYTES)
                at = block.find(digest, at + 1)
            first += BLOCK_ROWS
        return result

    def _column(self, form: struct.Struct, start: int, stop: int | None) -> Iterator[bytes]:
        flat = itertools.chain.from_iterable
        # Chained in C, and flattened from tuples of one: a million rows in a sixth of a second.
        return flat(flat(form.iter_unpack(block)) for block in self.blocks(start, stop))

    def _read(self, number: int, rows: int) -> bytes:
        with self._opened() as descriptor:
            return os.pread(descriptor, rows * ROW_BYTES, self._start + number * ROW_BYTES)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        with plain_files.opened_plain(self._path) as descriptor:
            if file_cache.identity(self._path) != self._identity:
                raise EnvironmentProblem("row index was changed while it was read", where=self._path)
            yield descriptor


def _header(descriptor: int, path: Path) -> tuple[int, int]:
    """Return where the rows begin, and how many there are."""
    size, data = os.fstat(descriptor).st_size, os.pread(descriptor, 1 << 12, 0)
    try:
        (length,) = struct.unpack("<H", data[8:10])
        header = ast.literal_eval(data[10 : 10 + length].decode("latin-1").strip())
        (rows,), descr, start = header["shape"], header["descr"], 10 + length
    except (struct.error, ValueError, SyntaxError, LookupError, TypeError, RecursionError, MemoryError) as err:
        raise EnvironmentProblem("not a row index", where=path, got=shortened(err, 120)) from err
    if not data.startswith(_MAGIC) or descr != INDEX_DESCR or type(rows) is not int:
        raise EnvironmentProblem("not a row index", where=path, wanted=INDEX_DESCR, got=f"{descr} of {rows!r} rows")
    if size - start != rows * ROW_BYTES:
        raise EnvironmentProblem("not a row index", where=path, wanted=f"{rows} rows", got=f"{size} bytes")
    return start, rows
