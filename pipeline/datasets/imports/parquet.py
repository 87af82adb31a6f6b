"""Parquet files of encoded pictures of any size with a label each; `components.ingest.parquet` says what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput
from components.features import TEST, TRAIN
from components.ingest import parquet, part_names
from components.ingest.words import numbered
from components.settings import DataSettings
from pipeline.datasets import class_names
from pipeline.datasets.imports import placing
from pipeline.datasets.imports.contents import Block, Contents, File

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from components.ingest.parquet import Table
    from components.ingest.words import Words
    from pipeline.datasets.imports.contents import Bytes, Fit, Options

_AT_ONCE: Final = 1024
_BYTE: Final = 255
_MOST_LABEL: Final = 999
_ANY: Final = DataSettings(shape=(1, 1), pixel_max=_BYTE)


def contents(files: Sequence[File], options: Options, *, fit: Fit | None) -> Contents:
    """Return the contents of Parquet files, together one data set; the part is in each file's name, as on the hub.

    Raises:
      BadInput: if one has no single column of encoded pictures and no single one of labels, or a picture cannot be read.
    """
    tables = [parquet.open_table(file.path) for file in files]
    named = [part_names.part_of(file.path.name) or TRAIN for file in files]
    to, notes = part_names.assigned(named)
    if set(to.values()) == {TEST}:
        to = dict.fromkeys(to, TRAIN)
    splits = [to[part] for part in named]
    counts: dict[str, int] = {}
    for table, split in zip(tables, splits, strict=True):
        counts[split] = counts.get(split, 0) + table.rows
    words = parquet.words(tables, _ANY)

    def blocks() -> Iterator[Block]:
        size: tuple[int, ...] | None = None
        for number in sorted(range(len(tables)), key=lambda n: splits[n] == TEST):
            first = 0
            for pictures, labels in tables[number].batches(_AT_ONCE):
                images = _images(files[number], first, pictures, options, fit)
                size = size or images.shape[1:]
                if images.shape[1:] != size:
                    raise _of_different_sizes(files[number], size, images.shape[1:])
                values = _numbers(tables[number], first, labels, words)
                yield Block(split=splits[number], images=images, labels=values, file=number, first=first)
                first += len(values)

    names = words.texts or parquet.same_names(tables)
    return Contents(
        form="parquet",
        files=tuple(files),
        parts=counts,
        class_names=() if class_names.are_numbers(names) else names,
        blocks=blocks,
        notes=notes,
        options={**options.to_dict(), "inverted": bool(options.invert)},
    )


def _numbers(table: Table, first: int, labels: list[Any], words: Words) -> NDArray[np.int64]:
    found = numbered(labels, words, _ANY, where=table.path, first=first)
    for row, label in enumerate(found.tolist(), first):
        # The hub writes -1 where a split has no labels.
        if not 0 <= label <= _MOST_LABEL:
            where = f"{table.path}: row {row}"
            raise BadInput("a label is out of range", where=where, wanted=f"0 to {_MOST_LABEL}", got=label)
    return found


def _images(file: File, first: int, pictures: list[Any], options: Options, fit: Fit | None) -> Bytes:
    made: list[Bytes] = []
    for row, picture in enumerate(pictures, first):
        image = _image(f"{file.path}: row {row}", picture, options, fit)
        if made and image.shape != made[0].shape:
            raise _of_different_sizes(file, made[0].shape, image.shape)
        made.append(image)
    return np.stack(made)


def _image(where: str, picture: object, options: Options, fit: Fit | None) -> Bytes:
    pixels = parquet.decoded(where, picture)
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


def _of_different_sizes(file: File, one: tuple[int, ...], other: tuple[int, ...]) -> BadInput:
    got = f"{one[0]}x{one[1]} and {other[0]}x{other[1]}"
    return BadInput("pictures have different sizes", where=file.path, got=got, hint="--fit 28x28, or --resize 28x28")
