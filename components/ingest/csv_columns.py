"""The columns of CSV files: which hold the label, which are left aside, and the pixels; the same in all files of a data set.

What is not a pixel is known by its name in a header or by its values: an index counts the rows, one-hot labels are a
block at either end with a single 1 in each row, a label in words is the one column without numbers. Where neither says
so, nothing is assumed.
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.ingest.csv_layout import (
    DELIMITERS,
    INDEX_NAMES,
    counted_numbers,
    odd_name,
    pixel_columns,
    row_fields,
    sniff,
)
from components.ingest.csv_lines import SPACE, bad_line, fields, line_blocks, longest_line
from components.ingest.faults import MOST, SHOWN, lines_text, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from components.ingest.csv_layout import CsvLayout
    from components.settings import DataSettings

MOST_CLASSES: Final = 1000
"""Different labels in words; more are no classes."""

_LABEL_NAMES: Final = frozenset(("label", "labels", "class", "target", "digit", "letter", "character", "y"))
_WHOLE: Final = re.compile(rb" *([0-9]{1,5})(?:[.,]0*)? *")
_NUMBER_AT_END: Final = re.compile(r"[0-9]{1,9}$", re.ASCII)
_LOOKED_AT: Final = 100
_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a data set's CSV files are, counted from 0; all others are pixels.

    Attributes:
      label: the label's column, or several with a 1 in that of the row's class and 0 in the others (one-hot), in the
        order of the classes.
      ignored: columns that are neither.
      texts: the labels in words, in the order of their numbers; empty for labels that are numbers.
    """

    label: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def others(self) -> frozenset[int]:
        """The columns that are no pixels."""
        return frozenset((*self.label, *self.ignored))


