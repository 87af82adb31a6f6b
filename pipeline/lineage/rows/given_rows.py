"""Rows of data files that somebody holds, in whatever form, as digests that can be compared with a row index.

An images file alone has no labels, so its rows are known by their pixels; a pair or a CSV by pixels and label too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.digest import pixels_digest, row_digest, row_prefix
from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError
from components.untrusted import parse_object
from components.wording import validated
from pipeline.lineage.rows.images import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.ingest.csv_columns import Columns
    from components.settings import DataSettings
    from pipeline.lineage.steps import ExecutionSummary

Show = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0 where that is not known)."""

SAMPLE: Final = 256
"""Pictures of a file that are kept, to look for other forms of them where none is found as it is."""

_IDX: Final = b"\0\0"
_LABEL_DIMENSIONS: Final = (b"\x01", b"\x02")
"""Of an IDX file of labels: one a row, or several columns."""

_BYTE: Final = 255
_BLOCK: Final = 1 << 22
"""Bytes of images that are read at a time, about."""


def in_silence(doing: str, done: int, total: int) -> None:
    """Show nothing."""
    del doing, done, total


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GivenRows:
    """Rows that are asked about.

    Attributes:
      shape: height and width of their images.
      pixels: digests of the pixels alone, `S32` [n], in the file's order.
      rows: digests of pixels and label, likewise; None where there are no labels.
      first: the first of them as pictures.
      highest: the largest value of a pixel.
      cut: why reading ended before the end; None if it did not.
    """

    shape: tuple[int, int]
    pixels: NDArray[np.bytes_]
    rows: NDArray[np.bytes_] | None
    first: tuple[Picture, ...]
    highest: int
    cut: str | None = None

    def __len__(self) -> int:
        return len(self.pixels)


class Gathering:
    """Collects the digests of rows, block by block.

    Args:
      show: called with the number of rows so far.
      total: rows to come; 0 where that is not known.
    """

    def __init__(self, show: Show = in_silence, total: int = 0) -> None:
        self.shape: tuple[int, int] | None = None
        self._show, self._total = show, total
        self._pixels: list[bytes] = []
        self._rows: list[bytes] | None = []
        self._first: list[Picture] = []
        self._highest = 0

    def add(self, shape: tuple[int, int], pixels: NDArray[np.uint8], labels: NDArray[np.integer[Any]] | None) -> None:
        """Take a block.

        Args:
          shape: height and width.
          pixels: uint8 [n, height * width].
          labels: [n], or None.

        Raises:
          BadInput: if another block had images of another size.
        """
        if self.shape not in (None, shape):
            raise BadInput("images of several sizes in one question", got=f"{_size(self.shape)} and {_size(shape)}")
        self.shape = shape
        prefix, images = row_prefix(*shape), [image.tobytes() for image in pixels]
        self._pixels += [pixels_digest(prefix, image) for image in images]
        if labels is None:
            self._rows = None
        elif self._rows is not None:
            pairs = zip(images, labels.tolist(), strict=True)
            self._rows += [row_digest(prefix, image, label) for image, label in pairs]
        left = SAMPLE - len(self._first)
        self._first += [Picture(height=shape[0], width=shape[1], pixels=image) for image in images[:left]]
        self._highest = max(self._highest, int(pixels.max(initial=0)))
        self._show("rows", len(self._pixels), self._total)

    def rows(self, cut: str | None = None) -> GivenRows:
        """Return what was collected.

        Raises:
          CannotTell: if that is nothing.
        """
        import numpy as np

        if self.shape is None:
            raise CannotTell(f"its rows cannot be compared: {cut or 'it holds none'}")
        return GivenRows(
            shape=self.shape,
            pixels=np.array(self._pixels, "S32"),
            rows=np.array(self._rows, "S32") if self._rows else None,
            first=tuple(self._first),
            highest=self._highest,
            cut=cut,
        )


def read_images(path: Path, settings: Sequence[DataSettings], show: Show = in_silence) -> Iterator[GivenRows]:
    """Yield the rows of an IDX file of images alone, as far as it can be read, once for each way they may be turned.

    Raises:
      CannotTell: if none of it can.
    """
    from components.ingest import idx

    for transpose in dict.fromkeys(transpose for _, transpose in _ways(settings)):
        yield _gathered(
            lambda turned=transpose: _idx_blocks(path, transpose=turned),  # type: ignore[misc]
            show,
            lambda: idx.read_header(path, dimensions=idx.IMAGES).count,
        )


