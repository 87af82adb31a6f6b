"""Rows of data files, labelled or not: images as a version's data are stored, block by block.

What a row is, `components.ingest` says; here it may lack a label, as the rows have that somebody wants labels for.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.errors import BadInput, MnistTfxError
from components.ingest import csv_rows, idx, pairs, parquet
from components.ingest.csv_layout import INDEX_NAMES, CsvLayout, pixel_columns, row_fields, sniff
from components.ingest.csv_lines import bad_line, line_blocks, longest_line
from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.orientation import upright
from components.ingest.payload import PayloadReader
from components.ingest.words import Words, numbered
from components.settings import DataSettings

BLOCK: Final = 2048
"""Rows that are read, answered and written at a time."""

IMAGES, LABELS, CSV, PARQUET, ARRAY = "IDX images", "IDX labels", "CSV", "Parquet", "NumPy array"

_IDX: Final = {b"\x08\x03": IMAGES, b"\x08\x01": LABELS}
_NUMBERS: Final = re.compile(rb"[-+0-9.eE\"']+([,;\t ]+[-+0-9.eE\"']*)+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A data file whose rows are to be answered.

    Attributes:
      path: of it.
      kind: one of `IMAGES`, `CSV`, `PARQUET` and `ARRAY`.
      labels: the IDX file of its labels, where that was named as well.
    """

    path: Path
    kind: str
    labels: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Neighbouring rows of one file.

    Attributes:
      images: uint8 [n, H, W].
      labels: int64 [n]; None where the file has none.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None


def kind_of(path: Path) -> str | None:
    """Return the kind of a file by how it begins, packed by gzip or not; None for what is no data file."""
    head = _head(path)
    if idx_kind(head[:HEAD]) is not None:
        return _IDX.get(head[2:4])
    if head.startswith((parquet.MAGIC, pairs.MAGIC)):
        return PARQUET if head.startswith(parquet.MAGIC) else ARRAY
    if foreign_kind(head[:HEAD]) is not None:
        return None
    lines = [line.strip() for line in head.lstrip(b"\xef\xbb\xbf").splitlines() if line.strip()][:2]
    # The last line that is looked at may be cut off, and is one of numbers all the same.
    return CSV if lines and _NUMBERS.fullmatch(lines[-1]) else None


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked; none of what is no file, or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with PayloadReader(path) as reader:
            return reader.read(1 << 14)
    except (MnistTfxError, OSError):
        return b""


def in_pairs(named: Sequence[tuple[Path, str]]) -> list[Table]:
    """Return the tables among data files; each file of labels goes with the images that were named before it.

    Raises:
      BadInput: for labels without images.
    """
    tables: list[Table] = []
    for path, kind in named:
        if kind != LABELS:
            tables.append(Table(path=path, kind=kind))
            continue
        free = [i for i, table in enumerate(tables) if table.kind == IMAGES and table.labels is None]
        if not free:
            raise BadInput("labels alone", where=path, wanted="their images, named before them")
        tables[free[-1]] = dataclasses.replace(tables[free[-1]], labels=path)
    return tables


def read(table: Table, data: DataSettings) -> Iterator[Block]:
    """Yield the rows of a data file in its order.

    Raises:
      BadInput: if they are no images of this geometry, naming the first line or value at fault.
    """
    if table.kind in (PARQUET, ARRAY):
        return _parquet(table.path, data) if table.kind == PARQUET else _array(table.path, data)
    if table.kind == CSV:
        return _csv(table.path, data)
    return _labelled_images(table.path, table.labels, data) if table.labels is not None else _images(table.path, data)


def _parquet(path: Path, data: DataSettings) -> Iterator[Block]:
    start, words = 0, Words(texts=data.class_names if parquet.open_table(path, labelled=False).in_words else ())
    for pixels, labels in parquet.images(path, data, rows=BLOCK):
        _require_range(path, pixels, data)
        found = None if labels[0] is None else numbered(labels, words, data, where=path, first=start)
        known = None if found is None else found - data.label_offset
        yield Block(images=pixels.reshape(-1, *data.shape), labels=known)
        start += len(pixels)


def _array(path: Path, data: DataSettings) -> Iterator[Block]:
    for values in pairs.image_rows(path, data, rows=BLOCK):
        _require_range(path, values, data)
        yield _block([values], data)


def _require_range(path: Path, values: npt.NDArray[Any], data: DataSettings) -> None:
    if values.min() < 0 or values.max() > data.pixel_max:
        wanted = f"values from 0 to {data.pixel_max}"
        raise BadInput("has other pixels", where=path, wanted=wanted, got=f"{values.min()} to {values.max()}")


