"""Reader and writer of IDX files: images and labels, big-endian, raw or gzip by content.

The format is the one of the MNIST pages: two zero bytes, a type byte, the number of dimensions, each dimension as a
32-bit big-endian number, then the values, last dimension fastest. Images are of whole numbers of any type, height and
width; labels of any type, one a row, one-hot, or in the first of several columns, as QMNIST has them. What is written
is unsigned bytes (type 0x08). Nothing is allocated because a header asks for it.
"""

from __future__ import annotations

import dataclasses
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
from components.ingest.orientation import upright
from components.ingest.payload import PayloadReader, payload_size_bound
from components.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from components.ingest.extents import Extent

IMAGES: Final = 3
"""Dimensions of an images file: count, height, width."""
LABELS: Final = 1
"""Dimensions of a labels file: count."""

MAX_COUNT: Final = 2**31 - 1
"""Readers of the format take the count as a signed 32-bit number."""
MAX_PIXELS: Final = 1 << 26
"""Largest image, 8192 x 8192, so that one row always fits in memory."""

MAX_COLUMNS: Final = 1 << 16
"""Columns of a labels file."""

_UNSIGNED_BYTE: Final = 0x08
TYPES: Final = {0x08: "u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""NumPy's names of the types, by type byte."""

_TYPE_NAMES: Final = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}
_FLOATS: Final = (0x0D, 0x0E)
_MOST_DIMENSIONS: Final = 8  # numpy itself stops at 32, and no data set of images has more than five
_NOUNS: Final = {IMAGES: "images", LABELS: "labels"}
_LOOKED_AT: Final = 1 << 16
_ANY: Final = DataSettings(shape=(1, 1), pixel_max=255, label_count=1000)
_CHUNK_BYTES: Final = 1 << 26
_SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class IdxHeader:
    """What an IDX file holds.

    Attributes:
      shape: (count, height, width) of an images file, (count,) or (count, columns) of a labels file.
      dimensions: of the file, of which one that has a single value is not in `shape`; None for as many as that has.
      kind: the type byte.
    """

    shape: tuple[int, ...]
    dimensions: int | None = None
    kind: int = _UNSIGNED_BYTE

    @property
    def count(self) -> int:
        """Images or labels in the file."""
        return self.shape[0]

    @property
    def values(self) -> int:
        """Values of one image, or columns of one label."""
        return math.prod(self.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(TYPES[self.kind])

    @property
    def row_bytes(self) -> int:
        """Bytes of one image or label."""
        return self.values * self.dtype.itemsize

    @property
    def header_bytes(self) -> int:
        """Bytes before the first value."""
        return 4 + 4 * (self.dimensions or len(self.shape))

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole payload, header included."""
        return self.header_bytes + self.count * self.row_bytes

    def __str__(self) -> str:
        if len(self.shape) == IMAGES:
            said = f"{self.count} images of {self.shape[1]}x{self.shape[2]}"
        else:
            said = f"{self.count} labels" + (f" in {self.values} columns" if self.values > 1 else "")
        return f"{said} ({self.total_bytes} bytes)"


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
    images_path: Path, labels_path: Path, *, rows: int, data: DataSettings | None = None, extent: Extent | None = None
) -> Iterator[Chunk]:
    """Yield the rows of a pair in the order of the files.

    Args:
      images_path: the images file.
      labels_path: the labels file.
      rows: rows of a chunk; the last chunk, and chunks of very large images, have fewer.
      data: when given, the images must have its shape, and labels and pixels must lie in its range; images are given
        upright and labels from 0. Chunks end with the first row that does not fit, and the error follows when all rows
        have been seen.
      extent: which rows to read; None reads all.

    Raises:
      BadInput: when the files cannot be read as one set of labelled images.
    """
    is_one_hot = one_hot(labels_path)
    header, label_header = read_headers(images_path, labels_path, data)
    first, end = (0, header.count) if extent is None else (extent.first, extent.first + extent.rows)
    with _reader_at(images_path, header, first) as images, _reader_at(labels_path, label_header, first) as labels:
        faults = RowFaults(images_path, data or _ANY, "row", labels_path)
        step = min(rows, max(1, _CHUNK_BYTES // header.row_bytes))
        columns = np.arange(1, header.values + 1)
        for start in range(first, end, step):
            count = min(step, end - start)
            pixels = _read_rows(images, images_path, header, count)
            values = _label_values(
                _read_rows(labels, labels_path, label_header, count), (data or _ANY) if is_one_hot else None
            )
            if data is not None or header.kind != _UNSIGNED_BYTE or values.dtype.kind == "f" or is_one_hot:
                faults.check(pixels, values, range(start, start + count), columns)
            if not faults:
                yield _chunk(start, pixels.astype(np.uint8, copy=False), values.astype(np.int64), data)
        if end == header.count:
            _require_end(images, images_path, header)
            _require_end(labels, labels_path, label_header)
    faults.raise_if_any()


def _reader_at(path: Path, header: IdxHeader, row: int) -> PayloadReader:
    return PayloadReader(path, start=header.header_bytes + row * header.row_bytes)


def _chunk(start: int, pixels: NDArray[np.uint8], labels: NDArray[np.int64], data: DataSettings | None) -> Chunk:
    if data is None:
        return Chunk(start=start, pixels=pixels, labels=labels)
    return Chunk(start=start, pixels=upright(pixels, data), labels=labels - data.label_offset)


def _label_values(values: NDArray[Any], one_hot_of: DataSettings | None) -> NDArray[Any]:
    """Return labels [n], as the file counts them, of values [n, columns].

    They are int64, except where a float is no whole number. A row without exactly one 1 has a label below all others.
    """
    if one_hot_of is not None:
        is_one = ((values == 0).sum(axis=1) == values.shape[1] - 1) & (values == 1).any(axis=1)
        return np.where(is_one, values.argmax(axis=1) + one_hot_of.label_offset, -1)
    labels = values[:, 0]
    if labels.dtype.kind == "f" and not ((np.abs(labels) < MAX_COUNT) & (labels % 1 == 0)).all():
        return labels
    return labels.astype(np.int64)


def iter_labels(path: Path, *, rows: int) -> Iterator[NDArray[Any]]:
    """Yield the labels of a file as it counts them, some rows at a time.

    Raises:
      BadInput: when the file cannot be read as labels.
    """
    hot = _ANY if one_hot(path) else None
    with PayloadReader(path) as reader:
        header = _read_header(reader, path, LABELS)
        for start in range(0, header.count, rows):
            yield _label_values(_read_rows(reader, path, header, min(rows, header.count - start)), hot)


def label_type(path: Path) -> str | None:
    """Return in words how a file has its labels, such as `int32 in 8 columns, of which the first is read`.

    None for one unsigned byte a row, as MNIST has them.
    """
    header = read_header(path, dimensions=LABELS)
    if one_hot(path):
        return f"one-hot, in {header.values} columns"
    kind = _TYPE_NAMES[header.kind]
    if header.values > 1:
        return f"{kind} in {header.values} columns, of which the first is read"
    return None if header.kind == _UNSIGNED_BYTE else kind


def one_hot(path: Path) -> bool:
    """Return whether a labels file has a 1 in one of several columns, and 0 in the others, as far as its beginning says."""
    values = beginning(path, LABELS, _LOOKED_AT)
    return bool(
        values.shape[1] > 1
        and len(values)
        and ((values == 0) | (values == 1)).all()
        and (values.sum(axis=1) == 1).all()
    )


def beginning(path: Path, dimensions: Literal[1, 3], size: int) -> NDArray[Any]:
    """Return the first rows of a file as its type has them, [n, values of a row].

    Args:
      path: an images or labels file.
      dimensions: `IMAGES` or `LABELS`.
      size: bytes to read, about.

    Raises:
      BadInput: as `read_header`.
    """
    with PayloadReader(path) as reader:
        header = _read_header(reader, path, dimensions)
        count = min(header.count, max(1, size // header.row_bytes))
        data = reader.read(count * header.row_bytes)
    whole = data[: len(data) // header.row_bytes * header.row_bytes]
    return np.frombuffer(whole, header.dtype).reshape(-1, header.values)


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
    if data is not None and header.shape[1:] != data.file_shape:
        raise BadInput(
            "images have another shape than the recipe's",
            where=paths[0],
            wanted="x".join(map(str, data.shape)),
            got="x".join(map(str, header.shape[1:])),
            hint="choose the recipe for this geometry with --recipe, or set data.shape",
        )
    return header, label_header


def _read_header(reader: PayloadReader, path: Path, dimensions: Literal[1, 3]) -> IdxHeader:
    magic = reader.read(4)
    kind, count = (magic[2], magic[3]) if len(magic) == 4 and magic[:2] == b"\0\0" else (0, 0)
    raw = magic + reader.read(4 * min(count or dimensions, _MOST_DIMENSIONS))
    sizes = struct.unpack(f">{len(raw) // 4 - 1}I", raw[4 : len(raw) // 4 * 4]) if len(raw) >= 4 else ()
    shape = _shape(kind, sizes, dimensions) if len(sizes) == count else None
    if len(magic) == 4 and shape is None and (magic != _magic(dimensions)):
        head = raw + reader.read(HEAD - len(raw))
        raise BadInput(
            f"is no IDX file of {_NOUNS[dimensions]}",
            where=path,
            wanted=f"magic 0x{_magic(dimensions).hex()}",
            got=f"0x{magic.hex()}",
            hint=_likely_cause(head, dimensions),
        )
    if shape is None:
        raise BadInput(
            "too short for an IDX header",
            where=path,
            wanted=f"{4 + 4 * dimensions} bytes or more",
            got=len(raw),
            hint="the file is empty" if not raw else None,
        )
    header = IdxHeader(shape=shape, dimensions=count, kind=kind)
    swapped = _shape(kind, struct.unpack(f"<{count}I", raw[4:]), dimensions)
    _require_possible(header, path, swapped=swapped)
    return header


def _shape(kind: int, sizes: tuple[int, ...], dimensions: int) -> tuple[int, ...] | None:
    """Return the shape of images or labels that a file of these sizes holds; None if it can hold none."""
    if dimensions == LABELS:
        few = len(sizes) == LABELS or (len(sizes) == LABELS + 1 and sizes[1] <= MAX_COLUMNS)
        return sizes if kind in TYPES and few else None
    if kind not in TYPES or kind in _FLOATS or len(sizes) not in (IMAGES, IMAGES + 1):
        return None
    if len(sizes) == IMAGES:
        return sizes
    # One channel, first or last, is a grey image.
    if sizes[3] == 1:
        return sizes[:3]
    return (sizes[0], *sizes[2:]) if sizes[1] == 1 else None


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
    if magic[2] not in TYPES:
        return f"unknown type byte 0x{magic[2]:02x}, and only unsigned bytes (type 0x08) can be read"
    return _other_values(head, dimensions)


def _other_values(head: bytes, dimensions: int) -> str:
    """Say what a sound IDX header describes that is neither images nor labels as they are read here."""
    kind, count = _TYPE_NAMES[head[2]], head[3]
    known = 0 < count <= _MOST_DIMENSIONS and len(head) >= 4 + 4 * count
    sizes = struct.unpack(f">{count}I", head[4 : 4 + 4 * count]) if known else ()
    if dimensions == IMAGES and count == 2 and sizes:
        what = "several columns of labels" if sizes[1] < 16 else "images without height and width"
        return f"it has {sizes[1]} columns of {kind}, {what}: images need 3 dimensions (count, height, width)"
    if dimensions == IMAGES and count == 4 and all(sizes) and sizes:
        return f"its images are {'x'.join(map(str, sizes[1:]))}: grey images only"
    if head[2] in _FLOATS:
        return f"the values are {kind}, and only whole numbers (type 0x08 for unsigned bytes) can be read"
    return f"the values have {count} dimensions: images need 3 (count, height, width) and labels 1"


def _require_possible(header: IdxHeader, path: Path, *, swapped: tuple[int, ...] | None) -> None:
    """Refuse what no file of this size can hold, before anything of that size is allocated."""
    bound = payload_size_bound(path)
    if not all(header.shape):
        raise BadInput("is empty", where=path, wanted="at least one value in each dimension", got=str(header))
    if header.count > MAX_COUNT or header.values > MAX_PIXELS or header.total_bytes > bound:
        fits = swapped and all(swapped) and dataclasses.replace(header, shape=swapped).total_bytes <= bound
        raise BadInput(
            "header claims more than the file can hold",
            where=path,
            wanted=str(header),
            got=f"at most {bound} bytes",
            hint="the header's sizes seem byte-swapped: IDX numbers are big-endian" if fits else None,
        )
    if bound == path.stat().st_size and header.total_bytes < bound:  # raw: the payload's size is known
        raise _size_error(path, header, got=bound)


def _read_rows(reader: PayloadReader, path: Path, header: IdxHeader, count: int) -> NDArray[Any]:
    """Return the next rows, [count, values of a row]."""
    data = reader.read(count * header.row_bytes)
    if len(data) < count * header.row_bytes:
        raise _size_error(path, header, got=reader.offset)
    return np.frombuffer(data, header.dtype).reshape(count, header.values)


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