def read_parts(parts: Sequence[Sequence[Path]], settings: Sequence[DataSettings], show: Show) -> Iterator[GivenRows]:
    """Yield the rows of the parts of a data set, once for each way in which they can be read, the likeliest first.

    Args:
      parts: each is an images file and its labels file, or a file with both.
      settings: settings under which data was ever read here.
      show: called with the progress.

    Raises:
      BadInput: if their images have another size than any data here.
      CannotTell: if they cannot be read.
    """
    if (form := _other_form(parts[0])) is not None:
        yield from _read_form(form, parts, settings, show)
        return
    if len(parts[0]) > 1:
        for offset, transpose in _ways(settings):
            yield _gathered(lambda way=(offset, transpose): _pair_blocks(parts, *way), show)  # type: ignore[misc]
        return
    tables = [part[0] for part in parts]
    for data, columns in _readings(tables, settings):
        yield _gathered(lambda data=data, columns=columns: _table_blocks(tables, data, columns), show)  # type: ignore[misc]


def _other_form(files: Sequence[Path]) -> str | None:
    """Return the form of files that are neither IDX nor a CSV, by their content."""
    from components.ingest.forms import PAIRS, PARQUET
    from components.ingest.parquet import MAGIC

    if _magic(files[0]) == MAGIC:
        return PARQUET
    return PAIRS if len(files) == 2 and not _magic(files[0]).startswith(_IDX) else None


def _read_form(
    form: str, parts: Sequence[Sequence[Path]], settings: Sequence[DataSettings], show: Show
) -> Iterator[GivenRows]:
    """Yield the rows of data files of a form, once for each way in which data was ever read here."""
    from components.ingest.forms import READERS

    if not settings:
        raise CannotTell("no data was ever ingested here to compare it with", where=parts[0][0])
    try:
        shape = READERS[form].shape(parts[0])
    except MnistTfxError as err:
        raise CannotTell(f"its rows cannot be compared: {err}") from err
    ways = [way for one in settings for way in _other_ways(one) if shape in (None, way.file_shape)]
    if not ways:
        raise of_another_size(parts[0][0].name, {data.shape for data in settings}, shape)
    keys = {(way.shape, way.label_offset, way.transpose, way.class_names): way for way in reversed(ways)}
    for data in reversed(keys.values()):
        yield _gathered(lambda data=data: _form_blocks(form, parts, data), show)  # type: ignore[misc]


def _form_blocks(form: str, parts: Sequence[Sequence[Path]], data: DataSettings) -> Iterator[_Block]:
    from components.ingest.forms import READERS
    from components.ingest.rows import chunk_rows
    from components.ingest.words import MOST_CLASSES

    # A value above what is known here only means that its row is not there.
    known = {} if data.class_names else {"label_count": MOST_CLASSES}
    wide = data.model_copy(update={"pixel_max": _BYTE, **known})
    plan = READERS[form].plan(parts, wide)
    for files in parts:
        for chunk in READERS[form].chunks(files, wide, rows=chunk_rows(data), plan=plan):
            yield data.shape, chunk.pixels, chunk.labels


def _ways(settings: Sequence[DataSettings]) -> Iterator[tuple[int, bool]]:
    """Yield the lowest label and whether images were transposed, of all data that was ever read here."""
    yield from dict.fromkeys([*((data.label_offset, data.transpose) for data in settings), (0, False)])


_Block = tuple[tuple[int, int], "NDArray[np.uint8]", "NDArray[np.int64] | None"]


def _gathered(blocks: Callable[[], Iterator[_Block]], show: Show, count: Callable[[], int] = lambda: 0) -> GivenRows:
    cut, gathering = None, None
    try:
        gathering = Gathering(show, count())
        for shape, pixels, labels in blocks():
            gathering.add(shape, pixels, labels)
    except MnistTfxError as err:
        cut = str(err)
    return (gathering or Gathering()).rows(cut)


