"""Reader of pixels and labels in files of their own, CSV or NumPy's: `X_train.csv` beside `y_train.csv`, or `train_X.npy`.

A file's content says which of the two it is. Pixels are whole numbers, a row to an image, or an array [n, height, width];
labels are a column, one-hot, or words. A header and a column that numbers the rows are left aside.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.arrays import map_npy, parse_npy
from components.errors import BadInput, shortened
from components.ingest import csv_rows, part_names
from components.ingest.chunk import Chunk
from components.ingest.csv_layout import COMMA, INDEX_NAMES, CsvLayout, pixel_columns, row_fields, sniff
from components.ingest.csv_lines import SPACE, bad_line, line_blocks, longest_line
from components.ingest.extents import Extent, runs_of
from components.ingest.faults import RowFaults, quoted
from components.ingest.kinds import HEAD, foreign_kind
from components.ingest.orientation import upright
from components.ingest.payload import PayloadReader, is_gzip, read_payload
from components.ingest.words import Words, numbered, words_of
from components.untrusted import LARGEST_ARRAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from components.settings import DataSettings

MAGIC: Final = b"\x93NUMPY"
_FEWEST_COUNTED: Final = 10  # two or three labels may count up as well
_BYTE: Final = 255
_IMPORT: Final = "`mnist-tfx data import` makes bytes of them"


def shape(images: Path) -> tuple[int, int] | None:
    """Return height and width of the images in a file; of rows of pixels that of squares, or None where none fits.

    Raises:
      BadInput: if it holds no images.
    """
    if is_array(images):
        values = _array(images)
        return (values.shape[1], values.shape[2]) if values.ndim == 3 else _square(values.shape[1])
    columns = sniff(images).columns
    return _square(columns - len(_index(images, sniff(images))))


def is_array(path: Path) -> bool:
    """Return whether a file is NumPy's by its content."""
    with PayloadReader(path) as reader:
        return reader.read(len(MAGIC)) == MAGIC


def _square(values: int) -> tuple[int, int] | None:
    side = math.isqrt(values)
    return (side, side) if side > 1 and side * side == values else None


def row_count(images: Path) -> int:
    """Return how many images a file has.

    Raises:
      BadInput: if it cannot be read.
    """
    if is_array(images):
        return len(_array(images))
    return sum(1 for block in line_blocks(images, start=sniff(images).first_line) for _ in block.lines())


def words(labels: Sequence[Path], data: DataSettings) -> Words:
    """Return the labels in words of several files of labels.

    Raises:
      BadInput: if one cannot be read, or for more of them than there can be classes.
    """
    found = {path: flat_labels(read_labels(path), path) for path in labels}
    texts = [(path, np.unique(values).tolist()) for path, values in found.items() if values.dtype.kind in "US"]
    return words_of(((path, map(_text, values)) for path, values in texts), data)


def extents(images: Path, *, rows: int) -> list[Extent]:
    """Return the images of a file in runs of `rows`; all in one where a run cannot be read without those before it.

    Raises:
      BadInput: if it cannot be read.
    """
    count = row_count(images)
    mapped = is_array(images) and not is_gzip(images) and _array(images).flags.c_contiguous
    return runs_of(count, rows if mapped else max(1, count))


def iter_chunks(  # noqa: PLR0913  # as the other forms, which have one file
    images: Path, labels: Path, data: DataSettings, *, rows: int, names: Words, extent: Extent | None = None
) -> Iterator[Chunk]:
    """Yield the rows of a pair in the order of the files, with upright images and labels from 0.

    Args:
      images: the file of pixels.
      labels: the file of labels.
      data: shape, and range of labels and pixels.
      rows: rows of a chunk, about.
      names: labels in words, as `words` returns them for all files together.
      extent: which rows to read, of an array; None reads all.

    Raises:
      BadInput: at once where the files do not fit each other or the shape. For values out of range, chunks end with the
        first one, and the error follows when all rows have been seen.
    """
    count, start = row_count(images), 0 if extent is None else extent.first
    values = _label_values(labels, count, names, data)
    if len(values) != count:
        what = f"number of labels differs from the number of images in {images.name}"
        raise BadInput(what, where=labels, wanted=f"{count} labels", got=len(values))
    faults = RowFaults(images, data, "row", labels, texts=names.texts)
    columns = np.arange(1, data.pixels + 1)
    for pixels in image_rows(images, data, rows=rows, extent=extent):
        here = values[start : start + len(pixels)]
        faults.check(pixels, here, range(start, start + len(pixels)), columns)
        if not faults:
            yield Chunk(start=start, pixels=upright(pixels.astype(np.uint8), data), labels=here - data.label_offset)
        start += len(pixels)
    faults.raise_if_any()


