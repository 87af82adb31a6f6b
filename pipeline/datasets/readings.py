"""Readings: the rows of data files as an inspection takes them, under no settings but what the files themselves say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput
from components.ingest import csv_columns, csv_layout, csv_rows, discovery, idx, recognition
from components.ingest.forms import CSV, IDX, READERS
from components.ingest.rows import chunk_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from components.ingest.data_files import DataFiles

    Block = tuple[str, NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What somebody says about a data set, over what its files say; None where nothing is said.

    Attributes:
      form: of the files, where a folder has several.
      label: the label's column of a CSV: `first`, `last` or its name.
      label_offset: the lowest label in the files.
      transpose: whether rows and columns of the images are swapped in the files.
      ignore_columns: of a CSV, neither pixel nor label.
      class_names: file with the names of the classes.
    """

    form: str | None = None
    label: str | None = None
    label_offset: int | None = None
    transpose: bool | None = None
    ignore_columns: tuple[str, ...] = ()
    class_names: Path | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Given:
        """Return what the options of a command say, which go by the same names."""
        columns = tuple(name.strip() for name in (options["ignore_columns"] or "").split(",") if name.strip())
        return cls(**{**{field.name: options[field.name] for field in fields(cls)}, "ignore_columns": columns})

    @property
    def of_columns(self) -> tuple[str, ...]:
        """The options that only the columns of a CSV have a use for, as words of a command line."""
        label = () if self.label is None else ("--label", self.label)
        return (*label, *(("--ignore-columns", ",".join(self.ignore_columns)) if self.ignore_columns else ()))

    @property
    def of_form(self) -> tuple[str, ...]:
        """The option that no recipe can hold, as words of a command line."""
        return () if self.form is None else ("--form", self.form)

    @property
    def words(self) -> tuple[str, ...]:
        """All of it as words of a command line."""
        offset = () if self.label_offset is None else ("--label-offset", str(self.label_offset))
        transpose = ("--transpose",) if self.transpose else ()
        names = () if self.class_names is None else ("--class-names", str(self.class_names))
        return (*self.of_form, *self.of_columns, *offset, *transpose, *names)


NOTHING_GIVEN: Final = Given()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is to be read, and how.

    Attributes:
      form: as `components.ingest.forms` calls it.
      files: that are read.
      shape: height and width of the images.
      blocks: gives split, pixels uint8 [n, height * width] and labels int64 [n], a run of rows at a time.
      first_files: {split: number in `files` of the first that holds its rows}.
      expected: rows in all; 0 where that shows only once they are read.
      label: which column of a CSV holds the label, as `--label` takes it; None of other forms.
      class_names: that the files say; none where they do not.
      ignored: files left aside.
      importable: whether `data import` has to make data files of it first.
      says: what was recognised beyond the usual, a sentence each.
    """

    form: str
    files: tuple[Path, ...]
    shape: tuple[int, int]
    blocks: Callable[[], Iterator[Block]]
    first_files: Mapping[str, int] = field(default_factory=dict)
    expected: int = 0
    label: str | None = None
    class_names: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    importable: bool = False
    says: tuple[str, ...] = ()


def read_data_files(path: Path, given: Given = NOTHING_GIVEN) -> Reading:
    """Return the reading of a folder or file of data files.

    Raises:
      BadInput: if it cannot be read as one set of labelled images.
    """
    return reading_of(discovery.discover([path], form=given.form), given)


def reading_of(files: DataFiles, given: Given = NOTHING_GIVEN) -> Reading:
    """Return the reading of data files that were found; its blocks go through their parts in order.

    Raises:
      BadInput: if they cannot be read as one set of labelled images.
    """
    taken = tuple(file for part in files.parts for file in part.files)
    if files.form == CSV:
        return _csv(files, taken, given)
    if given.of_columns:
        what = f"{READERS[files.form].title} has no columns of pixels"
        raise BadInput(what, where=given.of_columns[0], got=taken[0].name, hint="leave the option out")
    return _idx(files, taken) if files.form == IDX else _others(files, taken)


def _idx(files: DataFiles, taken: tuple[Path, ...]) -> Reading:
    headers = [idx.read_headers(part.files[0], part.files[1])[0] for part in files.parts]
    shapes = {header.shape[1:] for header in headers}
    if len(shapes) > 1:
        got = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise BadInput("the parts have images of different sizes", where=taken[0].parent, got=got)
    _, height, width = headers[0].shape

    def blocks() -> Iterator[Block]:
        for part in files.parts:
            for chunk in idx.iter_chunks(part.files[0], part.files[1], rows=max(1, (1 << 22) // (height * width))):
                yield part.split, chunk.pixels, chunk.labels

    rows = sum(header.count for header in headers)
    return Reading(
        form="idx",
        files=taken,
        shape=(height, width),
        blocks=blocks,
        first_files=_first_files(files, taken),
        expected=rows,
        ignored=files.ignored,
        says=recognition.recognise(files).says,
    )


def _first_files(files: DataFiles, taken: tuple[Path, ...]) -> dict[str, int]:
    return {part.split: taken.index(part.files[0]) for part in reversed(files.parts)}


def _others(files: DataFiles, taken: tuple[Path, ...]) -> Reading:
    data = recognition.fitting(files)
    recognised = recognition.recognise(files, data)
    if names := recognised.class_names:
        data = data.model_copy(update={"class_names": names, "label_count": len(names)})
    reader = READERS[files.form]
    plan = reader.plan([part.files for part in files.parts], data)

    def blocks() -> Iterator[Block]:
        for part in files.parts:
            for chunk in reader.chunks(part.files, data, rows=chunk_rows(data), plan=plan):
                yield part.split, chunk.pixels, chunk.labels

    return Reading(
        form=files.form,
        files=taken,
        shape=data.shape,
        blocks=blocks,
        first_files=_first_files(files, taken),
        expected=sum(reader.rows(part.files) for part in files.parts),
        class_names=names,
        ignored=files.ignored,
        says=recognised.says,
    )


def _csv(files: DataFiles, taken: tuple[Path, ...], given: Given) -> Reading:
    data = recognition.fitting(files, label=given.label or "auto", ignore_columns=given.ignore_columns)
    recognised = recognition.recognise(files, data)
    data = data.model_copy(update={"label_offset": 0})  # of all labels as they are: the inspection looks at them
    layout, columns = csv_layout.sniff(taken[0]), recognised.columns
    if columns is None:
        raise BadInput("its columns are no label and a square image", where=taken[0])
    if columns.texts:
        data = data.model_copy(update={"class_names": columns.texts, "label_count": len(columns.texts)})
    elif len(columns.label) == 1:
        data = data.model_copy(update={"label_count": csv_columns.MOST_CLASSES})

    def blocks() -> Iterator[Block]:
        for part in files.parts:
            for chunk in csv_rows.iter_chunks(part.files[0], data, rows=chunk_rows(data), columns=columns):
                yield part.split, chunk.pixels, chunk.labels

    return Reading(
        form="csv",
        files=taken,
        shape=data.shape,
        blocks=blocks,
        first_files=_first_files(files, taken),
        label=_label(layout, columns),
        class_names=columns.texts,
        ignored=files.ignored,
        says=recognised.says,
    )


def _label(layout: csv_layout.CsvLayout, columns: csv_columns.Columns) -> str | None:
    """Return the label's column as `--label` takes it; None where it is known without."""
    if len(columns.label) > 1:
        return None
    (column,) = columns.label
    if layout.header:
        return layout.header[column]
    return "last" if column and column > min(set(range(layout.columns)) - columns.others) else "first"
