"""Digests of a SavedModel's tensors, read without TensorFlow and without loading the model.

Two trainings that end in the same weights write different SavedModel bytes, since the graph holds generated names; the
tensors are what can be compared. They lie in a TensorBundle: `variables.index` is a table in LevelDB's format
(https://github.com/google/leveldb/blob/main/doc/table_format.md) from tensor name to `BundleEntryProto`
(tensorflow/core/protobuf/tensor_bundle.proto), which says where in `variables.data-*` the raw bytes are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.digest import CHUNK
from components.errors import EnvironmentProblem
from pipeline.process import wire_format
from pipeline.process.wire_format import varint

VARIABLES: Final = "variables"
OBJECT_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""Not a weight: a serialised description of the objects, which may be written in any order."""

_FOOTER_BYTES: Final = 48
_MAGIC: Final = 0xDB4775248B80FB57
_TRAILER_BYTES: Final = 5  # one byte for the compression and a CRC-32C follow every block
_UNCOMPRESSED: Final = 0

_NAMES: Final = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
"""tensorflow/core/framework/types.proto; only what a name is shown for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """One variable.

    Attributes:
      dtype: such as `float32`.
      shape: sizes of its dimensions.
      sha256: of its raw bytes, as they are stored.
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """The place of a tensor: file number, first byte and length in it."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def tensors(saved_model: Path) -> dict[str, Tensor]:
    """Return a SavedModel's variables by name.

    Raises:
      EnvironmentProblem: if its variables are missing, cut short or not a TensorBundle.
    """
    index = saved_model / VARIABLES / "variables.index"
    try:
        shards, entries = _bundle(index.read_bytes())
        return {name: _digested(index, shards, entry) for name, entry in entries.items() if name != OBJECT_GRAPH}
    except OSError as err:
        raise EnvironmentProblem("cannot read the variables", where=err.filename or index, got=err.strerror) from err
    except (ValueError, IndexError, KeyError, struct.error) as err:
        raise EnvironmentProblem("not a TensorBundle", where=index, got=err) from err


def _bundle(index: bytes) -> tuple[int, dict[str, _Entry]]:
    """Return the number of data files and the entries by tensor name; the table's first key, empty, is its header."""
    table = dict(_table(index))
    header = _numbers(table.pop(b""))
    entries = {key.decode(errors="backslashreplace"): _entry(value) for key, value in table.items()}
    return header.get(1, 1), entries


def _entry(data: bytes) -> _Entry:
    numbers = _numbers(data)
    shape = [_numbers(dimension).get(1, 0) for message in _messages(data, 2) for dimension in _messages(message, 2)]
    return _Entry(
        dtype=numbers.get(1, 0),
        shape=tuple(shape),
        shard=numbers.get(3, 0),
        offset=numbers.get(4, 0),
        size=numbers.get(5, 0),
    )


def _digested(index: Path, shards: int, entry: _Entry) -> Tensor:
    path = index.with_name(f"variables.data-{entry.shard:05d}-of-{shards:05d}")
    digest = hashlib.sha256()
    left = entry.size
    with path.open("rb") as file:
        file.seek(entry.offset)
        while left and (block := file.read(min(left, CHUNK))):
            digest.update(block)
            left -= len(block)
    if left:
        raise EnvironmentProblem("is cut short", where=path, wanted=f"{left} bytes more")
    dtype = _NAMES.get(entry.dtype, f"type {entry.dtype}")
    return Tensor(dtype=dtype, shape=entry.shape, sha256=digest.hexdigest())


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of every entry of a table, in order."""
    footer = data[-_FOOTER_BYTES:]
    if len(footer) != _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("no table: its last 8 bytes are not the magic number")
    _, place = _handle(footer, 0)  # of the table's own metadata, which a bundle has none of
    index, _ = _handle(footer, place)
    for _, handle in _block(data, *index):
        yield from _block(data, *_handle(handle, 0)[0])


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _TRAILER_BYTES > len(data):
        raise ValueError(f"a block at {offset} ends behind the file")
    if data[offset + size] != _UNCOMPRESSED:
        raise ValueError(f"the block at {offset} is compressed, which no bundle is")
    block = data[offset : offset + size]
    [restarts] = struct.unpack("<I", block[-4:])
    end = size - 4 * (restarts + 1)
    place, key = 0, b""
    while place < end:
        shared, place = varint(block, place)
        unshared, place = varint(block, place)
        length, place = varint(block, place)
        key = key[:shared] + block[place : place + unshared]
        place += unshared
        yield key, block[place : place + length]
        place += length


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return (offset, size), place


def _numbers(data: bytes) -> dict[int, int]:
    return {number: value for number, value in wire_format.fields(data) if isinstance(value, int)}


def _messages(data: bytes, wanted: int) -> list[bytes]:
    return [value for number, value in wire_format.fields(data) if number == wanted and isinstance(value, bytes)]


def differing(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the names of the tensors that are not the same in both, sorted; those in one alone are among them."""
    return tuple(sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name)))
