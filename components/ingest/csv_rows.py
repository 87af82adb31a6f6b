"""Parser of CSV rows; label at either end or named, header or none, comma or tab, gzip by content.

An ordinary block of lines (digits, delimiters, line ends and nothing else) is parsed by arithmetic on its bytes as
one array. Any other block is gone through line by line, which is slower and can say what is wrong where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.errors import BadInput
from components.ingest.chunk import Chunk
from components.ingest.csv_label import label_column, resolve_label
from components.ingest.csv_layout import (
    FEWEST_COUNTED,
    CsvLayout,
    counted_numbers,
    pixel_columns,
    repeated_header,
    require_columns,
    row_fields,
    sniff,
)
from components.ingest.csv_lines import LineBlock, line_blocks, longest_line
from components.ingest.faults import RowFaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from components.settings import DataSettings

    _Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]

__all__ = ["CsvLayout", "counted_row", "iter_chunks", "label_column", "parse_ordinary", "resolve_label", "sniff"]

_ZERO, _LF = ord("0"), ord("\n")
_MOST_DIGITS = 9  # more would not fit the int32 that unusual rows are gathered in; no pixel has as many


def iter_chunks(path: Path, data: DataSettings, *, rows: int, label: int | None = None) -> Iterator[Chunk]:
    """Yield the rows of one file in its order.

    Args:
      path: a raw or gzip file.
      data: shape, pixel maximum, label count and where the label stands.
      rows: rows of a chunk; the last one has fewer.
      label: the label's column, as `resolve_label` found it for all files together; None looks at this file alone.

    Raises:
      BadInput: at once for a line at fault as a whole, naming it. For unusable values, chunks end with the first one,
        and the error follows when all rows have been seen: it names the first ten and counts them.
    """
    layout = sniff(path)
    require_columns(path, layout, data)
    parser = _Parser(path, layout, data, resolve_label([path], data) if label is None else label)
    count = 0
    for chunk in _chunks(parser.parsed(), rows):
        count += len(chunk)
        yield chunk
    parser.faults.raise_if_any()
    if not count:
        raise BadInput("holds no rows", where=path, got="a header alone")


class _Parser:
    """Turns the blocks of one file into rows, and notes the rows that cannot be used in `faults`."""

    def __init__(self, path: Path, layout: CsvLayout, data: DataSettings, label: int) -> None:
        self.path, self.layout, self.data, self.label = path, layout, data, label
        self.pixels = pixel_columns(path, layout, label, data)
        self.faults = RowFaults(path, data, "line")

    def parsed(self) -> Iterator[_Rows]:
        """Yield pixels uint8 [n, height * width] and labels int64 [n] of each block, until there are faults."""
        longest = longest_line(self.layout.columns)
        for block in line_blocks(self.path, start=self.layout.first_line, longest=longest):
            values = parse_ordinary(block.text, self.layout.delimiter, self.layout.columns)
            numbers = range(block.first, block.first + (0 if values is None else len(values)))
            if values is None:
                values = self._unusual(block)
            elif (header := counted_row(values)) is not None:
                raise repeated_header(self.path, block.first + header)
            pixels, labels = self._picked(values), values[:, self.label].astype(np.int64)
            if numbers:
                self.faults.check(pixels, labels, numbers, self.pixels + 1)
            if not self.faults:
                yield pixels.astype(np.uint8), labels

    def _picked(self, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
        first = int(self.pixels[0])
        if np.array_equal(self.pixels, np.arange(first, first + len(self.pixels))):
            return values[:, first : first + len(self.pixels)]  # a view is five times faster than picking columns
        return values[:, self.pixels]

    def _unusual(self, block: LineBlock) -> NDArray[np.uint16]:
        rows = []
        for number, line in block.lines():
            values = row_fields(self.path, number, line, self.layout)
            if len(values) >= FEWEST_COUNTED and counted_numbers(values) is not None:
                raise repeated_header(self.path, number)
            if self._usable(number, values):
                rows.append([int(value) for value in values])
        return np.array(rows, np.uint16).reshape(len(rows), self.layout.columns)

    def _usable(self, number: int, values: list[str]) -> bool:
        good = _is_below(values[self.label], self.data.label_count)
        if not good:
            self.faults.label(number, values[self.label])
        limit = self.data.pixel_max + 1
        for column, value in enumerate(values):
            if column != self.label and not _is_below(value, limit):
                scaled = all(_is_scaled(values[pixel]) for pixel in self.pixels)
                self.faults.pixel(number, column + 1, value, scaled=scaled)
                return False
        return good


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


def _chunks(parts: Iterable[_Rows], rows: int) -> Iterator[Chunk]:
    start, held = 0, 0
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


def _is_below(text: str, limit: int) -> bool:
    text = text.strip(" ")
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) < limit


def _is_scaled(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False
