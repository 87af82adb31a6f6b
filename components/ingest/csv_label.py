"""The label column of CSV files, the same one in all of them, by content and the `label` setting."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.ingest.csv_layout import INDEX_NAMES, odd_name, pixel_columns, require_columns, row_fields, sniff
from components.ingest.csv_lines import line_blocks, longest_line
from components.ingest.faults import MOST, SHOWN, lines_text, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from components.ingest.csv_layout import CsvLayout
    from components.settings import DataSettings

_LABEL_NAMES: Final = ("label", "class", "target")
_WHOLE: Final = re.compile(rb" *([0-9]{1,4}) *")
_ORDINARY: Final = b"0123456789.-, \t\n"


def label_column(path: Path, layout: CsvLayout, setting: str) -> int | None:
    """Return the label's column where `setting` or the header names it, None where only the values can tell.

    Args:
      path: the file, for the error.
      layout: its layout.
      setting: `first`, `last`, a name in the header, or `auto`, for which a header may say `label`, `class` or
        `target`, or have one name that is unlike those of the pixels.

    Raises:
      BadInput: for a name that the header lacks.
    """
    header = layout.header or ()
    if setting == "auto":
        named = [i for i, name in enumerate(header) if name.strip().lower() in _LABEL_NAMES]
        return named[0] if len(named) == 1 else odd_name(header)
    if setting in header:
        return header.index(setting)
    if setting in ("first", "last"):
        return 0 if setting == "first" else layout.columns - 1
    raise BadInput(
        "has no column of the label's name" if header else "has no header that could name the label's column",
        where=path,
        wanted=f"{setting!r}",
        got=f"{header[0]!r} to {header[-1]!r}" if header else None,
        hint="give --label first, last, or a name in the header",
    )


def resolve_label(paths: Sequence[Path], data: DataSettings) -> int:
    """Return the label's column, from 0, of all `paths` together, so that train and test are read alike.

    Raises:
      BadInput: when the files disagree, or neither or both end columns of all their rows could be labels.
    """
    layouts = {path: sniff(path) for path in paths}
    for path, layout in layouts.items():
        require_columns(path, layout, data)
    columns = {path: label_column(path, layout, data.label) for path, layout in layouts.items()}
    if unnamed := [path for path, column in columns.items() if column is None]:
        end = _label_end({path: layouts[path] for path in unnamed}, data)
        columns |= dict.fromkeys(unnamed, end)
    found = {column for column in columns.values() if column is not None}
    if len(found) > 1:
        got = ", ".join(f"column {(column or 0) + 1} in {path.name}" for path, column in columns.items())
        raise BadInput("the label stands in different columns", where=paths[0].parent, got=got)
    (label,) = found
    for path, layout in layouts.items():
        _require_no_index(path, layout, label)
    _require_one_order(layouts, label, data)
    return label


def _require_no_index(path: Path, layout: CsvLayout, label: int) -> None:
    """Refuse a label column that by its name numbers the rows."""
    if layout.header is not None and (name := layout.header[label]).lower() in INDEX_NAMES:
        raise BadInput(
            "has no label: the column that could hold it numbers the rows",
            where=path,
            got=f"the name {name!r} over column {label + 1}",
            hint="name the label's column with --label, and write the file without the index",
        )


def _require_one_order(layouts: dict[Path, CsvLayout], label: int, data: DataSettings) -> None:
    """Refuse files of one data set where a header puts the columns into another order, and another file has none."""
    bare = [path for path, layout in layouts.items() if layout.header is None]
    for path, layout in layouts.items() if bare else ():
        order = pixel_columns(path, layout, label, data)
        if (order[1:] < order[:-1]).any():
            raise BadInput(
                "has no header, and another file's header says that its columns are not in order",
                where=bare[0],
                wanted=f"a header such as that of {path.name}",
            )


@dataclass
class _EndColumn:
    """What the values of a file's first or last column say about it.

    Attributes:
      label_count: labels are below it.
      seen: values that can be labels.
      rows: rows looked at.
      others: rows whose value cannot be a label.
      lines: the first few lines of those.
      example: the first such value.
    """

    label_count: int
    seen: set[bytes] = field(default_factory=set)
    rows: int = 0
    others: int = 0
    lines: list[int] = field(default_factory=list)
    example: bytes = b""

    def see(self, value: bytes, line: int) -> None:
        self.rows += 1
        if value in self.seen:
            return
        match = _WHOLE.fullmatch(value)
        if match and int(match[1]) < self.label_count:
            self.seen.add(value)
            return
        self.example = value if not self.others else self.example
        self.others += 1
        if len(self.lines) < SHOWN:
            self.lines.append(line)

    @property
    def distinct(self) -> set[int]:
        return {int(value) for value in self.seen}

    @property
    def qualifies(self) -> bool:
        return not self.others and len(self.distinct) > 1

    def __str__(self) -> str:
        if self.others:
            such = f"such as {quoted(self.example.decode())}"
            rows = f"{self.others} of {self.rows} rows" if self.others <= MOST else f"more than {MOST} rows"
            return f"{rows} have no label there, {such} ({lines_text(self.lines)})"
        return f"the one value {self.distinct.pop()}" if len(self.distinct) == 1 else "labels alone"


def _label_end(layouts: dict[Path, CsvLayout], data: DataSettings) -> int:
    first, last = _EndColumn(data.label_count), _EndColumn(data.label_count)
    for path, layout in layouts.items():
        _see_ends(path, layout, first, last)
    if first.qualifies != last.qualifies:
        return 0 if first.qualifies else data.pixels
    raise BadInput(
        "cannot tell which column holds the label",
        where=", ".join(map(str, layouts)),
        wanted=f"labels 0 to {data.label_count - 1} in the first column or in the last",
        got=f"in the first {first}, in the last {last}",
        hint="say which with --label first or --label last; elsewhere in the row, only a header can name it",
    )


def _see_ends(path: Path, layout: CsvLayout, first: _EndColumn, last: _EndColumn) -> None:
    mark = layout.delimiter.encode()
    for block in line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns)):
        if first.others > MOST and last.others > MOST:
            return  # neither is it, whatever follows
        ordinary = not block.text.translate(None, _ORDINARY)
        for number, line in block.lines():
            if ordinary and line.count(mark) == layout.columns - 1:
                first.see(line[: line.find(mark)], number)
                last.see(line[line.rfind(mark) + 1 :], number)
            else:
                # May be at fault as a whole, and then its line number says more than a label that cannot be found.
                values = row_fields(path, number, line, layout)
                first.see(values[0].encode(), number)
                last.see(values[-1].encode(), number)
