"""Reader of Parquet files of encoded pictures with a label each, as the Hugging Face hub ships MNIST and others.

The hub's format: a column of pictures, each a struct of `bytes` (PNG or JPEG) and `path`, a column of whole numbers, and
the classes' names in the schema's metadata (https://huggingface.co/docs/datasets/image_dataset). PyArrow reads the table
a batch at a time, Pillow the pictures; what has colour is read by its luminance.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, shortened
from components.ingest import part_names
from components.ingest.chunk import Chunk
from components.ingest.extents import Extent
from components.ingest.faults import RowFaults
from components.ingest.orientation import upright
from components.ingest.payload import GZIP_MAGIC
from components.ingest.words import Words, numbered, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from components.settings import DataSettings

    Bytes = NDArray[np.uint8]

MAGIC: Final = b"PAR1"
FORMATS: Final = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "AVIF", "PPM")
"""Pillow's readers of pictures alone; that of EPS would start Ghostscript on what somebody else wrote."""

MOST_PIXELS: Final = 1 << 24
"""Of one picture: a hundred times a photograph of a digit, and no bomb of compressed zeros."""

PICKLED: Final = "arrow.py_extension_type"
"""Name of the extension type that PyArrow reads from a pickle."""

_FEWEST_PIXELS: Final = 16
_AS_CSV: Final = "a column for each pixel is read from CSV: pandas.read_parquet(FILE).to_csv('train.csv', index=False)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """One file, opened.

    Attributes:
      path: of it.
      rows: how many it has.
      names: that the hub gives its classes; none where it gives none, or mere numbers.
      in_words: whether its labels are text.
      has_labels: whether it has a column of them.
    """

    path: Path
    rows: int
    names: tuple[str, ...]
    in_words: bool
    has_labels: bool
    _parquet: Any
    _picture: str
    _label: str | None

    def group_sizes(self) -> list[int]:
        """Return how many rows each row group has."""
        metadata = self._parquet.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def batches(self, rows: int, groups: tuple[int, int] | None = None) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield encoded pictures and labels, some rows at a time; without labels, None for each.

        Args:
          rows: how many at a time.
          groups: the first row group to read and the one after the last; None reads all.

        Raises:
          BadInput: if the file is damaged.
        """
        import pyarrow

        columns = [self._picture] if self._label is None else [self._picture, self._label]
        try:
            chosen = None if groups is None else list(range(*groups))
            for batch in self._parquet.iter_batches(batch_size=rows, row_groups=chosen, columns=columns):
                pictures = batch.column(self._picture).to_pylist()
                labels = [None] * len(pictures) if self._label is None else batch.column(self._label).to_pylist()
                yield pictures, labels
        except (pyarrow.ArrowException, OSError) as err:
            raise _unreadable(self.path, err) from err

    def labels(self) -> Iterator[list[Any]]:
        """Yield the labels alone, some rows at a time.

        Raises:
          BadInput: if the file is damaged.
        """
        import pyarrow

        try:
            for batch in self._parquet.iter_batches(columns=[self._label]):
                yield batch.column(0).to_pylist()
        except (pyarrow.ArrowException, OSError) as err:
            raise _unreadable(self.path, err) from err


def open_table(path: Path, *, labelled: bool = True) -> Table:
    """Read the footer of a file.

    Args:
      path: the file.
      labelled: whether it has to have labels.

    Raises:
      BadInput: if it has no single column of encoded pictures, or no single one of labels.
    """
    import pyarrow
    import pyarrow_hotfix  # noqa: F401  # before the file: until PyArrow 14 its schema may bring a pickle, which is run (CVE-2023-47248)
    from pyarrow import parquet, types

    try:
        opened = parquet.ParquetFile(path)
        schema = opened.schema_arrow
    except (pyarrow.ArrowException, OSError, ValueError) as err:
        raise _unreadable(path, err) from err
    except RuntimeError as err:  # of the hotfix, with the pickle taken apart over many lines
        if PICKLED not in str(err):
            raise _unreadable(path, err) from err
        raise BadInput(
            "a column's type is a Python pickle, which runs whatever it says when it is read",
            where=path,
            wanted="types of Parquet's own",
            got=PICKLED,
        ) from err
    pictures = [field.name for field in schema if _is_pictures(field.type, types)]
    others = [field.name for field in schema if types.is_integer(field.type) or _is_text(field.type, types)]
    labels = [name for name in others if part_names.role_of(name) == "labels"] or others
    if len(pictures) != 1 or len(labels) > 1 or (labelled and not labels):
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadInput(
            "its columns do not say which are pictures and which their labels",
            where=path,
            wanted="one column of encoded pictures (binary, or a struct with bytes), and one called label",
            got=shortened(columns, 200),
            hint=_AS_CSV if len(others) > _FEWEST_PIXELS else None,
        )
    label = labels[0] if labels else None
    return Table(
        path=path,
        rows=opened.metadata.num_rows,
        names=() if label is None else _names_of_the_hub(schema.metadata or {}, label),
        in_words=label is not None and _is_text(schema.field(label).type, types),
        has_labels=label is not None,
        _parquet=opened,
        _picture=pictures[0],
        _label=label,
    )


