"""The layout of a CSV file by its first line: delimiter, header, and which column is which pixel."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from components.errors import BadInput
from components.ingest.csv_lines import SPACE, bad_line, fields, first_lines
from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from components.settings import DataSettings

COMMA: Final = ","
TAB: Final = "\t"
SEMICOLON: Final = ";"
DELIMITERS: Final = {COMMA: "commas", TAB: "tabs", SEMICOLON: "semicolons", "|": "bars", SPACE: "spaces"}
"""What may stand between fields, and what it is called."""

LONGEST_NAME: Final = 100
"""Characters of a field in the first line; a longer one is neither a name nor a number that could be used."""

FEWEST_COUNTED: Final = 10
"""Numbers that count up make a header where there are as many; three or four of them may be an image as well."""

FEWEST_COLUMNS: Final = 17
"""A label and the smallest image that anybody would have, 4x4."""

INDEX_NAMES: Final = frozenset(
    ("", "index", "idx", "id", "row", "rowid", "row_id", "rownames", "imageid", "unnamed: 0", "level_0")
)
"""Names of a column that numbers the rows; pandas writes the first for an index without a name."""

ROW_NAMES: Final = "rownames"
"""What a column is called that has no name because R wrote its row names there."""

COMMENT: Final = b"#"
"""What lines before the first row may begin with."""

_FEWEST_INCREASING: Final = 30  # the pixels of a small image may do so by chance
_DECIMAL_COMMA: Final = re.compile(r'"?([^,]*|[0-9]+,[0-9]*)"?')
_NUMBERS: Final = re.compile(r"[0-9]+")
# 1x1, pixel_0_0, r1c1: the row comes first. Anything else (x3y7, c1r1) may mean the opposite, and is refused.
_ROW_FIRST: Final = re.compile(r"(.*[^xc])?\d+[x_.:c-]\d+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """How the lines of one file are to be read.

    Attributes:
      delimiter: one of `DELIMITERS`.
      header: the names in the first line, or None where it is a row already, or a header that names nothing: a row
        that pandas took for one.
      columns: fields in a line, label included.
      first_line: number of the first row's line, from 1.
      counted: the numbers in a header that has nothing but whole numbers, which count its columns up or increase.
      nameless: whether the first line is a row that pandas took for a header.
    """

    delimiter: str
    header: tuple[str, ...] | None
    columns: int
    first_line: int
    counted: tuple[int, ...] | None = None
    nameless: bool = False


def sniff(path: Path) -> CsvLayout:
    """Return the layout that the first line gives that is neither blank nor a comment.

    A line is a header when it holds names and, beside them, nothing but numbers counted up (the names that pandas
    gives to unnamed columns), or nothing but such numbers or others that increase from field to field, or a row that
    pandas took for a header and made unique (`0,0.1,0.2`). So a row with a stray word in it is never taken for a header and lost, and no header for a row.

    The last of the comments before a row (`# label,pixel0`) is its header, as `numpy.savetxt` writes one, where it names
    each of its fields. A header with one name less than there are fields leaves the first one out: R's row names.

    Raises:
      BadInput: for a file without any line, one that is no text, or a name that comes twice.
    """
    _require_text(path)
    (number, line), comment, after = _beginning(path)
    delimiter = _delimiter(line)
    names = [name.strip() for name in fields(path, number, line, delimiter)]
    # A single field is a line with another delimiter, and where the columns are counted that is said.
    if len(names) > 1 and (longest := next((name for name in names if len(name) > LONGEST_NAME), None)):
        wanted = f"numbers, or names of at most {LONGEST_NAME} characters"
        raise bad_line(path, number, "has a field that is too long", wanted=wanted, got=f"{len(longest)} characters")
    counted = counted_numbers(names) or _increasing(names)
    is_header = _is_header(names) or (counted is not None and len(names) >= FEWEST_COUNTED)
    if not is_header and (said := _names_in(comment, delimiter)) is not None and len(said) == len(names):
        return CsvLayout(delimiter=delimiter, header=said, columns=len(names), first_line=number)
    if is_header and counted is None and len(_split(after, delimiter)) == len(names) + 1:
        names.insert(0, ROW_NAMES)
    if is_header and (twice := sorted(name for name, count in Counter(names).items() if count > 1)):
        raise bad_line(path, number, "names a column twice", got=repr(twice[0]))
    nameless = not is_header and _is_row_made_unique(names)
    return CsvLayout(
        delimiter=delimiter,
        header=tuple(names) if is_header else None,
        columns=len(names),
        first_line=number + 1 if is_header or nameless else number,
        counted=counted,
        nameless=nameless,
    )


def _beginning(path: Path) -> tuple[tuple[int, bytes], bytes, bytes]:
    """Return the first line that is no comment, the comment before it, and the line after it; empty where there is none."""
    comment = b""
    lines = first_lines(path)
    for number, line in lines:
        if not line.lstrip().startswith(COMMENT):
            return (number, line), comment, next((after for _, after in lines), b"")
        comment = line
    raise BadInput("holds no rows", where=path, got="comments alone" if comment else None)


def _names_in(comment: bytes, delimiter: str) -> tuple[str, ...] | None:
    """Return the names of columns that a comment gives; None for any other comment."""
    names = [name.strip() for name in _split(comment.strip().lstrip(COMMENT), delimiter)]
    usable = names and max(map(len, names)) <= LONGEST_NAME and len(set(names)) == len(names)
    return tuple(names) if usable and _is_header(names) else None


def _split(line: bytes, delimiter: str) -> list[str]:
    """Return the fields of a line that is looked at; none of one that is at fault, which is for the parser to say."""
    try:
        return fields(Path(), 0, line, delimiter)
    except BadInput:
        return []


def square_guess(columns: int) -> tuple[int, int] | None:
    """Guess that a CSV row of so many fields is a label and a square image; None where no square fits."""
    side = math.isqrt(columns - 1)
    return (side, side) if side and side * side == columns - 1 else None


def row_fields(path: Path, number: int, line: bytes, layout: CsvLayout) -> list[str]:
    """Return the fields of one line of data, quotes taken off.

    Raises:
      BadInput: for a line that is no text, has more or fewer fields than the first one, or is the header once more.
    """
    values = fields(path, number, line, layout.delimiter)
    if len(values) != layout.columns:
        what = "has too few fields" if len(values) < layout.columns else "has too many fields"
        raise bad_line(path, number, what, wanted=str(layout.columns), got=str(len(values)))
    if layout.header is not None and values[0].strip() == layout.header[0]:
        names = [value.strip() for value in values]
        if names == list(layout.header):
            raise repeated_header(path, number)
    return values


def repeated_header(path: Path, number: int) -> BadInput:
    """Return the error for a header amid the rows, as joining two files leaves one."""
    return bad_line(path, number, "is a header amid the rows", hint="delete the line, or give the files one by one")


def pixel_columns(path: Path, layout: CsvLayout, others: Collection[int], data: DataSettings) -> NDArray[np.int64]:
    """Return the columns of pixel 0, 1, 2 ... in row order, [height * width].

    Numbered names are put into the order of their numbers, whatever order the columns have.

    Args:
      path: the file, for the error.
      layout: its layout.
      others: the columns that are no pixels.
      data: says how many pixels there are, in rows of which length.

    Raises:
      BadInput: for names whose order cannot be told.
    """
    columns = np.array([column for column in range(layout.columns) if column not in others])
    if layout.header is None:
        return columns
    if layout.counted is not None:
        return columns[np.argsort([layout.counted[column] for column in columns], kind="stable")]
    names = [layout.header[column] for column in columns]
    order = _order(names, data)
    if order is None:
        height, width = data.file_shape
        raise bad_line(
            path,
            layout.first_line - 1,
            "has names that do not say the order of the pixels",
            wanted=f"numbered names such as pixel0 to pixel{data.pixels - 1}, or 1x1 to {height}x{width}",
            got=f"{names[0]!r} to {names[-1]!r}",
            hint="without the header line, columns are taken as they stand",
        )
    return columns[order]


def odd_name(header: Sequence[str]) -> int | None:
    """Return the one column whose name is unlike those of all others once numbers are left out; None without one."""
    kinds = [_NUMBERS.sub("0", name.strip().lower()) for name in header]
    counts = Counter(kinds)
    alone = [column for column, kind in enumerate(kinds) if counts[kind] == 1]
    return alone[0] if len(alone) == 1 and len(counts) == 2 and len(kinds) > 3 else None


def counted_numbers(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the whole numbers that `names` are (`0`, `1.0`), if together they count up without a gap; else None."""
    try:
        values = [float(name) for name in names]
    except ValueError:
        return None
    # Beyond 2**53 a float no longer tells neighbours apart.
    if len(values) < 3 or not all(value.is_integer() and 0 <= value < 1 << 53 for value in values):
        return None
    numbers = tuple(int(value) for value in values)
    distinct = len(set(numbers)) == len(numbers)
    return numbers if distinct and max(numbers) - min(numbers) == len(numbers) - 1 else None


