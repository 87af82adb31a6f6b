"""Readings: the rows of data files as an inspection takes them, under no settings but what the files themselves say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.ingest import csv_layout, csv_rows, discovery, idx
from components.ingest.rows import chunk_rows
from components.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from components.ingest.discovery import DataFiles

    Block = tuple[str, NDArray[np.uint8], NDArray[np.int64]]

_BYTE: Final = 255
_LABEL_COUNTS: Final = (10, 26, 27, 47, 62, 100, 1000)
"""How many classes a CSV without a header is tried with: the fewer, the more often only one end column can be the label."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is to be read, and how.

    Attributes:
      form: such as `idx` or `csv`.
      files: that are read.
      shape: height and width of the images.
      blocks: gives split, pixels uint8 [n, height * width] and labels int64 [n], a run of rows at a time.
      first_files: {split: number in `files` of the first that holds its rows}.
      expected: rows in all; 0 where that shows only once they are read.
      label: which column of a CSV holds the label, as `--label` takes it; None of other forms.
      class_names: that the files say; none where they do not.
      ignored: files left aside.
      importable: whether `data import` has to make data files of it first.
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


def read_data_files(path: Path) -> Reading:
    """Return the reading of a folder or file of IDX or CSV.

    Raises:
      BadInput: if it cannot be read as one set of labelled images.
    """
    files = discovery.discover([path])
    taken = tuple(file for part in files.parts for file in part.files)
    return _idx(files, taken) if files.form == "idx" else _csv(files, taken)


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
    )


def _first_files(files: DataFiles, taken: tuple[Path, ...]) -> dict[str, int]:
    return {part.split: taken.index(part.files[0]) for part in reversed(files.parts)}


def _csv(files: DataFiles, taken: tuple[Path, ...]) -> Reading:
    layout = csv_layout.sniff(taken[0])
    shape = discovery.square_guess(layout.columns)
    if shape is None:
        raise BadInput(
            "its columns are no label and a square image",
            where=taken[0],
            wanted="a row of height * width pixels and a label",
            got=f"{layout.columns} columns",
            hint="of images that are not square, a recipe says the shape: data.shape=[H,W]",
        )
    data, column = _label_column(taken, shape)

    def blocks() -> Iterator[Block]:
        for part in files.parts:
            for chunk in csv_rows.iter_chunks(part.files[0], data, rows=chunk_rows(data), label=column):
                yield part.split, chunk.pixels, chunk.labels

    name = layout.header[column] if layout.header else ("first" if column == 0 else "last")
    return Reading(
        form="csv",
        files=taken,
        shape=shape,
        blocks=blocks,
        first_files=_first_files(files, taken),
        label=name,
        ignored=files.ignored,
    )


def _label_column(paths: tuple[Path, ...], shape: tuple[int, int]) -> tuple[DataSettings, int]:
    first: BadInput | None = None
    for count in _LABEL_COUNTS:
        data = DataSettings(shape=shape, pixel_max=_BYTE, label_count=count)
        try:
            column = csv_rows.resolve_label(list(paths), data)
            return data.model_copy(update={"label_count": _LABEL_COUNTS[-1]}), column
        except BadInput as err:
            first = first or err
    raise first or BadInput("no label", where=paths[0])