def colour_side(columns: int) -> int | None:
    """Return the side of a square image in three colours that so many columns are, with a label; None for others."""
    side = math.isqrt(max(0, columns - 1) // 3)
    return side if side > 1 and 3 * side * side == columns - 1 and math.isqrt(columns - 1) ** 2 != columns - 1 else None


def as_colours(path: Path, columns: int) -> str | None:
    """Return the way out for columns that may be colours; None where they are not."""
    side = colour_side(columns)
    if side is None:
        return None
    command = f"mnist-tfx data import {shlex.quote(str(path))} --to grey"
    return f"{side}x{side} in three colours? `{command}` takes their luminance"


def resolve_columns(paths: Sequence[Path], data: DataSettings) -> Columns:
    """Return what the columns are in all `paths` together, so that train and test are read alike.

    Raises:
      BadInput: when the files disagree, have other columns than the settings say, or none that is known to hold the
        label; or for labels in words for which the settings have no names (see `label_texts`).
    """
    columns = _resolved(paths, data)
    if not columns.texts or data.class_names:
        return columns
    # Names that only the rows know would be missing wherever the settings alone are at hand.
    count = len(columns.texts)
    raise BadInput(
        "labels are words, and the settings do not say which",
        where=paths[0],
        wanted=f"{data.label_count} names in data.class_names",
        got=f"{count} classes, {quoted(columns.texts[0])} to {quoted(columns.texts[-1])}",
        hint=f"--set data.label_count={count}"
        if count != data.label_count
        else "give --class-names FILE, a name a line",
    )


def find_columns(paths: Sequence[Path], data: DataSettings) -> Columns:
    """Return what the columns are as `resolve_columns` does, also where only the rows know the names of the labels."""
    return _resolved(paths, data)


def label_texts(paths: Sequence[Path], data: DataSettings) -> tuple[str, ...]:
    """Return the labels in words in order; none where labels are numbers, or the settings have names already.

    Raises:
      BadInput: as `resolve_columns`.
    """
    return () if data.class_names else _resolved(paths, data).texts


def check_columns(paths: Sequence[Path], data: DataSettings) -> dict[Path, Columns | None]:
    """Return what the first lines of each file say about its columns; None where only all rows can tell the label.

    Raises:
      BadInput: when a file has other columns than the settings say, or lacks a name that they have.
    """
    return {path: _by_first_lines(path, sniff(path), data) for path in paths}


def _resolved(paths: Sequence[Path], data: DataSettings) -> Columns:
    layouts = {path: sniff(path) for path in paths}
    parted = {path: _Parted.of(path, layout, data) for path, layout in layouts.items()}
    labels = {path: one.label_column(data.label) for path, one in parted.items()}
    if unnamed := {path: parted[path] for path, label in labels.items() if label is None}:
        labels |= _label_end(unnamed, data)
    if len({(label, parted[path].ignored) for path, label in labels.items()}) > 1:
        got = ", ".join(f"{_words(label or ())} in {path.name}" for path, label in labels.items())
        raise BadInput("the label stands in different columns", where=paths[0].parent, got=got)
    _require_same_classes(layouts, labels[paths[0]] or ())
    columns = Columns(label=labels[paths[0]] or (), ignored=parted[paths[0]].ignored)
    for path, layout in layouts.items():
        _require_no_index(path, layout, columns)
    _require_one_order(layouts, columns, data)
    return replace(columns, texts=_texts(list(parted.values()), columns, data))


def _require_same_classes(layouts: Mapping[Path, CsvLayout], label: tuple[int, ...]) -> None:
    """Refuse one-hot labels whose columns have other names in one file than in another: other classes, or moved ones."""
    names = {path: [layout.header[column] for column in label] for path, layout in layouts.items() if layout.header}
    for path, found in names.items() if len(label) > 1 else ():
        wanted = next(iter(names.values()))
        if found != wanted:
            place = next(k for k in range(len(found)) if found[k] != wanted[k])
            what = "one-hot labels have other names, or another order, than in another file"
            raise BadInput(
                what, where=path, wanted=repr(wanted[place]), got=repr(found[place]), hint="write both alike"
            )


def _by_first_lines(path: Path, layout: CsvLayout, data: DataSettings) -> Columns | None:
    parted = _Parted.of(path, layout, data)
    label = parted.label_column(data.label)
    return None if label is None else Columns(label=label, ignored=parted.ignored)


def _words(label: Sequence[int]) -> str:
    return f"column {label[0] + 1}" if len(label) == 1 else f"columns {min(label) + 1} to {max(label) + 1}"


@dataclass(frozen=True, kw_only=True)
class _Parted:
    """The columns of one file, before it is known which one of the `free` ones is the label.

    Attributes:
      path: the file.
      layout: its layout.
      rows: the fields of its first few rows.
      free: pixels and label, or labels.
      ignored: the others.
      one_hot: the columns of one-hot labels.
    """

    path: Path
    layout: CsvLayout
    rows: Sequence[Sequence[str]]
    free: Sequence[int]
    ignored: tuple[int, ...]
    one_hot: tuple[int, ...] | None = None

    @classmethod
    def of(cls, path: Path, layout: CsvLayout, data: DataSettings) -> _Parted:
        """Part the columns by the names in the header and by the first rows.

        Raises:
          BadInput: when the columns left over are not one for each pixel and one, or several, for the label.
        """
        if layout.counted is not None and layout.header is None and layout.columns == data.pixels + 1:
            what = "may be a header and may be a row: its numbers count up"
            hint = "delete it if it is a header; if it is a row, put a header with a name for each column before it"
            raise bad_line(path, layout.first_line, what, hint=hint)
        ignored = list(_named(path, layout, data.ignore_columns))
        found = cls(
            path=path,
            layout=layout,
            rows=list(_first_rows(path, layout)),
            free=[column for column in range(layout.columns) if column not in ignored],
            ignored=tuple(ignored),
        )
        return found.without_others(data)

    def without_others(self, data: DataSettings) -> _Parted:
        """Leave columns aside that are certain to be no pixels, until those are left that the settings say.

        Raises:
          BadInput: when others are left.
        """
        more = len(self.free) - data.pixels
        if more == 1:
            return self
        if more > 1 and (one_hot := self._one_hot(more)) is not None and more == data.label_count:
            return replace(self, one_hot=one_hot)
        other = self._other() if more > 1 else None
        if other is None:
            raise self._wrong_number(data)
        free = [column for column in self.free if column != other]
        parted = replace(self, free=free, ignored=tuple(sorted((*self.ignored, other))))
        try:
            return parted.without_others(data)
        except BadInput as err:
            raise self._wrong_number(data) from err

    def _one_hot(self, count: int) -> tuple[int, ...] | None:
        for block in (self.free[-count:], self.free[:count]):
            if self._has_pixels(block):
                continue
            if self.rows and all(_is_one_hot([row[column] for column in block]) for row in self.rows):
                return self._by_number(block)
        return None

    def _has_pixels(self, block: Sequence[int]) -> bool:
        """Return whether a header says that some columns of a block are pixels: a label that is 1 and an empty border."""
        header = self.layout.header or ()
        kinds = {column: _NUMBER_AT_END.sub("", header[column]) for column in self.free} if header else {}
        own = {kinds[column] for column in block if kinds}
        return len(own) > 1 and bool(own & {kind for column, kind in kinds.items() if column not in block})

    def _by_number(self, block: Sequence[int]) -> tuple[int, ...]:
        """Return the columns of one-hot labels in the order of their classes, where a header numbers them.

        Classes that were text once are written as `label_0`, `label_1`, `label_10`, `label_11`, and so on.
        """
        names = [self.layout.header[column].strip() for column in block] if self.layout.header else []
        if len({_NUMBER_AT_END.sub("", name) for name in names}) != 1 or not all(map(_NUMBER_AT_END.search, names)):
            return tuple(block)
        numbers = {
            column: int(name[len(_NUMBER_AT_END.sub("", name)) :]) for column, name in zip(block, names, strict=True)
        }
        return tuple(sorted(block, key=numbers.__getitem__))

    def _other(self) -> int | None:
        """Return a column that is certain to be neither pixel nor label: by its name, by counting the rows, or empty."""
        header, (first, *_, last) = self.layout.header or (), self.free
        named = [column for column in self.free if header and header[column].lower() in INDEX_NAMES]
        if named and (header[named[0]] or self._counts_rows(named[0])):
            return named[0]
        if self._counts_rows(first):
            return first
        return last if self.rows and not any(row[last].strip() for row in self.rows) else None

    def _counts_rows(self, column: int) -> bool:
        values = [row[column].strip() for row in self.rows]
        numbers = counted_numbers(values)
        return numbers is not None and list(numbers) == sorted(numbers)

    def _wrong_number(self, data: DataSettings) -> BadInput:
        height, width = data.file_shape
        return BadInput(
            "wrong number of columns in the first line",
            where=self.path,
            wanted=f"{data.pixels + 1} ({height}x{width} pixels and a label)",
            got=self.layout.columns,
            hint=self._hint(data),
        )

    def _hint(self, data: DataSettings) -> str | None:
        more = len(self.free) - data.pixels
        if not more:
            return "is the label missing? `mnist-tfx predict` reads rows without labels"
        if self.layout.columns == 1:
            return f"fields must be separated by {', '.join(DELIMITERS.values())}"
        if more > 1 and self._one_hot(more):
            return f"the label is one-hot, in {more} columns: --set data.label_count={more}"
        if more > 1 and (strange := self._strange()):
            return f"leave columns aside that are no pixels: --ignore-columns {','.join(strange)}"
        square = math.isqrt(max(0, len(self.free) - 1))
        if square and square * square == len(self.free) - 1:
            return f"--set data.shape=[{square},{square}] fits"
        return as_colours(self.path, len(self.free))

    def _strange(self) -> list[str]:
        """Return the names of the columns whose names are unlike those of the many, the label's left out."""
        header = self.layout.header
        if header is None:
            return []
        kinds = {column: re.sub("[0-9]+", "0", header[column]) for column in self.free}
        [(usual, _)] = Counter(kinds.values()).most_common(1)
        names = [header[column] for column, kind in kinds.items() if kind != usual]
        return [name for name in names if name.lower() not in _LABEL_NAMES][:_NAMED]

    def label_column(self, setting: str) -> tuple[int, ...] | None:
        """Return the label's columns where `setting`, the header or the first rows name them, None where only values can.

        Args:
          setting: `first`, `last`, a name in the header, or `auto`, for which a header may say `label`, `class`,
            `target` and the like, or have one name that is unlike those of the pixels; or one column has words.

        Raises:
          BadInput: for a name that the header lacks.
        """
        if self.one_hot is not None:
            return self.one_hot
        header = self.layout.header or ()
        if setting == "auto":
            column = self._by_name(header)
            column = self._in_words() if column is None else column
        elif setting in header:
            column = header.index(setting)
        elif setting in ("first", "last"):
            column = self.free[0] if setting == "first" else self.free[-1]
        else:
            raise _no_such_column(
                self.path, self.layout, setting, option="--label first, last, or a name in the header"
            )
        return None if column is None else (column,)

    def _by_name(self, header: Sequence[str]) -> int | None:
        if not header:
            return None
        named = [column for column in self.free if header[column].strip().lower() in _LABEL_NAMES]
        if len(named) == 1:
            return named[0]
        odd = odd_name([header[column] for column in self.free])
        return None if odd is None else self.free[odd]

    def _in_words(self) -> int | None:
        found = [c for c in self.free if self.rows and all(_is_word(row[c]) for row in self.rows)]
        return found[0] if len(found) == 1 else None


def one_hot_value(text: str) -> int | None:
    """Return the 1 or 0 that a field of one-hot labels holds, also as `1.0`, or as `True`, which pandas writes."""
    value = text.strip().replace(",", ".")
    whole, point, rest = value.partition(".")
    value = whole if point and not rest.strip("0") else value
    return {"1": 1, "0": 0, "true": 1, "false": 0}.get(value.lower())


def _is_one_hot(values: Sequence[str]) -> bool:
    found = [one_hot_value(value) for value in values]
    return None not in found and found.count(1) == 1


def _is_word(text: str) -> bool:
    try:
        float(text.replace(",", "."))  # a decimal comma
    except ValueError:
        return bool(text.strip())
    return False


def _named(path: Path, layout: CsvLayout, names: Sequence[str]) -> Iterator[int]:
    for name in names:
        if name not in (layout.header or ()):
            raise _no_such_column(path, layout, name, option="--ignore-columns names in the header")
        yield (layout.header or ()).index(name)


def _no_such_column(path: Path, layout: CsvLayout, name: str, *, option: str) -> BadInput:
    header = layout.header
    return BadInput(
        f"has no column of the name {name!r}" if header else "has no header that could name a column",
        where=path,
        wanted=None if header else repr(name),
        got=f"{header[0]!r} to {header[-1]!r}" if header else None,
        hint=f"give {option}",
    )


def _first_rows(path: Path, layout: CsvLayout) -> Iterator[list[str]]:
    """Yield the fields of the first few rows, as long as they have as many as the first line."""
    blocks = line_blocks(path, start=layout.first_line)
    lines = ((number, line) for block in blocks for number, line in block.lines())
    for number, line in islice(lines, _LOOKED_AT):
        values = fields(path, number, line, layout.delimiter)
        if len(values) != layout.columns:
            return  # at fault, which is for the parser to say
        yield values


def _require_no_index(path: Path, layout: CsvLayout, columns: Columns) -> None:
    """Refuse a label column that by its name numbers the rows."""
    if layout.header is None or len(columns.label) != 1:
        return
    if (name := layout.header[columns.label[0]]).lower() in INDEX_NAMES:
        raise BadInput(
            "has no label: the column that could hold it numbers the rows",
            where=path,
            got=f"the name {name!r} over column {columns.label[0] + 1}",
            hint="name the label's column with --label, and write the file without the index",
        )


def _require_one_order(layouts: dict[Path, CsvLayout], columns: Columns, data: DataSettings) -> None:
    """Refuse files of one data set where a header puts the columns into another order, and another file has none."""
    bare = [path for path, layout in layouts.items() if layout.header is None]
    for path, layout in layouts.items() if bare else ():
        order = pixel_columns(path, layout, columns.others, data)
        if (order[1:] < order[:-1]).any():
            raise BadInput(
                "has no header, and another file's header says that its columns are not in order",
                where=bare[0],
                wanted=f"a header such as that of {path.name}",
            )


def _texts(files: Sequence[_Parted], columns: Columns, data: DataSettings) -> tuple[str, ...]:
    """Return the labels in words: those of the settings, or all that are there, in order."""
    if len(columns.label) != 1:
        return ()
    (column,) = columns.label
    rows = [row[column] for file in files for row in file.rows]
    words = sum(map(_is_word, rows))
    if not words or (10 * words < 9 * len(rows) and not data.class_names):
        return ()  # a number that is damaged is for the parser to name
    if data.class_names:
        return data.class_names
    found: set[str] = set()
    for file in files:
        for _, value in column_values(file.path, file.layout, (column,)):
            found.add(value[0].decode(errors="replace").strip())
            if len(found) > MOST_CLASSES:
                raise BadInput("more labels in words than there can be classes", where=file.path, got=f"{len(found)}")
    return tuple(sorted(found))


@dataclass
class _EndColumn:
    """What the values of a file's first or last column say about it.

    Attributes:
      lowest: the lowest label.
      label_count: labels are below it and the lowest together.
      seen: values that can be labels.
      rows: rows looked at.
      others: rows whose value cannot be a label.
      lines: the first few lines of those.
      example: the first such value.
      numbers: values that are whole numbers, as long as there are no more of them than classes.
      all_whole: whether all values seen are whole numbers.
    """

    lowest: int
    label_count: int
    seen: set[bytes] = field(default_factory=set)
    rows: int = 0
    others: int = 0
    lines: list[int] = field(default_factory=list)
    example: bytes = b""
    numbers: set[int] = field(default_factory=set)
    all_whole: bool = True

    def see(self, value: bytes, line: int) -> None:
        self.rows += 1
        if value in self.seen:
            return
        match = _WHOLE.fullmatch(value)
        self.all_whole = self.all_whole and match is not None
        if match and len(self.numbers) <= self.label_count:
            self.numbers.add(int(match[1]))
        if match and 0 <= int(match[1]) - self.lowest < self.label_count:
            self.seen.add(value)
            return
        self.example = value if not self.others else self.example
        self.others += 1
        if len(self.lines) < SHOWN:
            self.lines.append(line)

    @property
    def distinct(self) -> set[int]:
        return {int(match[1]) for match in map(_WHOLE.fullmatch, self.seen) if match}

    @property
    def offset(self) -> int | None:
        """The lowest label under which the values would be labels; None where they would be under none."""
        if not self.others or not self.all_whole or len(self.numbers) < 2:
            return None
        return min(self.numbers) if max(self.numbers) - min(self.numbers) < self.label_count else None

    @property
    def qualifies(self) -> bool:
        return not self.others and len(self.distinct) > 1

    def __str__(self) -> str:
        if self.others:
            such = f"such as {quoted(self.example.decode())}"
            rows = f"{self.others} of {self.rows} rows" if self.others <= MOST else f"more than {MOST} rows"
            return f"{rows} have no label there, {such} ({lines_text(self.lines)})"
        return f"the one value {self.distinct.pop()}" if len(self.distinct) == 1 else "labels alone"


def _label_end(files: dict[Path, _Parted], data: DataSettings) -> dict[Path, tuple[int, ...]]:
    first, last = (_EndColumn(data.label_offset, data.label_count) for _ in range(2))
    for path, file in files.items():
        for number, (one, other) in column_values(path, file.layout, (file.free[0], file.free[-1])):
            if first.others > MOST and last.others > MOST:
                break  # neither is it, whatever follows
            first.see(one, number)
            last.see(other, number)
    # One end holds labels from 0 on and the other labels from 1 on: faint pixels look like the former.
    one_based = 1 in {first.offset, last.offset} and data.label_offset == 0
    if first.qualifies != last.qualifies and not one_based:
        return {path: (file.free[0 if first.qualifies else -1],) for path, file in files.items()}
    offsets = [end.offset for end in (first, last) if end.offset is not None]
    start = f"--label-offset {offsets[0]} if labels start there; " if len(offsets) == 1 else ""
    raise BadInput(
        "cannot tell which column holds the label",
        where=", ".join(map(str, files)),
        wanted=f"labels {data.label_range} in the first column or in the last",
        got=f"in the first {first}, in the last {last}",
        hint=f"{start}say which with --label first or --label last; elsewhere in the row, only a header can name it",
    )


def column_values(path: Path, layout: CsvLayout, columns: Sequence[int]) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Yield the number of each row's line and its fields in some columns.

    Raises:
      BadInput: for a line that is at fault as a whole.
    """
    mark, last = layout.delimiter.encode(), layout.columns - 1
    at_ends = set(columns) <= {0, last}
    repeated = layout.header[0].encode() + mark if layout.header else b"\0"
    for block in line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns)):
        plain = layout.delimiter != SPACE and b'"' not in block.text
        for number, line in block.lines():
            if plain and line.count(mark) == last and not line.startswith(repeated):
                if at_ends:  # four times as fast as all fields
                    ends = {0: line[: line.find(mark)], last: line[line.rfind(mark) + 1 :]}
                    yield number, tuple(ends[column] for column in columns)
                else:
                    values = line.split(mark)
                    yield number, tuple(values[column] for column in columns)
            else:
                # May be at fault as a whole, and then its line number says more than a label that cannot be found.
                texts = row_fields(path, number, line, layout)
                yield number, tuple(texts[column].encode() for column in columns)


def label_counts(path: Path, columns: Columns, data: DataSettings) -> Counter[str]:
    """Return {label as users see it: rows} of one file, without its pixels."""
    counts: Counter[bytes] = Counter()
    hot: Counter[tuple[bytes, ...]] = Counter()
    for _, values in column_values(path, sniff(path), columns.label):
        if len(values) > 1:
            hot[values] += 1
        else:
            counts[values[0]] += 1
    found: Counter[str] = Counter()
    for value, rows in counts.items():
        found[_plain(value)] += rows
    for values, rows in hot.items():
        ones = [
            place
            for place, value in enumerate(values)
            if one_hot_value(value.decode(errors="replace").strip().strip('"')) == 1
        ]
        found[data.names[ones[0]] if len(ones) == 1 and ones[0] < data.label_count else "none"] += rows
    return found


def _plain(value: bytes) -> str:
    text = value.decode(errors="replace").strip().strip('"')
    whole, point, rest = text.replace(",", ".").partition(".")
    return whole if point and whole.isdecimal() and not rest.strip("0") else text