def _labelled_images(images: Path, labels: Path, data: DataSettings) -> Iterator[Block]:
    for chunk in idx.iter_chunks(images, labels, rows=BLOCK, data=data):
        yield Block(images=chunk.pixels.reshape(-1, *data.shape), labels=chunk.labels)


def _images(path: Path, data: DataSettings) -> Iterator[Block]:
    header = idx.read_header(path, dimensions=idx.IMAGES)
    if header.shape[1:] != data.file_shape:
        wanted = f"images of {_size(data.file_shape)}, such as the version was trained on"
        raise BadInput("images of another size", where=path, wanted=wanted, got=_size(header.shape[1:]))
    left = header.count
    with PayloadReader(path) as reader:
        reader.read(header.header_bytes)
        while left:
            count = min(BLOCK, left)
            content = reader.read(count * header.row_bytes)
            if len(content) < count * header.row_bytes:
                raise BadInput("header and content differ in size", where=path, wanted=str(header), got="less")
            left -= count
            values = np.frombuffer(content, header.dtype).reshape(count, -1)
            _require_range(path, values, data)
            yield _block([values], data)
        if reader.read(1):
            raise BadInput("header and content differ in size", where=path, wanted=str(header), got="more")


def _csv(path: Path, data: DataSettings) -> Iterator[Block]:
    layout = sniff(path)
    others = _other_columns(layout, data)
    if layout.columns - len(others) == data.pixels:
        yield from _unlabelled(path, layout, others, data)
        return
    if layout.columns < data.pixels:
        wanted = f"{data.pixels} ({_size(data.shape)} pixels), and a label or none"
        raise BadInput("wrong number of columns in the first line", where=path, wanted=wanted, got=layout.columns)
    for chunk in csv_rows.iter_chunks(path, data, rows=BLOCK):
        yield Block(images=chunk.pixels.reshape(-1, *data.shape), labels=chunk.labels)


def _other_columns(layout: CsvLayout, data: DataSettings) -> set[int]:
    """Return the columns that the header says are no pixels: those to ignore, and one that numbers the rows."""
    if layout.header is None or layout.columns == data.pixels:
        return set()
    known = {*INDEX_NAMES, *(name.lower() for name in data.ignore_columns)}
    return {column for column, name in enumerate(layout.header) if name.strip().lower() in known}


def _unlabelled(path: Path, layout: CsvLayout, others: set[int], data: DataSettings) -> Iterator[Block]:
    pixels = pixel_columns(path, layout, others, data)
    held: list[npt.NDArray[np.uint16]] = []
    any_row = False
    for block in line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns)):
        values = csv_rows.parse_ordinary(block.text, layout.delimiter, layout.columns)
        if values is None:
            lines = (_values(path, number, line, layout, pixels, data) for number, line in block.lines())
            values = np.array(list(lines), np.uint16).reshape(-1, len(pixels))
        else:
            values = values[:, pixels]
            if (above := np.flatnonzero((values > data.pixel_max).any(axis=1))).size:
                got = int(values[above[0]].max())
                number = block.first + int(above[0])
                raise bad_line(path, number, "has other pixels", wanted=f"values up to {data.pixel_max}", got=str(got))
        held.append(values)
        if sum(map(len, held)) >= BLOCK:
            yield _block(held, data)
            held = []
        any_row = any_row or bool(len(values))
    if held and any_row:
        yield _block(held, data)
    if not any_row:
        raise BadInput("holds no rows", where=path, got="a header alone")


def _block(held: Sequence[npt.NDArray[Any]], data: DataSettings) -> Block:
    images = upright(np.concatenate(held).astype(np.uint8), data)
    return Block(images=images.reshape(-1, *data.shape), labels=None)


def _values(  # noqa: PLR0913  # a line, and all that is known of it
    path: Path, number: int, line: bytes, layout: CsvLayout, pixels: npt.NDArray[np.int64], data: DataSettings
) -> list[int]:
    fields = row_fields(path, number, line, layout)
    found = []
    for column in pixels.tolist():
        try:
            value = float(fields[column])
        except ValueError:
            value = -1.0
        if not (value.is_integer() and 0 <= value <= data.pixel_max):
            wanted = f"a whole number from 0 to {data.pixel_max}"
            raise bad_line(path, number, f"column {column + 1} is no pixel", wanted=wanted, got=fields[column][:40])
        found.append(int(value))
    return found


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
