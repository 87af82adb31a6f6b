"""Encoder of tf.Examples and TFRecords from arrays, without a protobuf object and without TensorFlow.

An Example here has two features of fixed kind, so its wire form is pixel bytes between two short fixed strings. Built
through `example_pb2`, 60,000 rows of 784 pixels take 2.5 s; this way 0.4 s, framing included. The bytes are those of
`Example.SerializeToString(deterministic=True)`, map keys sorted.

Sources of the formats: protobuf's "Encoding" page (tag, length, varint), `tensorflow/core/example/feature.proto` (field
numbers), `tensorflow/core/lib/io/record_writer.h` (TFRecord framing and the masked CRC-32C).
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final

import google_crc32c
import numpy as np

from components.features import IMAGE, LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CRC_MASK: Final = 0xA282EAD8

# One field number for three messages: Example.features, Features.feature and a map entry's key are all field 1,
# a map entry's value is field 2, Feature.int64_list is field 3, Int64List.value is field 1 (packed).
FIELD_1: Final = b"\x0a"
FIELD_2: Final = b"\x12"
FIELD_3: Final = b"\x1a"


def encode(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[bytes]:
    """Return one serialised Example per row: `image` with H*W int64 values, `label` with one.

    Args:
      pixels: uint8 [N, H*W], H*W at least 1.
      labels: int64 [N].
    """
    values, lengths = _packed(pixels)
    flat = values.tobytes()
    tails = [_label_entry(label) for label in labels.tolist()]
    records, start = [], 0
    for length, tail in zip(lengths.tolist(), tails, strict=True):
        records.append(_head(length, len(tail)) + flat[start : start + length] + tail)
        start += length
    return records


def _packed(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the varints of all rows, one after the other, and their number of bytes by row.

    The varint of a byte below 128 is itself; of one above, itself (its top bit says "more") and then a 1.
    """
    high = pixels >= 0x80
    positions = np.flatnonzero(high)
    kept = np.ones(pixels.size + len(positions), dtype=bool)
    kept[positions + np.arange(1, len(positions) + 1)] = False
    values = np.ones(len(kept), dtype=np.uint8)
    values[kept] = pixels.ravel()
    return values, pixels.shape[1] + np.count_nonzero(high, axis=1)


@functools.lru_cache(maxsize=1 << 14)
def _head(values: int, tail: int) -> bytes:
    """Return what precedes `values` bytes of packed pixels in an Example that ends with `tail` bytes."""
    head = b""
    for opening in (FIELD_1, FIELD_3, _entry_opening(IMAGE), FIELD_1):
        head = opening + varint(len(head) + values) + head
    return FIELD_1 + varint(len(head) + values + tail) + head


@functools.lru_cache(maxsize=1 << 12)
def _label_entry(label: int) -> bytes:
    """Return the whole map entry of a label, with the tag that makes it a member of Features."""
    entry = varint(label)
    for opening in (FIELD_1, FIELD_3, _entry_opening(LABEL), FIELD_1):
        entry = opening + varint(len(entry)) + entry
    return entry


def _entry_opening(name: str) -> bytes:
    return FIELD_1 + varint(len(name.encode())) + name.encode() + FIELD_2


def varint(value: int) -> bytes:
    """Return an int64 as protobuf's base-128 varint, 1 to 10 bytes; negative numbers as their 64-bit complement."""
    rest, digits = value & 0xFFFF_FFFF_FFFF_FFFF, bytearray()
    while rest >= 0x80:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    digits.append(rest)
    return bytes(digits)


def tfrecord(records: Iterable[bytes]) -> bytes:
    """Return the records as one uncompressed TFRecord file: length, its masked CRC, data, its masked CRC."""
    parts: list[bytes] = []
    for record in records:
        parts += (_length(len(record)), record, struct.pack("<I", masked_crc(record)))
    return b"".join(parts)


@functools.lru_cache(maxsize=1 << 14)
def _length(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc(packed))


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of `data`, rotated right by 15 bits plus a constant, as TFRecord wants it."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + CRC_MASK) & 0xFFFF_FFFF
