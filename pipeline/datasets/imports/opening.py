"""Contents of an importable source, whatever its kind; an archive is unpacked for as long as they are read."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInput
from components.ingest import discovery
from pipeline.datasets.imports import archive, arff, arrays, parquet, pictures, tables
from pipeline.datasets.imports.contents import Block, Contents, File
from pipeline.datasets.imports.sources import ARRAYS, PARQUET, PICTURES, ZIP, Source, one_table, recognise
from pipeline.datasets.readings import read_data_files
from pipeline.process import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.datasets.imports.contents import Fit, Options, ReadPicture


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What makes images of pictures: it lies above data sets, with what reads photographs.

    Attributes:
      read: reads a picture file.
      fit: finds the one digit on a picture.
    """

    read: ReadPicture
    fit: Fit


@contextlib.contextmanager
def opened(source: Source, options: Options, tools: Tools) -> Iterator[Contents]:
    """Give the contents of a source; they are read before the block ends.

    Raises:
      BadInput: if it cannot be read as labelled images.
    """
    if source.kind != ZIP:
        yield _contents(source, options, tools)
        return
    with scratch.folder() as place:
        archive.unpack(source.files[0], place)
        found = _unpacked(source, place, options, tools)
        yield dataclasses.replace(found, archive=File(name=source.files[0].name, path=source.files[0]))


def _contents(source: Source, options: Options, tools: Tools) -> Contents:
    if source.kind == PICTURES:
        found = pictures.found_in(source.path)
        return pictures.contents(found, options, read=tools.read, fit=tools.fit, where=source.path)
    files = tuple(File(name=path.name, path=path) for path in source.files)
    if source.kind == ARRAYS:
        return arrays.contents(files, options, fit=tools.fit, where=source.path)
    if source.kind == PARQUET:
        return parquet.contents(files, options, fit=tools.fit)
    if source.kind in (tables.SVMLIGHT, tables.PIXEL_STRINGS, tables.COLOURS):
        return tables.contents(files, options, fit=tools.fit, kind=source.kind, where=source.path)
    return arff.contents(files[0], options, fit=tools.fit)


def _unpacked(source: Source, place: Path, options: Options, tools: Tools) -> Contents:
    """Return the contents of an archive's folder, or of the one folder in that."""
    folder = place
    while len(inside := [one for one in folder.iterdir() if one.name != "__MACOSX"]) == 1 and inside[0].is_dir():
        folder = inside[0]
    try:
        discovery.discover([folder])
    except BadInput as err:
        inner = recognise(folder)
        if inner is None or inner.kind == ZIP:
            got = err.got if inner is None else "an archive within an archive: unpack it"
            raise BadInput("holds nothing that can be imported", where=source.files[0], got=got) from err
        found = _contents(inner, options, tools)
    else:
        table = one_table(folder)
        found = _of_data_files(folder) if table is None else _contents(table, options, tools)
    return dataclasses.replace(found, files=tuple(_below(file, place) for file in found.files))


def _below(file: File, place: Path) -> File:
    return File(name=file.path.relative_to(place).as_posix(), path=file.path)


def _of_data_files(folder: Path) -> Contents:
    """Return the contents of IDX or CSV files; each part's rows count as those of its first file."""
    reading = read_data_files(folder)
    files = tuple(File(name=path.name, path=path) for path in reading.files)
    numbers = dict(reading.first_files)

    def blocks() -> Iterator[Block]:
        start = dict.fromkeys(numbers, 0)
        for split, pixels, labels in reading.blocks():
            images = pixels.reshape(len(pixels), *reading.shape)
            yield Block(split=split, images=images, labels=labels, file=numbers[split], first=start[split])
            start[split] += len(labels)

    parts = dict.fromkeys(numbers, 0)
    ignored = tuple(path.name for path in reading.ignored)
    return Contents(
        form=reading.form,
        files=files,
        parts=parts,
        class_names=reading.class_names,
        blocks=blocks,
        notes=reading.says,
        ignored=ignored,
    )