def _label_values(path: Path, count: int, names: Words, data: DataSettings) -> NDArray[Any]:
    """Return labels [n] as whole numbers, as the file counts them."""
    raw = read_labels(path)
    # pandas calls a column without a name 0, which is no label over as many others as there are images.
    raw = raw[1:] if len(raw) == count + 1 and raw.ndim == 1 and str(raw[0]) in {"0", "0.0"} else raw
    values = flat_labels(raw, path)
    if raw.ndim == 2 and raw.shape[1] > 1:  # one-hot
        return values + data.label_offset
    if values.dtype.kind == "f":
        if values.size and not bool((np.isfinite(values) & (values == np.rint(values))).all()):
            raise BadInput("its labels are no whole numbers", where=path, got=values[:5].tolist())
        return values.astype(np.int64)
    if values.dtype.kind in "US":
        return numbered([_text(value) for value in values.tolist()], names, data, where=path, first=0)
    if values.dtype.kind not in "uib":
        raise BadInput("its labels are neither numbers nor text", where=path, got=values.dtype)
    return values.astype(np.int64)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def flat_labels(values: NDArray[Any], where: object) -> NDArray[Any]:
    """Return one label a row, [n], of an array of one column, or of one-hot labels, as the number of the column.

    Raises:
      BadInput: if there is more than one label a row.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "uifb" and bool((values.sum(axis=1) == 1).all()) and values.max() == 1:
        found: NDArray[Any] = np.argmax(values, axis=1)
        return found
    if values.ndim != 1:
        got = "x".join(map(str, values.shape))
        raise BadInput("more than one label a row", where=where, wanted="one whole number a row", got=got)
    return values


def read_labels(path: Path) -> NDArray[Any]:
    """Return the labels in a file, [n] or [n, columns]: numbers, or text.

    Raises:
      BadInput: if it cannot be read.
    """
    if is_array(path):
        return parse_npy(read_payload(path, LARGEST_ARRAYS), where=path)
    return read_table(path)


def image_rows(
    path: Path, data: DataSettings, *, rows: int, extent: Extent | None = None
) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield the images of a file of pixels as it has them, whole numbers [n, height * width], some rows at a time.

    Args:
      path: the file.
      data: its shape.
      rows: how many at a time.
      extent: which rows to read, of an array; None reads all.

    Raises:
      BadInput: if they have another shape, or values that are no whole numbers.
    """
    if not is_array(path):
        yield from _table_rows(path, data, rows)
        return
    values = _array(path)
    wanted = data.file_shape if values.ndim == 3 else (data.pixels,)
    if values.shape[1:] != wanted:
        raise _of_another_shape(path, data, "x".join(map(str, values.shape[1:])))
    flat = values.reshape(len(values), -1)
    if extent is not None:
        flat = flat[extent.first : extent.first + extent.rows]
    for start in range(0, len(flat), rows):
        yield _whole(flat[start : start + rows], path)


def _of_another_shape(path: Path, data: DataSettings, got: str) -> BadInput:
    hint = "choose the recipe for this geometry with --recipe, or set data.shape"
    height, width = data.file_shape
    return BadInput(
        "images have another shape than the recipe's", where=path, wanted=f"{height}x{width}", got=got, hint=hint
    )


def _array(path: Path) -> NDArray[Any]:
    """Return [n, height, width] or [n, values] of an array of grey images."""
    # Mapped where it can be: each of the tasks that read an array looks at its own part of it.
    values = parse_npy(read_payload(path, LARGEST_ARRAYS), where=path) if is_gzip(path) else map_npy(path)
    if values.ndim == 4 and 1 in (values.shape[1], values.shape[3]):
        values = values[..., 0] if values.shape[3] == 1 else values[:, 0]
    if values.ndim not in (2, 3) or not values.size or values.dtype.kind not in "uifb":
        wanted = "grey images [n, height, width], or rows of pixels"
        got = f"{values.dtype} {'x'.join(map(str, values.shape))}"
        hint = f"{_IMPORT}, and grey ones of colour" if values.ndim == 4 else None
        raise BadInput("its values are no grey images", where=path, wanted=wanted, got=got, hint=hint)
    return values


def _whole(values: NDArray[Any], path: Path) -> NDArray[np.integer[Any]]:
    """Return whole numbers as integers of any width.

    Raises:
      BadInput: for others, with the way to bytes where they were scaled to 0..1.
    """
    if values.dtype.kind in "uib":
        return values.astype(np.uint8) if values.dtype.kind == "b" else values
    if values.size and bool((np.isfinite(values) & (np.abs(values) < 1 << 31) & (values == np.rint(values))).all()):
        return values.astype(np.int64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    hint = f"the pixels look already scaled to 0..1: {_IMPORT}" if low >= 0 and high <= 1 else None
    raise BadInput("pixels are no whole numbers", where=path, wanted="0 to 255", got=f"{low:g} to {high:g}", hint=hint)


def _table_rows(path: Path, data: DataSettings, rows: int) -> Iterator[NDArray[np.integer[Any]]]:
    layout = sniff(path)
    others = _index(path, layout)
    if layout.columns - len(others) != data.pixels:
        raise _of_another_shape(path, data, f"{layout.columns - len(others)} columns of pixels")
    columns = pixel_columns(path, layout, others, data)
    held: list[NDArray[np.integer[Any]]] = []
    for block in line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns)):
        values = csv_rows.parse_ordinary(block.text, layout.delimiter, layout.columns)
        if values is None:
            held.append(_whole(_numbers(path, block.first, block.text, layout)[:, columns], path))
        else:
            held.append(values[:, columns])
        if sum(map(len, held)) >= rows:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _numbers(path: Path, first: int, text: bytes, layout: CsvLayout) -> NDArray[np.float64]:
    """Return the numbers in lines that are out of the ordinary: with blanks, points, quotes or longer numbers.

    Raises:
      BadInput: naming the first line that holds something else.
    """
    options: dict[str, Any] = _options(layout)
    try:
        return np.loadtxt(io.BytesIO(text), dtype=np.float64, **options)
    except ValueError as err:
        raise _line_at_fault(path, first, text, layout) or BadInput(
            "its lines are no rows of numbers", where=path, got=shortened(err, 160)
        ) from err


