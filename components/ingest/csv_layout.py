"""The first line of a CSV file -> delimiter, header and number of columns; a header -> which column is which pixel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from components.errors import BadInput
from components.ingest.csv_lines import bad_line, fields, line_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from components.settings import DataSettings

COMMA: Final = ","
TAB: Final = "\t"
_OTHER_DELIMITERS: Final = {";": "semicolons", "|": "bars", " ": "spaces"}
_NUMBERS: Final = re.compile(r"[0-9]+")
# 1x1, pixel_0_0, r1c1: the row comes first. Anything else (x3y7, c1r1) may mean the opposite, and is refused.
_ROW_FIRST: Final = re.compile(r"(.*[^xc])?\d+[x_.:c-]\d+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """How the lines of one file are to be read.

    Attributes:
      delimiter: comma or tab.
      header: the names in the first line, or None where it is a row already.
      columns: fields in a line, label included.
      first_line: number of the first row's line, from 1.
    """

    delimiter: str
    header: tuple[str, ...] | None
    columns: int
    first_line: int


def sniff(path: Path) -> CsvLayout:
    """Reads the layout off the first line that is not blank.

    A line is a header when it holds names and, beside them, nothing but numbers counted up (the names that pandas
    gives to unnamed columns). So a row with a stray word in it is never taken for a header and lost.

    Raises:
      BadInput: for a file without any line, a first line that is no text, or a name that comes twice.
    """
    number, line = _first_line(path)
    delimiter = TAB if line.count(b"\t") > line.count(b",") else COMMA
    names = [name.strip() for name in fields(path, number, line, delimiter)]
    if not _is_header(names):
        return CsvLayout(delimiter=delimiter, header=None, columns=len(names), first_line=number)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise bad_line(path, number, "names a column twice", got=repr(twice[0]))
    return CsvLayout(delimiter=delimiter, header=tuple(names), columns=len(names), first_line=number + 1)


def require_columns(path: Path, layout: CsvLayout, data: DataSettings) -> None:
    """Refuses a file whose first line has not one field for each pixel and one for the label.

    Raises:
      BadInput: with both numbers.
    """
    if layout.columns == data.pixels + 1:
        return
    height, width = data.shape
    raise BadInput(
        "wrong number of columns in the first line",
        where=path,
        wanted=f"{data.pixels + 1} ({height}x{width} pixels and a label)",
        got=layout.columns,
        hint=_column_hint(path, layout, data),
    )


def row_fields(path: Path, number: int, line: bytes, layout: CsvLayout) -> list[str]:
    """Returns the fields of one line of data, quotes taken off.

    Raises:
      BadInput: for a line that is no text, or has more or fewer fields than the first one.
    """
    values = fields(path, number, line, layout.delimiter)
    if len(values) != layout.columns:
        what = "has too few fields" if len(values) < layout.columns else "has too many fields"
        raise bad_line(path, number, what, wanted=str(layout.columns), got=str(len(values)))
    return values


def pixel_columns(path: Path, layout: CsvLayout, label: int, data: DataSettings) -> NDArray[np.int64]:
    """Returns the columns of pixel 0, 1, 2 ... in row order, [height * width].

    Numbered names are put into the order of their numbers, whatever order the columns have.

    Raises:
      BadInput: for names whose order cannot be told.
    """
    columns = np.array([column for column in range(layout.columns) if column != label])
    if layout.header is None:
        return columns
    names = [layout.header[column] for column in columns]
    order = _order(names, data)
    if order is None:
        raise bad_line(
            path,
            layout.first_line - 1,
            "has names that do not say the order of the pixels",
            wanted=f"numbered names such as pixel0 to pixel{data.pixels - 1}, or 1x1 to {data.shape[0]}x{data.shape[1]}",
            got=f"{names[0]!r} to {names[-1]!r}",
            hint="without the header line, columns are taken as they stand",
        )
    return columns[order]


def _first_line(path: Path) -> tuple[int, bytes]:
    for block in line_blocks(path):
        for number, line in block.lines():
            if line.strip():
                return number, line
    raise BadInput("holds no rows", where=path)


def _is_header(names: list[str]) -> bool:
    counted = [name for name in names if _is_number(name)]
    if len(counted) == len(names) or not all(names):
        return False
    return not counted or _counted_up([(int(n),) for n in counted if n.isdecimal()], len(counted))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _order(names: list[str], data: DataSettings) -> NDArray[np.int64] | None:
    if len({_NUMBERS.sub("0", name) for name in names}) != 1:
        return None
    numbers = [tuple(map(int, _NUMBERS.findall(name))) for name in names]
    in_order = len(numbers[0]) == 1 and _counted_up(numbers, data.pixels)
    in_grid = len(numbers[0]) == 2 and _ROW_FIRST.fullmatch(names[0]) and _is_grid(numbers, data.shape)
    return np.array(sorted(range(len(names)), key=numbers.__getitem__)) if in_order or in_grid else None


def _counted_up(numbers: list[tuple[int, ...]], count: int) -> bool:
    return len(numbers) == count and any(set(numbers) == {(i + base,) for i in range(count)} for base in (0, 1))


def _is_grid(numbers: list[tuple[int, ...]], shape: tuple[int, int]) -> bool:
    cells = [(row, column) for row in range(shape[0]) for column in range(shape[1])]
    return any(set(numbers) == {(row + base, column + base) for row, column in cells} for base in (0, 1))


def _column_hint(path: Path, layout: CsvLayout, data: DataSettings) -> str | None:
    if layout.columns == data.pixels:
        return "is the label missing?"
    line = _first_line(path)[1].decode()
    others = [name for mark, name in _OTHER_DELIMITERS.items() if layout.columns == 1 and mark in line.strip()]
    return f"fields must be separated by commas or tabs, these seem to be by {others[0]}" if others else None
