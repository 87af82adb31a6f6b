"""Raw pixels and labels of an Examples artifact, or of a part of a split, without TensorFlow.

It reads what `components.ingest.encode` writes. Rows are sharded and sorted by the hash of their content, so the first
ones are as good a sample as any, and always the same.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from components.features import IMAGE, LABEL
from pipeline.process.wire_format import varint

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH: Final = 12
"""Bytes before a record in a TFRecord file: its length, and that length's checksum."""
CHECKSUM: Final = 4

LENGTH_DELIMITED: Final = 2
"""Protobuf's wire type of a field that says how long it is; an Example has no others but the packed numbers."""


@dataclasses.dataclass(frozen=True)
class ImageRows:
    """Rows of one split.

    Attributes:
      images: uint8 [N, pixels].
      labels: int64 [N].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def read(examples: Path, split: str, pixels: int, limit: int | None = None) -> ImageRows:
    """Return the rows of a split, the first `limit` of them if one is given.

    Raises:
      ValueError: if a record is no Example of such an image and its label.
      OSError: if a file cannot be read.
    """
    return _rows([_example(record) for record in islice(_records(examples / f"Split-{split}"), limit)], split, pixels)


def blocks(examples: Path, split: str, pixels: int, count: int) -> Iterator[ImageRows]:
    """Yield all rows of a split in their order, at most `count` at a time.

    Raises:
      ValueError: if a record is no Example of such an image and its label.
      OSError: if a file cannot be read.
    """
    records = _records(examples / f"Split-{split}")
    while pairs := [_example(record) for record in islice(records, count)]:
        yield _rows(pairs, split, pixels)


def _rows(pairs: Sequence[tuple[bytes, int]], split: str, pixels: int) -> ImageRows:
    images = _unpacked(b"".join(image for image, _ in pairs))
    if images.size != len(pairs) * pixels:
        raise ValueError(f"{split}: wanted {len(pairs)} images of {pixels} pixels, got {images.size} pixels")
    return ImageRows(images.reshape(len(pairs), pixels), np.array([label for _, label in pairs], np.int64))


def _records(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.glob("data_tfrecord-*")):
        data, start = file.read_bytes(), 0
        while start < len(data):
            (length,) = struct.unpack_from("<Q", data, start)
            yield data[start + LENGTH : start + LENGTH + length]
            start += LENGTH + length + CHECKSUM


def _example(record: bytes) -> tuple[bytes, int]:
    """Return the packed pixels and the label: Example.features.feature[name].int64_list.value."""
    (features,) = _fields(record)
    values = {}
    for name, feature in map(_fields, _fields(features)):
        values[name.decode()] = _fields(_fields(feature)[0])[0]
    return values[IMAGE], varint(values[LABEL], 0)[0]


def _fields(message: bytes) -> list[bytes]:
    """Return the contents of a message's fields in order; all of them must be length-delimited."""
    contents, start = [], 0
    while start < len(message):
        if message[start] & 7 != LENGTH_DELIMITED:
            raise ValueError("not an Example as ingest writes it")
        length, start = varint(message, start + 1)
        contents.append(message[start : start + length])
        start += length
    return contents


def _unpacked(data: bytes) -> NDArray[np.uint8]:
    """Return packed varints of bytes as bytes: one above 127 is itself and then a 1."""
    values = np.frombuffer(data, np.uint8)
    follows = np.zeros(len(values), bool)
    follows[1:] = values[:-1] >= 0x80
    return values[~follows]