def _idx_blocks(path: Path, *, transpose: bool = False) -> Iterator[_Block]:
    import numpy as np

    from components.ingest import idx
    from components.ingest.payload import PayloadReader

    header = idx.read_header(path, dimensions=idx.IMAGES)
    size, count = header.row_bytes, 0
    with PayloadReader(path) as reader:
        reader.read(header.header_bytes)
        while block := reader.read(max(1, _BLOCK // size) * size):
            whole = len(block) // size
            values = np.frombuffer(block[: whole * size], header.dtype).reshape(whole, header.values)
            if header.dtype != np.uint8 and ((values < 0) | (values > _BYTE)).any():
                raise BadInput("its values are no bytes", where=path, wanted=f"0 to {_BYTE}")
            yield *_upright(values.astype(np.uint8), header.shape, transpose=transpose), None
            count += whole
            if len(block) % size:
                break
    if count != header.count or len(block) % size:
        raise BadInput("header and content differ in size", where=path, wanted=str(header), got=f"{count} images")


def _upright(
    pixels: NDArray[np.uint8], shape: tuple[int, ...], *, transpose: bool
) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Return height, width and pixels [n, height * width] of images as they are stored."""
    import numpy as np

    height, width = shape[1:]
    if not transpose:
        return (height, width), pixels.reshape(-1, height * width)
    turned = np.ascontiguousarray(pixels.reshape(-1, height, width).transpose(0, 2, 1))
    return (width, height), turned.reshape(-1, height * width)


def _pair_blocks(parts: Sequence[Sequence[Path]], offset: int = 0, transpose: bool = False) -> Iterator[_Block]:
    from components.ingest import idx

    for images, labels in parts:
        header = idx.read_header(images, dimensions=idx.IMAGES)
        # Without settings, so that a value which no data here has only means that the row is not there.
        for chunk in idx.iter_chunks(images, labels, rows=max(1, _BLOCK // header.values)):
            yield *_upright(chunk.pixels, header.shape, transpose=transpose), chunk.labels - offset


def _table_blocks(tables: Sequence[Path], data: DataSettings, columns: Columns) -> Iterator[_Block]:
    from components.ingest import csv_rows
    from components.ingest.rows import chunk_rows

    for table in tables:
        for chunk in csv_rows.iter_chunks(table, data, rows=chunk_rows(data), columns=columns):
            yield data.shape, chunk.pixels, chunk.labels


def _readings(
    tables: Sequence[Path], settings: Sequence[DataSettings], *, guess: bool = True
) -> Iterator[tuple[DataSettings, Columns]]:
    """Yield every pair of settings and columns that some row can be read by.

    Args:
      tables: CSV files.
      settings: settings under which data was ever read here.
      guess: whether each end column is tried, whatever it holds.
    """
    from components.ingest.csv_rows import resolve_columns, sniff

    columns = sniff(tables[0]).columns
    fitting = [data for data in settings if data.pixels + 1 <= columns]
    last: MnistTfxError | None = None
    seen = set()
    for data in (way for one in fitting for way in _other_ways(one)):
        # A pixel above the known maximum only means that its row is not there; and which end column holds the label
        # may not show in a few rows, or show wrongly: then each is tried.
        for setting in dict.fromkeys((data.label, "auto", *(("first", "last") if guess else ()))):
            tried = data.model_copy(update={"label": setting, "pixel_max": _BYTE})
            try:
                reading = tried, resolve_columns(list(tables), tried)
                next(_table_blocks(tables, *reading))
            except MnistTfxError as err:
                last = last or err
                continue
            if (key := (tried.shape, reading[1], tried.label_offset, tried.transpose)) not in seen:
                seen.add(key)
                yield reading
    if not seen and columns not in {data.pixels + 1 for data in settings}:
        _refuse_columns(tables[0], columns, settings)
    if not seen:
        raise CannotTell(f"its rows cannot be compared: {last}")


def _other_ways(data: DataSettings) -> Iterator[DataSettings]:
    """Yield settings as data was read by, and those for the same rows as they are stored: upright, with labels from 0."""
    yield data
    if data.label_offset or data.transpose or data.ignore_columns:
        stored = {"label_offset": 0, "transpose": False, "ignore_columns": ()}
        yield data.model_copy(update=stored)


def _refuse_columns(table: Path, columns: int, settings: Sequence[DataSettings]) -> None:
    from components.ingest.csv_layout import square_guess

    if not settings:
        raise CannotTell("no data was ever ingested here to compare it with", where=table)
    sizes = " or ".join(dict.fromkeys(f"{data.pixels + 1} ({_size(data.shape)} and a label)" for data in settings))
    if columns in {data.pixels for data in settings} or square_guess(columns) is None:
        raise CannotTell("its columns are not pixels and a label", where=table, wanted=sizes, got=f"{columns} columns")
    raise of_another_size(table.name, {data.shape for data in settings}, square_guess(columns))


def of_another_size(given: str, sizes_here: Iterable[tuple[int, int]], got: tuple[int, int] | None) -> BadInput:
    """Return the refusal of a question about images of a size that this root's data never had."""
    sizes = " or ".join(sorted(map(_size, sizes_here)))
    return BadInput(
        f"this root's images are {sizes}", where=given, got=_size(got), hint="ask the root whose images have that size"
    )


def _size(shape: tuple[int, int] | None) -> str:
    return "x".join(map(str, shape or ()))


def read_row(files: Sequence[Path], number: int, settings: Sequence[DataSettings]) -> Picture:
    """Return row `number`, from 0, of an IDX images file, of images with their labels file, or of a file with both.

    Raises:
      BadInput: if there is no such row, or the images have another size than any data here.
      CannotTell: if the file cannot be read, or says in no way which column holds the label.
    """
    start = 0
    for (height, width), pixels, labels in _blocks_of(files, settings):
        if number < start + len(pixels):
            at = number - start
            label = None if labels is None else int(labels[at])
            return Picture(height=height, width=width, pixels=pixels[at].tobytes(), label=label)
        start += len(pixels)
    raise BadInput("no such row", where=files[0], got=number, hint="rows are counted from 0")


def in_pairs(files: Sequence[Path]) -> tuple[Path, ...]:
    """Return a pair with the images first: of IDX whatever the files are called; anything else as it is."""
    return tuple(sorted(files, key=_has_labels)) if len(files) == 2 else tuple(files)


def _has_labels(path: Path) -> bool:
    from components.ingest.part_names import role_of

    magic = _magic(path)
    if magic.startswith(_IDX):
        return magic[3:4] in _LABEL_DIMENSIONS
    return role_of(path.name.partition(".")[0]) == "labels"


def _blocks_of(files: Sequence[Path], settings: Sequence[DataSettings]) -> Iterator[_Block]:
    if len(files) > 2:
        raise BadInput("too many files", wanted="one, or an images file and its labels file", got=len(files))
    if (form := _other_form(files)) is not None:
        return _form_blocks(form, [in_pairs(files)], settings[0])
    if len(files) == 2:
        return _pair_blocks([in_pairs(files)], *next(_ways(settings)))
    if _magic(files[0]).startswith(_IDX):
        return _idx_blocks(files[0], transpose=next(_ways(settings))[1])
    return _table_blocks(files, *next(_readings(files, settings, guess=False)))


def _magic(path: Path) -> bytes:
    from components.ingest.payload import PayloadReader

    with PayloadReader(path) as reader:
        return reader.read(4)


def settings_of(ingests: Iterable[ExecutionSummary]) -> list[DataSettings]:
    """Return the distinct settings under which executions of ExampleGen read their data, splits left out.

    Raises:
      EnvironmentProblem: if this release cannot read them.
    """
    from components.settings import DataSettings

    # How rows were split says nothing about how to read them, and an older release may have allowed other splits; nor do
    # classes without rows, or rows that were left out.
    how_to_read = DataSettings.model_fields.keys() - {"split", "empty_classes", "exclude", "source", "licence"}
    texts = dict.fromkeys(str((step.parameters or {}).get("settings", "{}")) for step in ingests)
    where = "record of ExampleGen"
    sections = [parse_object(text, where=where, error=EnvironmentProblem) for text in texts]
    readings = [{name: value for name, value in fields.items() if name in how_to_read} for fields in sections]
    return list(dict.fromkeys(validated(DataSettings, fields, where=where) for fields in readings if "shape" in fields))
