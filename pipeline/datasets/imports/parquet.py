"""Parquet files of encoded pictures with a label each, as the Hugging Face hub ships MNIST, Fashion-MNIST and others.

The hub's format: a column of pictures, each a struct of `bytes` (PNG or JPEG) and `path`, a column of whole numbers, and
the classes' names in the schema's metadata (https://huggingface.co/docs/datasets/image_dataset).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, shortened
from components.features import TEST, TRAIN
from pipeline.datasets import class_names
from pipeline.datasets.imports import parts as part_names
from pipeline.datasets.imports import placing
from pipeline.datasets.imports.contents import Block, Contents, File

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.datasets.imports.contents import Bytes, Fit, Options

_AT_ONCE: Final = 1024
_BYTE: Final = 255
_MOST_PIXELS: Final = 1 << 24
"""Of one picture: a hundred times a photograph of a digit, and no bomb of compressed zeros."""

_MOST_LABEL: Final = 999

_FEWEST_PIXELS: Final = 16
_AS_CSV: Final = "a column for each pixel is read from CSV: pandas.read_parquet(FILE).to_csv('train.csv', index=False)"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """One file, opened: the column of pictures, that of labels, and the names that the hub gives the labels."""

    file: File
    parquet: Any
    picture: str
    label: str
    names: tuple[str, ...]


def contents(files: Sequence[File], options: Options, *, fit: Fit | None) -> Contents:
    """Return the contents of Parquet files, together one data set; the part is in each file's name, as on the hub.

    Raises:
      BadInput: if one has no single column of encoded pictures and no single one of labels, or a picture cannot be read.
    """
    tables = [_opened(file) for file in files]
    if len({table.names for table in tables}) > 1:
        raise BadInput("the files name their classes differently", where=files[0].path, got=files[-1].name)
    named = [part_names.part_of(file.path.name) or TRAIN for file in files]
    to, notes = part_names.assigned(named)
    if set(to.values()) == {TEST}:
        to = dict.fromkeys(to, TRAIN)
    splits = [to[part] for part in named]
    counts: dict[str, int] = {}
    for table, split in zip(tables, splits, strict=True):
        counts[split] = counts.get(split, 0) + table.parquet.metadata.num_rows
    names = tables[0].names or _text_labels(tables)
    numbers = {name: number for number, name in enumerate(names)} if not tables[0].names else {}

    def blocks() -> Iterator[Block]:
        size: tuple[int, ...] | None = None
        for number in sorted(range(len(tables)), key=lambda n: splits[n] == TEST):
            first = 0
            for pictures, labels in _batches(tables[number], numbers):
                images = _images(tables[number].file, first, pictures, options, fit)
                size = size or images.shape[1:]
                if images.shape[1:] != size:
                    raise _of_different_sizes(tables[number].file, size, images.shape[1:])
                yield Block(split=splits[number], images=images, labels=labels, file=number, first=first)
                first += len(labels)

    choices = {**options.to_dict(), "inverted": bool(options.invert)}
    if class_names.are_numbers(names):
        names = ()
    return Contents(
        form="parquet",
        files=tuple(files),
        parts=counts,
        class_names=names,
        blocks=blocks,
        notes=notes,
        options=choices,
    )


def _opened(file: File) -> _Table:
    import pyarrow
    from pyarrow import parquet, types

    try:
        opened = parquet.ParquetFile(file.path)
        schema = opened.schema_arrow
    except (pyarrow.ArrowException, OSError, ValueError) as err:
        raise BadInput("no Parquet file that can be read", where=file.path, got=shortened(err, 120)) from err
    pictures = [field.name for field in schema if _is_pictures(field.type, types)]
    others = [field.name for field in schema if types.is_integer(field.type) or types.is_string(field.type)]
    labels = [name for name in others if part_names.role_of(name) == "labels"] or others
    if len(pictures) != 1 or len(labels) != 1:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadInput(
            "its columns do not say which are pictures and which their labels",
            where=file.path,
            wanted="one column of encoded pictures (binary, or a struct with bytes), and one called label",
            got=shortened(columns, 200),
            hint=_AS_CSV if len(others) > _FEWEST_PIXELS else None,
        )
    names = _names_of_the_hub(schema.metadata or {}, labels[0])
    return _Table(file=file, parquet=opened, picture=pictures[0], label=labels[0], names=names)


def _is_pictures(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):
        return any(field.name == "bytes" and _is_pictures(field.type, types) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _names_of_the_hub(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """Return the names of a `ClassLabel`; none where the schema's metadata are not the hub's."""
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        names = feature.get("names") or ()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else ()


def _text_labels(tables: Sequence[_Table]) -> tuple[str, ...]:
    """Return the classes in their order where labels are text; none where they are numbers."""
    import pyarrow

    found: set[str] = set()
    for table in tables:
        if not pyarrow.types.is_string(table.parquet.schema_arrow.field(table.label).type):
            return ()
        for batch in table.parquet.iter_batches(columns=[table.label]):
            found.update(map(str, batch.column(0).unique().to_pylist()))
    return class_names.in_order(found)


def _batches(table: _Table, numbers: dict[str, int]) -> Iterator[tuple[list[Any], NDArray[np.int64]]]:
    import pyarrow

    first = 0
    try:
        for batch in table.parquet.iter_batches(batch_size=_AT_ONCE, columns=[table.picture, table.label]):
            pictures, labels = batch.column(table.picture).to_pylist(), batch.column(table.label).to_pylist()
            yield pictures, _numbers(table, first, labels, numbers)
            first += len(labels)
    except (pyarrow.ArrowException, OSError) as err:
        raise BadInput("no Parquet file that can be read", where=table.file.path, got=shortened(err, 120)) from err


def _numbers(table: _Table, first: int, labels: list[Any], numbers: dict[str, int]) -> NDArray[np.int64]:
    found = [numbers.get(str(label)) if numbers else label for label in labels]
    for row, label in enumerate(found, first):
        # The hub writes -1 where a split has no labels.
        if not isinstance(label, int) or not 0 <= label <= _MOST_LABEL:
            where = f"{table.file.path}: row {row}"
            raise BadInput("a label is out of range", where=where, wanted=f"0 to {_MOST_LABEL}", got=label)
    return np.array(found, np.int64)


def _images(file: File, first: int, pictures: list[Any], options: Options, fit: Fit | None) -> Bytes:
    made: list[Bytes] = []
    for row, picture in enumerate(pictures, first):
        data = picture.get("bytes") if isinstance(picture, dict) else picture
        image = _image(f"{file.path}: row {row}", data, options, fit)
        if made and image.shape != made[0].shape:
            raise _of_different_sizes(file, made[0].shape, image.shape)
        made.append(image)
    return np.stack(made)


def _image(where: str, data: object, options: Options, fit: Fit | None) -> Bytes:
    pixels = _decoded(where, data)
    size = options.fit or options.resize
    if size is None:
        return np.bitwise_not(pixels) if options.invert else pixels
    grey = pixels.astype(np.float32) / _BYTE
    if options.fit is None or fit is None:
        placed = placing.as_bytes(placing.resized(grey, size))
        return np.bitwise_not(placed) if options.invert else placed
    found = fit(grey, size, options.invert)
    if found is None:
        raise BadInput("a picture shows no single digit to fit", where=where, hint="--resize takes all of it")
    return found


def _decoded(where: str, data: object) -> Bytes:
    """Return uint8 [H, W]: grey as it is, colour by its luminance."""
    from PIL import Image

    if not isinstance(data, bytes):
        raise BadInput("a picture is missing", where=where, wanted="its bytes in the file", got="none, or a path alone")
    try:
        # Pillow raises nearly anything on a damaged file.
        with Image.open(io.BytesIO(data)) as image:
            fits = image.width * image.height <= _MOST_PIXELS
            pixels = np.asarray(image.convert("L"), np.uint8) if fits else None
    except Exception as err:
        raise BadInput("a picture cannot be read", where=where, got=shortened(err, 120)) from err
    if pixels is None:
        raise BadInput("a picture is too large", where=where, wanted=f"at most {_MOST_PIXELS} pixels")
    return pixels


def _of_different_sizes(file: File, one: tuple[int, ...], other: tuple[int, ...]) -> BadInput:
    got = f"{one[0]}x{one[1]} and {other[0]}x{other[1]}"
    return BadInput("pictures have different sizes", where=file.path, got=got, hint="--fit 28x28, or --resize 28x28")