def _line_at_fault(path: Path, first: int, text: bytes, layout: CsvLayout) -> BadInput | None:
    for number, line in enumerate(text.split(b"\n"), first):
        if not line.strip():
            continue
        fields = row_fields(path, number, line, layout)
        if (wrong := next((n for n, field in enumerate(fields) if not _is_number(field)), None)) is not None:
            what = f"has no number in column {wrong + 1}"
            return bad_line(path, number, what, wanted="a pixel", got=quoted(fields[wrong]))
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _options(layout: CsvLayout) -> dict[str, Any]:
    """Return how NumPy reads the lines of a table."""
    delimiter = None if layout.delimiter == SPACE else layout.delimiter
    return {"delimiter": delimiter, "comments": None, "quotechar": '"', "ndmin": 2}


def _index(path: Path, layout: CsvLayout) -> frozenset[int]:
    """Return the column of a table of pixels that numbers the rows; none where there is none."""
    if layout.header is not None and layout.header[0].strip().lower() in INDEX_NAMES:
        return frozenset((0,))
    if layout.header is not None or _square(layout.columns) or not _square(layout.columns - 1):
        return frozenset()
    block = next(line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns)), None)
    values = None if block is None else csv_rows.parse_ordinary(block.text, layout.delimiter, layout.columns)
    return frozenset((0,)) if values is not None and _counts(values[:, 0]) else frozenset()


def read_table(path: Path) -> NDArray[Any]:
    """Return a table without its header and without a row index.

    Returns:
      float64, or text where it holds words; [n] where it has one column, else [n, columns].

    Raises:
      BadInput: if it is no table, or too large.
    """
    _require_text(path)
    layout = sniff(path)
    content = read_payload(path, LARGEST_ARRAYS)
    options = {**_options(layout), "skiprows": layout.first_line - 1}
    if layout.columns == 1 and b"," in content.partition(b"\n")[0]:
        options["delimiter"] = COMMA  # `0,5` is an index and a label, and no number with a decimal comma
    nameless = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].strip() == b",0"
    if nameless:  # a column without a name, beside an index without one
        options["skiprows"] = 1
    try:
        values: NDArray[Any] = np.loadtxt(io.BytesIO(content), dtype=np.float64, **options)
    except ValueError as err:
        values = _words(path, content, options, err)
    if layout.header is not None and len(layout.header) == 1 and layout.header[0] in values[:, 0]:
        # A column of words, whose first line is a row: no name of a column is a label as well.
        values = np.concatenate([[[layout.header[0]]], values])
    if values.shape[1] > 1 and (nameless or _is_index(values[:, 0], layout.header)):
        values = values[:, 1:]
    return values[:, 0] if values.shape[1] == 1 else values


def _require_text(path: Path) -> None:
    with PayloadReader(path) as reader:
        head = reader.read(HEAD)
    if (kind := foreign_kind(head)) is not None:
        raise BadInput("is no table", where=path, wanted="CSV, or a NumPy array (.npy)", got=kind)


def _words(path: Path, content: bytes, options: dict[str, Any], err: ValueError) -> NDArray[Any]:
    """Return a table of labels that are words; a table of pixels holds numbers alone."""
    if part_names.role_of(path.name.partition(".")[0]) == "labels":
        try:
            words: NDArray[Any] = np.loadtxt(io.BytesIO(content), dtype=str, encoding="utf-8", **options)
        except ValueError as cause:
            raise BadInput("its lines are no rows of labels", where=path, got=shortened(cause, 160)) from err
        return np.char.strip(words, " \"'")
    raise BadInput("its lines are no rows of numbers", where=path, got=shortened(err, 160)) from err


def _is_index(column: NDArray[Any], header: tuple[str, ...] | None) -> bool:
    if header is not None:
        return header[0].strip().lower() in INDEX_NAMES
    return column.dtype.kind == "f" and _counts(column)


def _counts(column: NDArray[Any]) -> bool:
    """Return whether numbers count up from 0 or 1, a row to a number."""
    counted = column.astype(np.float64)
    if len(counted) < _FEWEST_COUNTED or counted[0] not in {0, 1}:
        return False
    return bool(np.array_equal(counted - counted[0], np.arange(len(counted))))
