"""Reader and writer of IDX files: uint8 images and labels, big-endian, raw or gzip by content.

The format is the one of the MNIST pages: two zero bytes, a type byte, the number of dimensions, each dimension as a
32-bit big-endian number, then the values, last dimension fastest. Unsigned bytes (type 0x08) of any height and width
are read; nothing is allocated because a header asks for it.
"""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from components.errors import BadInput
from components.ingest.chunk import Chunk
from components.ingest.faults import RowFaults
from components.ingest.kinds import HEAD, foreign_kind
from components.ingest.payload import PayloadReader, payload_size_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from components.settings import DataSettings

IMAGES: Final = 3
"""Dimensions of an images file: count, height, width."""
LABELS: Final = 1
"""Dimensions of a labels file: count."""

MAX_COUNT: Final = 2**31 - 1
"""Readers of the format take the count as a signed 32-bit number."""
MAX_PIXELS: Final = 1 << 26
"""Largest image, 8192 x 8192, so that one row always fits in memory."""

_UNSIGNED_BYTE: Final = 0x08
_OTHER_TYPES: Final = {0x09: "signed bytes", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_MOST_DIMENSIONS: Final = 8  # numpy itself stops at 32, and no data set of images has more than five
_NOUNS: Final = {IMAGES: "images", LABELS: "labels"}
_CHUNK_BYTES: Final = 1 << 26
_SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class IdxHeader:
    """The dimensions of an IDX file of unsigned bytes.

    Attributes:
      shape: (count, height, width) of an images file, (count,) of a labels file.
    """

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Images or labels in the file."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image or label."""
        return math.prod(self.shape[1:])

    @property
    def header_bytes(self) -> int:
        """Bytes before the first value."""
        return 4 + 4 * len(self.shape)

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole payload, header included."""
        return self.header_bytes + self.count * self.row_bytes

    def __str__(self) -> str:
        size = " of " + "x".join(map(str, self.shape[1:])) if self.shape[1:] else ""
        return f"{self.count} {_NOUNS.get(len(self.shape), 'values')}{size} ({self.total_bytes} bytes)"


def read_header(path: Path, *, dimensions: Literal[1, 3]) -> IdxHeader:
    """Read and check the header of an images (`IMAGES`) or labels (`LABELS`) file.

    Raises:
      BadInput: for a wrong magic, with the likely cause; for an impossible count or size, or one that the file is too
        small to hold.
    """
    with PayloadReader(path) as reader:
        return _read_header(reader, path, dimensions)


def read_headers(images_path: Path, labels_path: Path, data: DataSettings | None = None) -> tuple[IdxHeader, IdxHeader]:
    """Return the headers of a pair that fit each other, the files' sizes and, where given, the shape of `data`.

    Raises:
      BadInput: when they do not, from the first bytes alone.
    """
    with PayloadReader(images_path) as images, PayloadReader(labels_path) as labels:
        return _read_headers(images, labels, (images_path, labels_path), data)


def check(images_path: Path, labels_path: Path, data: DataSettings | None = None) -> IdxHeader:
    """Check headers, sizes and counts of a pair without looking at its values.

    Args:
      images_path: the images file.
      labels_path: the labels file.
      data: when given, its shape must be that of the images.

    Returns:
      The header of the images file.

    Raises:
      BadInput: when the files cannot be read as one set of labelled images.
    """
    with PayloadReader(images_path) as images, PayloadReader(labels_path) as labels:
        header, label_header = _read_headers(images, labels, (images_path, labels_path), data)
        _skip(images, images_path, header)
        _skip(labels, labels_path, label_header)
    return header


def iter_chunks(
    images_path: Path, labels_path: Path, *, rows: int, data: DataSettings | None = None
) -> Iterator[Chunk]:
    """Yield the rows of a pair in the order of the files.

    Args:
      images_path: the images file.
      labels_path: the labels file.
      rows: rows of a chunk; the last chunk, and chunks of very large images, have fewer.
      data: when given, the images must have its shape, and labels and pixels must lie in its range. Chunks end with
        the first row that does not, and the error follows when all rows have been seen.

    Raises:
      BadInput: when the files cannot be read as one set of labelled images.
    """
    with PayloadReader(images_path) as images, PayloadReader(labels_path) as labels:
        header, label_header = _read_headers(images, labels, (images_path, labels_path), data)
        faults = None if data is None else RowFaults(images_path, data, "row", labels_path)
        step = min(rows, max(1, _CHUNK_BYTES // header.row_bytes))
        for start in range(0, header.count, step):
            count = min(step, header.count - start)
            pixels = _read_rows(images, images_path, header, count).reshape(count, header.row_bytes)
            values = _read_rows(labels, labels_path, label_header, count).astype(np.int64)
            if faults is not None:
                columns = np.arange(1, header.row_bytes + 1)
                faults.check(pixels, values, range(start, start + count), columns)
            if not faults:
                yield Chunk(start=start, pixels=pixels, labels=values)
        _require_end(images, images_path, header)
        _require_end(labels, labels_path, label_header)
    if faults is not None:
        faults.raise_if_any()


def write_images(path: Path, images: NDArray[np.uint8]) -> None:
    """Write uint8 images [N, height, width], as gzip when the name ends in `.gz`; equal images give equal bytes."""
    if images.dtype != np.uint8 or images.ndim != IMAGES:
        raise ValueError(f"wanted uint8 [N, height, width], got {images.dtype} {images.shape}")
    _write(path, images)


def write_labels(path: Path, labels: NDArray[np.integer[Any]]) -> None:
    """Write labels [N] from 0 to 255, as gzip when the name ends in `.gz`; equal labels give equal bytes."""
    narrow = labels.astype(np.uint8)
    if labels.ndim != LABELS or not np.array_equal(narrow, labels):
        raise ValueError(f"wanted labels [N] from 0 to 255, got {labels.dtype} {labels.shape}")
    _write(path, narrow)


def _write(path: Path, values: NDArray[np.uint8]) -> None:
    header = _magic(values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    data = header + values.tobytes()
    # No time and no name in the gzip header: they would make equal payloads differ as files.
    Path(path).write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def _magic(dimensions: int) -> bytes:
    return bytes((0, 0, _UNSIGNED_BYTE, dimensions))


def _read_headers(
    images: PayloadReader, labels: PayloadReader, paths: tuple[Path, Path], data: DataSettings | None
) -> tuple[IdxHeader, IdxHeader]:
    header = _read_header(images, paths[0], IMAGES)
    label_header = _read_header(labels, paths[1], LABELS)
    if header.count != label_header.count:
        raise BadInput(
            f"number of labels differs from the number of images in {paths[0].name}",
            where=paths[1],
            wanted=f"{header.count} labels",
            got=f"{label_header.count}",
        )
    if data is not None and header.shape[1:] != data.shape:
        raise BadInput(
            "images have another shape than the recipe's",
            where=paths[0],
            wanted="x".join(map(str, data.shape)),
            got="x".join(map(str, header.shape[1:])),
            hint="choose the recipe for this geometry with --recipe, or set data.shape",
        )
    return header, label_header


def _read_header(reader: PayloadReader, path: Path, dimensions: Literal[1, 3]) -> IdxHeader:
    raw = reader.read(4 + 4 * dimensions)
    magic = raw[:4]
    if len(magic) == 4 and magic != _magic(dimensions):
        head = raw + reader.read(HEAD - len(raw))
        raise BadInput(
            f"is no IDX file of {_NOUNS[dimensions]}",
            where=path,
            wanted=f"magic 0x{_magic(dimensions).hex()}",
            got=f"0x{magic.hex()}",
            hint=_likely_cause(head, dimensions),
        )
    if len(raw) < 4 + 4 * dimensions:
        raise BadInput(
            "too short for an IDX header",
            where=path,
            wanted=f"{4 + 4 * dimensions} bytes or more",
            got=len(raw),
            hint="the file is empty" if not raw else None,
        )
    header = IdxHeader(shape=struct.unpack(f">{dimensions}I", raw[4:]))
    _require_possible(header, path, swapped=struct.unpack(f"<{dimensions}I", raw[4:]))
    return header


def _likely_cause(head: bytes, dimensions: int) -> str | None:
    magic = head[:4]
    if magic in (_magic(IMAGES), _magic(LABELS)):
        return f"is this the {_NOUNS[magic[3]]} file?"
    if magic[::-1] in (_magic(IMAGES), _magic(LABELS)):
        return "the header is byte-swapped: IDX numbers are big-endian"
    if magic[:2] != b"\0\0":
        if (kind := foreign_kind(head)) is not None:
            return f"this is {kind}"
        return "this is text, is it a CSV file?" if magic.isascii() and magic[:1].isalnum() else None
    if magic[2] not in (_UNSIGNED_BYTE, *_OTHER_TYPES):
        return f"unknown type byte 0x{magic[2]:02x}, and only unsigned bytes (type 0x08) can be read"
    return _other_values(head, dimensions)


def _other_values(head: bytes, dimensions: int) -> str:
    """Say what a sound IDX header describes that is neither images nor labels as they are read here."""
    kind, count = _OTHER_TYPES.get(head[2], "unsigned bytes"), head[3]
    known = 0 < count <= _MOST_DIMENSIONS and len(head) >= 4 + 4 * count
    sizes = struct.unpack(f">{count}I", head[4 : 4 + 4 * count]) if known else ()
    if dimensions == LABELS and count == 2 and sizes:
        vectors = "one-hot labels, or a label and what else is known of a row"
        return f"it has {sizes[1]} columns of {kind} ({vectors}): one unsigned byte a row is wanted, the label"
    if dimensions == IMAGES and count == 2 and sizes:
        what = "several columns of labels" if sizes[1] < 16 else "images without height and width"
        return f"it has {sizes[1]} columns of {kind}, {what}: images need 3 dimensions (count, height, width)"
    if dimensions == IMAGES and count == 4 and all(sizes) and sizes:
        return f"its images are {'x'.join(map(str, sizes[1:]))}, in colour or layers: only grey ones can be read"
    if head[2] != _UNSIGNED_BYTE:
        return f"the values are {kind}, and only unsigned bytes (type 0x08) can be read"
    return f"the values have {count} dimensions: images need 3 (count, height, width) and labels 1"


def _require_possible(header: IdxHeader, path: Path, *, swapped: tuple[int, ...]) -> None:
    """Refuse what no file of this size can hold, before anything of that size is allocated."""
    bound = payload_size_bound(path)
    if not all(header.shape):
        raise BadInput("is empty", where=path, wanted="at least one value in each dimension", got=str(header))
    if header.count > MAX_COUNT or header.row_bytes > MAX_PIXELS or header.total_bytes > bound:
        fits = all(swapped) and IdxHeader(shape=swapped).total_bytes <= bound
        raise BadInput(
            "header claims more than the file can hold",
            where=path,
            wanted=str(header),
            got=f"at most {bound} bytes",
            hint="the header's sizes seem byte-swapped: IDX numbers are big-endian" if fits else None,
        )
    if bound == path.stat().st_size and header.total_bytes < bound:  # raw: the payload's size is known
        raise _size_error(path, header, got=bound)


def _read_rows(reader: PayloadReader, path: Path, header: IdxHeader, count: int) -> NDArray[np.uint8]:
    data = reader.read(count * header.row_bytes)
    if len(data) < count * header.row_bytes:
        raise _size_error(path, header, got=reader.offset)
    return np.frombuffer(data, np.uint8)


def _skip(reader: PayloadReader, path: Path, header: IdxHeader) -> None:
    while missing := header.total_bytes - reader.offset:
        if not reader.read(min(missing, _SKIP_BYTES)):
            raise _size_error(path, header, got=reader.offset)
    _require_end(reader, path, header)


def _require_end(reader: PayloadReader, path: Path, header: IdxHeader) -> None:
    if not reader.read(1):
        return
    bound = payload_size_bound(path)
    # A gzip file is not read beyond the first byte too many, so how far it goes on is not known.
    raw = bound == path.stat().st_size
    raise _size_error(path, header, got=bound if raw else reader.offset, more=not raw)


def _size_error(path: Path, header: IdxHeader, *, got: int, more: bool = False) -> BadInput:
    count = max(0, got - header.header_bytes) // header.row_bytes
    seen = f"more than {header.total_bytes} bytes" if more else f"{count} ({got} bytes)"
    return BadInput("header and content differ in size", where=path, wanted=str(header), got=seen)
