"""Parser of CSV rows, gzip by content; `components.ingest.csv_columns` says what their columns are.

An ordinary block of lines (digits, delimiters, line ends and nothing else) is parsed by arithmetic on its bytes as
one array. A block is made ordinary where that takes little: columns that are left aside go, labels in words become
their numbers, and whole numbers written as floats lose their point. Any other block is gone through line by line,
which is slower and can say what is wrong where.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from components.errors import BadInput
from components.ingest.chunk import Chunk
from components.ingest.csv_columns import Columns, one_hot_value, resolve_columns
from components.ingest.csv_layout import (
    FEWEST_COUNTED,
    CsvLayout,
    counted_numbers,
    pixel_columns,
    repeated_header,
    row_fields,
    sniff,
)
from components.ingest.csv_lines import SPACE, LineBlock, line_blocks, longest_line
from components.ingest.faults import RowFaults
from components.ingest.orientation import upright

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from components.ingest.extents import Extent
    from components.settings import DataSettings

    _Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]

__all__ = ["Columns", "CsvLayout", "counted_row", "iter_chunks", "parse_ordinary", "resolve_columns", "sniff"]

_ZERO, _LF = ord("0"), ord("\n")
_WHOLE: Final = re.compile(r"([0-9]+)(?:[.,]0*)?", re.ASCII)
_TRUE: Final = re.compile(rb"(?<![^,;|\t \n])True(?![^,;|\t \n])", re.IGNORECASE)
_FALSE: Final = re.compile(rb"(?<![^,;|\t \n])False(?![^,;|\t \n])", re.IGNORECASE)
_MOST_DIGITS = 9  # more would not fit the int32 that unusual rows are gathered in; no pixel has as many


def iter_chunks(
    path: Path, data: DataSettings, *, rows: int, columns: Columns | None = None, extent: Extent | None = None
) -> Iterator[Chunk]:
    """Yield the rows of one file in its order, with upright images and labels from 0.

    Args:
      path: a raw or gzip file.
      data: shape, pixel maximum, labels and where they stand.
      rows: rows of a chunk; the last one has fewer.
      columns: as `resolve_columns` found them for all files together; None looks at this file alone.
      extent: which lines to read; None reads all.

    Raises:
      BadInput: at once for a line at fault as a whole, naming it. For unusable values, chunks end with the first one,
        and the error follows when all rows have been seen: it names the first ten and counts them.
    """
    columns = resolve_columns([path], data) if columns is None else columns
    parser = RowParser(path, sniff(path), data, columns)
    count = 0
    for chunk in _chunks(parser.parsed(extent), rows, start=0 if extent is None else extent.first):
        count += len(chunk)
        yield chunk
    parser.faults.raise_if_any()
    if not count:
        raise BadInput("holds no rows", where=path, got="a header alone")


class RowParser:
    """Turns the blocks of one file into rows, and notes the rows that cannot be used in `faults`."""

    def __init__(self, path: Path, layout: CsvLayout, data: DataSettings, columns: Columns) -> None:
        self.path, self.layout, self.data, self.columns = path, layout, data, columns
        self.pixels = pixel_columns(path, layout, columns.others, data)
        self.faults = RowFaults(path, data, "line", texts=columns.texts)
        self._kept = [column for column in range(layout.columns) if column not in columns.ignored]
        # Where the kept columns are once the others are gone.
        self._labels = np.searchsorted(self._kept, columns.label)
        self._places = np.searchsorted(self._kept, self.pixels)
        self._numbers = {text: data.label_offset + number for number, text in enumerate(columns.texts)}

    def parsed(self, extent: Extent | None = None) -> Iterator[_Rows]:
        """Yield pixels uint8 [n, height * width] and labels int64 [n] of each block, until there are faults."""
        longest = longest_line(self.layout.columns)
        for block in line_blocks(self.path, start=self.layout.first_line, longest=longest, extent=extent):
            values = self.ordinary(block.text)
            numbers = range(block.first, block.first + (0 if values is None else len(values)))
            if values is None:
                values = self._unusual(block)
            elif (header := counted_row(values)) is not None:
                raise repeated_header(self.path, block.first + header)
            pixels, labels = self.picked(values)
            if numbers:
                self.faults.check(pixels, labels, numbers, self.pixels + 1)
            if not self.faults:
                yield upright(pixels.astype(np.uint8), self.data), labels - self.data.label_offset

    def ordinary(self, text: bytes) -> NDArray[np.uint16] | None:
        """Return the kept columns of whole lines, [lines, columns], if they can be made ordinary; else None."""
        delimiter = self.layout.delimiter
        if delimiter == SPACE:
            text = _single_spaces(text)
        if self.columns.ignored or self._numbers:
            selected = self._selected(text, delimiter.encode())
            if selected is None:
                return None
            text = selected
        if len(self.columns.label) > 1 and (b"e" in text or b"E" in text):
            text = _TRUE.sub(b"1", _FALSE.sub(b"0", text))
        values = parse_ordinary(text, delimiter, len(self._kept))
        return parse_ordinary(_tidy(text, delimiter), delimiter, len(self._kept)) if values is None else values

    def _selected(self, text: bytes, mark: bytes) -> bytes | None:
        """Return the lines with the kept columns alone and numbers for words; None where that takes a closer look."""
        if b'"' in text:
            return None
        numbers = {word.encode(): str(number).encode() for word, number in self._numbers.items()}
        label, lines = int(self._labels[0]), []
        for line in text.split(b"\n")[:-1]:
            values = line.split(mark)
            if len(values) != self.layout.columns:
                return None
            kept = [values[column] for column in self._kept]
            if numbers and (number := numbers.get(kept[label].strip())) is not None:
                kept[label] = number
            lines.append(mark.join(kept))
        return b"\n".join(lines) + b"\n"

    def picked(self, values: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Return pixels [n, height * width] in the order of the file's images, and labels [n] as the file counts them."""
        return self._picked_pixels(values), self._picked_labels(values)

    def _picked_pixels(self, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
        first = int(self._places[0])
        if np.array_equal(self._places, np.arange(first, first + len(self._places))):
            return values[:, first : first + len(self._places)]  # a view is five times faster than picking columns
        return values[:, self._places]

    def _picked_labels(self, values: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Return the labels as the file counts them, [n]; one that is out of range for a row without exactly one 1."""
        labels = values[:, self._labels].astype(np.int64)
        if labels.shape[1] == 1:
            return labels[:, 0]
        is_one_hot = (labels.sum(axis=1) == 1) & (labels.max(axis=1) == 1)
        return np.where(is_one_hot, labels.argmax(axis=1), labels.shape[1]) + self.data.label_offset

    def _unusual(self, block: LineBlock) -> NDArray[np.uint16]:
        rows = []
        for number, line in block.lines():
            values = row_fields(self.path, number, line, self.layout)
            if len(values) >= FEWEST_COUNTED and counted_numbers(values) is not None:
                raise repeated_header(self.path, number)
            if self._usable(number, values):
                rows.append([self._number(column, values[column]) for column in self._kept])
        return np.array(rows, np.uint16).reshape(len(rows), len(self._kept))

    def _usable(self, number: int, values: list[str]) -> bool:
        labels = [self._number(column, values[column]) for column in self.columns.label]
        if len(labels) == 1:
            good = labels[0] is not None and 0 <= labels[0] - self.data.label_offset < self.data.label_count
            if good and labels[0] is not None:
                self.faults.note_range(labels[0], labels[0])
        else:
            good = sorted(labels, key=str) == [0] * (len(labels) - 1) + [1]
        if not good:
            self.faults.label(number, " ".join(values[column] for column in self.columns.label))
        others = self.columns.others
        for column, value in enumerate(values):
            if column not in others and ((pixel := _whole(value)) is None or pixel > self.data.pixel_max):
                scaled = all(_is_scaled(values[pixel]) for pixel in self.pixels)
                self.faults.pixel(number, column + 1, value, scaled=scaled)
                return False
        return good

    def _number(self, column: int, value: str) -> int | None:
        if self._numbers and column in self.columns.label:
            return self._numbers.get(value.strip())
        if len(self.columns.label) > 1 and column in self.columns.label:
            return one_hot_value(value)
        return _whole(value)


def _single_spaces(text: bytes) -> bytes:
    return b"".join(b" ".join(line.split()) + b"\n" for line in text.split(b"\n")[:-1])


def _tidy(text: bytes, delimiter: str) -> bytes:
    """Return lines without what may stand around a whole number: blanks, and a point with zeros (`5.0`)."""
    mark = re.escape(delimiter.encode())
    if delimiter != SPACE and b" " in text:
        text = re.sub(rb" *(" + mark + rb"|\n) *", rb"\1", b"\n" + text)[1:]
    point = b"[.,]" if delimiter == ";" else rb"\."
    return re.sub(rb"(?<=[0-9])" + point + rb"0*(?=" + mark + rb"|\n)", b"", text)


def parse_ordinary(text: bytes, delimiter: str, columns: int) -> NDArray[np.uint16] | None:
    """Parse lines that hold nothing but numbers of one to three digits.

    Args:
      text: whole lines, each ended by LF.
      delimiter: one ASCII character.
      columns: numbers in each line.

    Returns:
      The numbers, [lines, columns], or None when anything in the text is out of the ordinary.
    """
    digits = np.frombuffer(text, np.uint8) - np.uint8(_ZERO)  # below "0" wraps round to more than 9
    is_digit = digits < 10
    is_end = ~is_digit
    ends = digits[is_end]
    if len(ends) % columns or is_end[0] or (is_end[1:] & is_end[:-1]).any():
        return None
    ends = ends.reshape(-1, columns) + np.uint8(_ZERO)
    if (ends[:, -1] != _LF).any() or (ends[:, :-1] != ord(delimiter)).any():
        return None
    pairs = is_digit[1:] & is_digit[:-1]
    if (pairs[2:] & pairs[:-2]).any():
        return None
    # The value at a number's last digit: units, tens where a digit precedes, hundreds where two do.
    values = digits.astype(np.uint16)
    values[1:] += np.multiply(digits[:-1], pairs, dtype=np.uint16) * np.uint16(10)
    values[2:] += np.multiply(digits[:-2], pairs[1:] & pairs[:-1], dtype=np.uint16) * np.uint16(100)
    rows: NDArray[np.uint16] = values[:-1][is_end[1:]].reshape(-1, columns)
    return rows


def counted_row(values: NDArray[np.uint16]) -> int | None:
    """Return the first row whose numbers count the columns up, as a header's do and no image's; None without one.

    Labels stand at either end, so a few columns beside it say nearly always that there is none, at hardly any cost.
    """
    if values.shape[1] < FEWEST_COUNTED:
        return None
    steps = values[:, 2:5] == values[:, 1:4] + 1
    for row in steps.all(axis=1).nonzero()[0]:
        if np.array_equal(np.sort(values[row]), values[row].min() + np.arange(values.shape[1])):
            return int(row)
    return None


def _chunks(parts: Iterable[_Rows], rows: int, *, start: int) -> Iterator[Chunk]:
    held = 0
    pending: list[_Rows] = []
    for part in parts:
        pending.append(part)
        held += len(part[1])
        if held >= rows:
            pixels, labels = _joined(pending)
            whole = held - held % rows
            for at in range(0, whole, rows):
                yield Chunk(start=start + at, pixels=pixels[at : at + rows], labels=labels[at : at + rows])
            start, held, pending = start + whole, held - whole, [(pixels[whole:], labels[whole:])]
    if held:
        pixels, labels = _joined(pending)
        yield Chunk(start=start, pixels=pixels, labels=labels)


def _joined(parts: list[_Rows]) -> _Rows:
    return np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])


def _whole(text: str) -> int | None:
    """Return a whole number of up to `_MOST_DIGITS` digits, also of one written as a float; None for anything else."""
    match = _WHOLE.fullmatch(text.strip(" "))
    return int(match[1]) if match is not None and len(match[1]) <= _MOST_DIGITS else None


def _is_scaled(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False