def _increasing(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the whole numbers that `names` are, if each is larger than the one before it, as in no image; else None."""
    if len(names) < _FEWEST_INCREASING or not all(map(_NUMBERS.fullmatch, names)):
        return None
    numbers = tuple(map(int, names))
    return numbers if all(one < other for one, other in itertools.pairwise(numbers)) else None


def _delimiter(line: bytes) -> str:
    """Return what separates the fields of a line; a comma where nothing does."""
    counts = {mark: line.count(mark.encode()) for mark in DELIMITERS if mark != SPACE}
    mark = max(counts, key=counts.__getitem__)  # of equal counts the comma, which is first
    if not counts[mark]:
        return SPACE if b" " in line.strip() else COMMA
    if mark == COMMA and counts[COMMA] <= counts[SEMICOLON] + 1:
        # Where commas are decimal points, there are as many of them as fields.
        pieces = line.decode(errors="replace").strip().split(SEMICOLON)
        return SEMICOLON if all(map(_DECIMAL_COMMA.fullmatch, pieces)) else COMMA
    return mark


def _require_text(path: Path) -> None:
    with PayloadReader(path) as reader:
        head = reader.read(HEAD)
    if (kind := foreign_kind(head) or idx_kind(head)) is not None:
        raise BadInput("is no CSV file", where=path, wanted="rows of numbers", got=kind)


def _is_header(names: list[str]) -> bool:
    if not names[0] and len(names) > 1:
        # An index without a name goes first, and has nothing over it.
        numbered = len(names) > FEWEST_COUNTED and counted_numbers(names[1:]) is not None
        return numbered or _is_header(names[1:])
    numbers = [name for name in names if _is_number(name)]
    if len(numbers) == len(names) or not all(names):
        return False
    whole = [(int(number),) for number in numbers if _NUMBERS.fullmatch(number)]
    return not numbers or _counted_up(whole, len(numbers)) or _is_row_made_unique(numbers)


def _is_row_made_unique(names: Sequence[str]) -> bool:
    """Return whether pandas wrote these names: it took a row for a header, and made of `0,0,0` the names `0,0.1,0.2`."""
    seen: Counter[str] = Counter()
    for name in names:
        base, point, copy = name.partition(".")
        if not _NUMBERS.fullmatch(base) or copy != (str(seen[base]) if seen[base] else "") or bool(point) != bool(copy):
            return False
        seen[base] += 1
    return len(names) >= FEWEST_COUNTED and len(seen) < len(names)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))  # a decimal comma, where semicolons separate
    except ValueError:
        return False
    return True


def _order(names: list[str], data: DataSettings) -> NDArray[np.int64] | None:
    if _is_row_made_unique(names):
        return np.arange(len(names))  # names of nothing, as they stand
    if len({_NUMBERS.sub("0", name) for name in names}) != 1:
        return None
    numbers = [tuple(map(int, _NUMBERS.findall(name))) for name in names]
    # From 2 where a label of the same name is 1: R calls columns V1, V2 and so on.
    in_order = len(numbers[0]) == 1 and _counted_up(numbers, data.pixels, bases=(0, 1, 2))
    in_grid = len(numbers[0]) == 2 and _ROW_FIRST.fullmatch(names[0]) and _is_grid(numbers, data.file_shape)
    return np.array(sorted(range(len(names)), key=numbers.__getitem__)) if in_order or in_grid else None


def _counted_up(numbers: Sequence[tuple[int, ...]], count: int, *, bases: Sequence[int] = (0, 1)) -> bool:
    return len(numbers) == count and any(set(numbers) == {(i + base,) for i in range(count)} for base in bases)


def _is_grid(numbers: list[tuple[int, ...]], shape: tuple[int, int]) -> bool:
    cells = [(row, column) for row in range(shape[0]) for column in range(shape[1])]
    return any(set(numbers) == {(row + base, column + base) for row, column in cells} for base in (0, 1))
