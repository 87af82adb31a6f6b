"""Tables of pixels in Weka's ARFF, such as OpenML's mnist_784; SciPy reads the declarations, NumPy the numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, shortened
from components.ingest.payload import PayloadReader
from components.untrusted import LARGEST_ARRAYS
from pipeline.datasets.imports import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.datasets.imports.contents import Contents, File, Fit, Options

_BLOCK: Final = 1 << 22
_LONGEST_HEADER: Final = 1 << 24
_FEWEST: Final = 5  # attributes: fewer are no image and a label


def contents(file: File, options: Options, *, fit: Fit | None) -> Contents:
    """Return the contents of an ARFF file of one label and as many pixels as an image has.

    Raises:
      BadInput: if it is none, is sparse, or lacks values.
    """
    header, first_line, rest = _header(file)
    names, label = _attributes(file, header)
    images, labels = _table(file, rest, len(names), label, first_line)
    return arrays.as_contents(file, images, labels, options, fit=fit, form="arff")


def _header(file: File) -> tuple[str, int, Iterator[bytes]]:
    """Return the declarations, the number of the first line of data, and the blocks of what follows."""
    reader = PayloadReader(file.path)
    head = b""
    while True:
        block = reader.read(_BLOCK)
        head += block
        at = _data_line(head)
        if at is not None:
            break
        if not block or len(head) > _LONGEST_HEADER:
            raise BadInput("no ARFF file", where=file.path, wanted="a line @DATA after the attributes")
    text = head[:at].decode("utf-8", "replace")
    after = head[at:]

    def rest() -> Iterator[bytes]:
        yield after
        total = len(after)
        while block := reader.read(_BLOCK):
            total += len(block)
            if total > LARGEST_ARRAYS:
                raise BadInput(
                    "too large for what it should be", where=file.path, wanted=f"at most {LARGEST_ARRAYS} bytes"
                )
            yield block

    return text, text.count("\n") + 1, rest()


def _data_line(head: bytes) -> int | None:
    """Return where the line after `@DATA` begins."""
    start = 0
    while (end := head.find(b"\n", start)) >= 0:
        if head[start:end].strip().lower() == b"@data":
            return end + 1
        start = end + 1
    return None


def _attributes(file: File, header: str) -> tuple[list[str], int]:
    """Return the attributes' names, and which one is the label: the one of words, or by its name, or the last."""
    from scipy.io import arff

    try:
        _, meta = arff.loadarff(io.StringIO(header))
        names, kinds = list(meta.names()), list(meta.types())
    except (
        arff.ArffError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        StopIteration,
        NotImplementedError,
    ) as err:
        raise BadInput("no ARFF file that can be read", where=file.path, got=shortened(err, 120)) from err
    if len(names) < _FEWEST:
        raise BadInput("no table of pixels", where=file.path, got=f"{len(names)} attributes")
    words = [n for n, kind in enumerate(kinds) if kind != "numeric"]
    if len(words) > 1:
        got = ", ".join(names[n] for n in words[:5])
        raise BadInput("more than one attribute is no number", where=file.path, wanted="a label and pixels", got=got)
    called = [n for n, name in enumerate(names) if name.lower() in ("class", "label", "target")]
    return names, (words or called or [len(names) - 1])[0]


def _table(
    file: File, blocks: Iterator[bytes], columns: int, label: int, first_line: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    pixels = [n for n in range(columns) if n != label]
    images: list[NDArray[Any]] = []
    labels: list[str] = []
    line = first_line
    for text in _whole_lines(blocks):
        rows = [(line + n, row) for n, row in enumerate(text.split("\n")) if row.strip() and not row.startswith("%")]
        line += text.count("\n")
        if not rows:
            continue
        fields = [_fields(file, number, row, columns) for number, row in rows]
        labels += [row[label].strip().strip("'\"") for row in fields]
        try:
            values = np.array([[row[n] for n in pixels] for row in fields]).astype(np.float64)
        except ValueError as err:
            raise BadInput("a pixel is no number", where=f"{file.path}: {_first_bad(rows, fields, pixels)}") from err
        images.append(_narrow(values))
    if not labels:
        raise BadInput("holds no rows", where=file.path)
    return np.concatenate(images), _numbers(labels)


def _fields(file: File, number: int, row: str, columns: int) -> list[str]:
    if row.lstrip().startswith("{"):
        raise BadInput("is sparse", where=f"{file.path}: line {number}", hint="save it with all values")
    fields = row.split(",")
    if len(fields) != columns:
        raise BadInput("another number of values", where=f"{file.path}: line {number}", wanted=columns, got=len(fields))
    return fields


def _narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return bytes where the values are bytes: an eighth of the memory."""
    narrow = np.clip(values, 0, 255).astype(np.uint8)
    return narrow if np.array_equal(narrow, values) else values


def _first_bad(rows: list[tuple[int, str]], fields: list[list[str]], pixels: list[int]) -> str:
    for (number, _), row in zip(rows, fields, strict=True):
        if (wrong := next((n for n in pixels if not _is_number(row[n])), None)) is not None:
            return f"line {number} column {wrong + 1}"
    return f"line {rows[0][0]}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(labels: list[str]) -> NDArray[Any]:
    """Return labels as whole numbers where all are, and else as text."""
    try:
        numbers = np.array(labels).astype(np.float64)
    except ValueError:
        return np.array(labels)
    return numbers


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[str]:
    left = b""
    for block in blocks:
        text, newline, left = (left + block).rpartition(b"\n")
        if newline:
            yield (text + newline).decode("utf-8", "replace")
        if len(left) > _LONGEST_HEADER:
            raise BadInput("a line is too long", where="ARFF data")
    if left:
        yield left.decode("utf-8", "replace")
