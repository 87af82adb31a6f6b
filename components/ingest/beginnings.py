"""Checks of the first bytes of all data files, before any file is digested, copied or parsed.

Headers say counts, shapes and columns, labels are few bytes, and rows out of range are mostly so from the first one on:
an answer that needs no more than that should not come after a gigabyte was read, or after TensorFlow was imported.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from components.errors import BadInput
from components.features import TEST, TRAIN
from components.ingest import csv_rows, idx
from components.ingest.csv_columns import check_columns
from components.ingest.csv_layout import sniff
from components.ingest.csv_lines import line_blocks, longest_line
from components.ingest.forms import CSV, IDX, READERS
from components.ingest.rows import check_split, check_totals, chunk_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from components.ingest.csv_columns import Columns
    from components.ingest.csv_layout import CsvLayout
    from components.ingest.data_files import Part
    from components.settings import DataSettings

FIRST_ROWS: Final = 256
"""Rows of a form without a header of its own that are looked at in each file."""

LOOKED_AT: Final = 1 << 20
"""Bytes of pixels, and of labels, that are looked at in each file."""


def check_beginnings(parts: Sequence[Part], *, form: str, data: DataSettings) -> None:
    """Refuse data that cannot be read as one set of labelled images, as far as the first bytes tell.

    Args:
      parts: the parts of the data; some forms have an images file and its labels file.
      form: of the files, one of `components.ingest.forms`.
      data: geometry, range of pixels and labels, and split.

    Raises:
      BadInput: what the parser would say when it came to it.
    """
    check_split(data.split, {part.split for part in parts})
    if form == IDX:
        _check_idx(parts, data)
    elif form == CSV:
        _check_csv([file for part in parts for file in part.files], data)
    else:
        _check_first_rows(parts, form, data)


def doubt(parts: Sequence[Part], *, form: str) -> str | None:
    """Return a warning where the test part is larger than the training part, as with the names of the two swapped.

    No reason to refuse: a few rows to train on and an official test part are an experiment of its own. Of CSV files the
    sizes are compared, and only where all are compressed or none is: the rows would have to be counted.

    Args:
      parts: those that `check_beginnings` let pass.
      form: of the files, one of `components.ingest.forms`.
    """
    sizes: Counter[str] = Counter()
    for part in parts:
        sizes[part.split] += part.files[0].stat().st_size if form == CSV else READERS[form].rows(part.files)
    compressed = {part.files[0].name.lower().endswith(".gz") for part in parts}
    if sizes[TEST] <= sizes[TRAIN] or (form == CSV and len(compressed) > 1):
        return None
    unit = "bytes" if form == CSV else "rows"
    return f"the test part has {sizes[TEST]} {unit}, the training part {sizes[TRAIN]}: were the two swapped?"


def _check_first_rows(parts: Sequence[Part], form: str, data: DataSettings) -> None:
    reader, totals = READERS[form], Counter[str]()
    for part in parts:
        totals[part.split] += reader.rows(part.files)
    check_totals(totals, data.split)
    plan = reader.checked_plan([part.files for part in parts], data)
    for part in parts:
        # Where one of these is wrong the reader goes on to the end, counts them all, and names the first.
        next(reader.chunks(part.files, data, rows=FIRST_ROWS, plan=plan), None)


def _check_idx(parts: Sequence[Part], data: DataSettings) -> None:
    totals: Counter[str] = Counter()
    for part in parts:
        images, _ = idx.read_headers(part.files[0], part.files[1], data)
        totals[part.split] += images.count
    check_totals(totals, data.split)
    for part in parts:
        lowest = data.label_offset
        if _out_of_range(part.files[0], idx.IMAGES, (0, data.pixel_max)) or (
            not idx.one_hot(part.files[1])
            and _out_of_range(part.files[1], idx.LABELS, (lowest, lowest + data.label_count - 1))
        ):
            # The parser counts them all, and names the first.
            for _ in idx.iter_chunks(*part.files, rows=chunk_rows(data), data=data):
                pass


def _out_of_range(path: Path, dimensions: Literal[1, 3], limits: tuple[int, int]) -> bool:
    values = idx.beginning(path, dimensions, LOOKED_AT)
    values = values if dimensions == idx.IMAGES else values[:, 0]
    return bool(((values < limits[0]) | (values > limits[1])).any())


def _check_csv(files: Sequence[Path], data: DataSettings) -> None:
    known = check_columns(files, data)
    looks = [_look(path, columns, data) for path, columns in known.items()]
    # Little data is read at once, and says all that is wrong with it; of more, what its first lines give away.
    if all(look.is_all for look in looks) or any(look.is_wrong for look in looks):
        columns = csv_rows.resolve_columns(files, data)
        for path in files:
            for _ in csv_rows.iter_chunks(path, data, rows=chunk_rows(data), columns=columns):
                pass


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the first lines of a CSV say.

    Attributes:
      is_all: whether there are no more lines.
      is_wrong: whether the parser is certain to refuse one of them.
    """

    is_all: bool
    is_wrong: bool


def _look(path: Path, columns: Columns | None, data: DataSettings) -> _Look:
    """Return what the first lines say; lines out of the ordinary, which take longer to read, are not judged.

    Raises:
      BadInput: for a file without a row.
    """
    layout = sniff(path)
    blocks = line_blocks(path, start=layout.first_line, longest=longest_line(layout.columns))
    first = next(blocks, None)
    if first is None:
        raise BadInput("holds no rows", where=path, got="a header alone")
    is_wrong = (
        _is_wrong(first.text, layout, data) if columns is None else _out_of_place(path, first.text, columns, data)
    )
    return _Look(is_all=next(blocks, None) is None, is_wrong=is_wrong)


def _is_wrong(text: bytes, layout: CsvLayout, data: DataSettings) -> bool:
    """Return whether lines are certain to be refused, wherever their label is."""
    values = csv_rows.parse_ordinary(text, layout.delimiter, layout.columns)
    if values is None or layout.columns != data.pixels + 1:
        return False
    last = data.label_offset + data.label_count - 1
    ends_are_no_labels = all(((values[:, end] > last) | (values[:, end] < data.label_offset)).any() for end in (0, -1))
    return (
        bool((values > max(data.pixel_max, last)).any())
        or csv_rows.counted_row(values) is not None
        or ends_are_no_labels
    )


def _out_of_place(path: Path, text: bytes, columns: Columns, data: DataSettings) -> bool:
    parser = csv_rows.RowParser(path, sniff(path), data, columns)
    values = parser.ordinary(text)
    if values is None:
        return False
    pixels, labels = parser.picked(values)
    outside = (labels < data.label_offset) | (labels >= data.label_offset + data.label_count)
    return bool((pixels > data.pixel_max).any() or outside.any()) or csv_rows.counted_row(values) is not None