def _unreadable(path: Path, err: Exception) -> BadInput:
    with open(path, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    hint = "it is packed by gzip: unpack it" if packed else None
    return BadInput("cannot be read as a Parquet file", where=path, got=shortened(err, 120), hint=hint)


def _is_pictures(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):
        return any(field.name == "bytes" and _is_pictures(field.type, types) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):  # of pandas' categories
        return _is_text(kind.value_type, types)
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _names_of_the_hub(metadata: Mapping[bytes, bytes], label: str) -> tuple[str, ...]:
    """Return the names of a `ClassLabel`; none where the schema's metadata are not the hub's."""
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        names = feature.get("names") or ()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return ()
    return () if names == [str(number) for number in range(len(names))] else tuple(names)


def same_names(tables: Sequence[Table]) -> tuple[str, ...]:
    """Return the names that the hub gives the classes of several files.

    Raises:
      BadInput: if they differ.
    """
    if len({table.names for table in tables}) > 1:
        where = tables[0].path
        raise BadInput("the files name their classes differently", where=where, got=tables[-1].path.name)
    return tables[0].names


def words(tables: Sequence[Table], data: DataSettings) -> Words:
    """Return the labels in words of several files, all of whose labels are read where they are text.

    Raises:
      BadInput: for more of them than there can be classes.
    """
    texts = [table for table in tables if table.in_words]
    return words_of(((table.path, {one for some in table.labels() for one in some}) for table in texts), data)


def shape(path: Path) -> tuple[int, int]:
    """Return height and width of the first picture.

    Raises:
      BadInput: if there is none, or it cannot be read.
    """
    pictures, _ = next(open_table(path, labelled=False).batches(1), ([], []))
    if not pictures:
        raise BadInput("holds no rows", where=path)
    height, width = decoded(f"{path}: row 0", pictures[0]).shape
    return height, width


def extents(path: Path, *, rows: int) -> list[Extent]:
    """Return the rows of a file in runs of whole row groups, of `rows` rows or somewhat more.

    Raises:
      BadInput: as `open_table`.
    """
    found: list[Extent] = []
    first = count = group = 0
    sizes = open_table(path).group_sizes()
    for number, size in enumerate(sizes, start=1):
        count += size
        if count - first >= rows or number == len(sizes):
            found.append(Extent(first=first, rows=count - first, groups=(group, number)))
            first, group = count, number
    return found or [Extent(first=0, rows=0)]


def iter_chunks(
    path: Path, data: DataSettings, *, rows: int, names: Words, extent: Extent | None = None
) -> Iterator[Chunk]:
    """Yield the rows of one file in its order, with upright images and labels from 0.

    Args:
      path: the file.
      data: shape, and range of labels and pixels.
      rows: rows of a chunk; the last one has fewer.
      names: labels in words, as `words` returns them for all files together.
      extent: which rows to read; None reads all.

    Raises:
      BadInput: at once for a picture that cannot be read or has another size. For values out of range, chunks end with
        the first one, and the error follows when all rows have been seen.
    """
    table, start = open_table(path), 0 if extent is None else extent.first
    faults = RowFaults(path, data, "row", texts=names.texts)
    columns = np.arange(1, data.pixels + 1)
    for pictures, labels in table.batches(rows, None if extent is None else extent.groups):
        pixels = _images(path, start, pictures, data)
        values = numbered(labels, names, data, where=path, first=start)
        faults.check(pixels, values, range(start, start + len(values)), columns)
        if not faults:
            yield Chunk(start=start, pixels=upright(pixels, data), labels=values - data.label_offset)
        start += len(values)
    faults.raise_if_any()
    if not start:
        raise BadInput("holds no rows", where=path)


def images(path: Path, data: DataSettings, *, rows: int) -> Iterator[tuple[Bytes, list[Any]]]:
    """Yield pixels uint8 [n, height * width], upright, and labels as they are, None for each where there are none.

    Raises:
      BadInput: for a picture that cannot be read or has another size.
    """
    start = 0
    for pictures, labels in open_table(path, labelled=False).batches(rows):
        yield upright(_images(path, start, pictures, data), data), labels
        start += len(pictures)


def _images(path: Path, first: int, pictures: Sequence[Any], data: DataSettings) -> Bytes:
    found = np.empty((len(pictures), data.pixels), np.uint8)
    for place, picture in enumerate(pictures):
        image = decoded(f"{path}: row {first + place}", picture)
        if image.shape != data.file_shape:
            raise of_another_size(path, first + place, data.file_shape, image.shape)
        found[place] = image.ravel()
    return found


def of_another_size(path: Path, row: int, wanted: tuple[int, ...], got: tuple[int, ...]) -> BadInput:
    """Return the refusal of a picture whose size is not that of the others, or of the recipe."""
    what = "pictures have different sizes" if row else "images have another shape than the recipe's"
    hint = "`mnist-tfx data import` makes one size of them with --fit 28x28 or --resize 28x28"
    other = "choose the recipe for this geometry with --recipe, or set data.shape"
    sizes = ["x".join(map(str, size)) for size in (wanted, got)]
    return BadInput(what, where=f"{path}: row {row}", wanted=sizes[0], got=sizes[1], hint=hint if row else other)


def decoded(where: str, picture: object) -> Bytes:
    """Return a picture as uint8 [H, W]: grey as it is, colour by its luminance.

    Args:
      where: for errors.
      picture: encoded bytes, or the hub's struct with these.

    Raises:
      BadInput: if it is missing, damaged or too large.
    """
    from PIL import Image

    data = picture.get("bytes") if isinstance(picture, dict) else picture
    if not isinstance(data, bytes):
        raise BadInput("a picture is missing", where=where, wanted="its bytes in the file", got="none, or a path alone")
    try:
        # Pillow raises nearly anything on a damaged file.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            fits = image.width * image.height <= MOST_PIXELS
            pixels = np.asarray(image.convert("L"), np.uint8) if fits else None
    except Exception as err:
        raise BadInput("a picture cannot be read", where=where, got=shortened(err, 120)) from err
    if pixels is None:
        raise BadInput("a picture is too large", where=where, wanted=f"at most {MOST_PIXELS} pixels")
    return pixels
