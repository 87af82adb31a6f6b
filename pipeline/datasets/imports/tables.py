"""Tables of another form than a number to each grey pixel: svmlight (libsvm's), FER2013's strings of pixels, colours."""

from __future__ import annotations

import csv
import io
import itertools
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, MnistTfxError, shortened
from components.features import TRAIN
from components.ingest import csv_columns, csv_rows, part_names, recognition
from components.ingest.csv_layout import sniff
from components.ingest.payload import PayloadReader
from components.ingest.rows import chunk_rows
from components.settings import DataSettings
from components.untrusted import LARGEST_ARRAYS
from pipeline.datasets.imports import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.datasets.imports.contents import Contents, File, Fit, Options

SVMLIGHT, PIXEL_STRINGS, COLOURS = "svmlight", "pixel strings", "colours"

_SVMLIGHT_ROW: Final = re.compile(
    rb"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?(?:[ \t]+(?:qid:)?[0-9]+:[-+0-9.eE]+)+[ \t]*(?:#.*)?"
)
_PIXELS: Final = re.compile(rb"[0-9]{1,3}(?: [0-9]{1,3}){15,}")
_COLUMN_0: Final = re.compile(rb"[ \t]0:")
_ZERO_BASED: Final = re.compile(rb"\A#[^\n]*(?:\n#[^\n]*)*zero-based")  # scikit-learn says so
_BLOCK: Final = 1 << 22
_LONGEST_FIELD: Final = 1 << 22
_MOST_PIXELS: Final = 1024 * 1024
_MARK: Final = ","
_LOOKED_AT: Final = 500  # images
_CLEARLY: Final = 0.9


def kind_of(head: bytes) -> str | None:
    """Return which of the two a file is by its first bytes; None for anything else."""
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"#")]
    # The last line may be cut off where it has one more field than fits.
    first = lines[0].rsplit(b" ", 1)[0] if len(lines) == 1 else lines[0] if lines else b""
    if _SVMLIGHT_ROW.fullmatch(first.strip()):
        return SVMLIGHT
    names = _names(lines[0]) if len(lines) > 1 else []
    return PIXEL_STRINGS if len(names) in (2, 3) and "pixels" in names and _PIXELS.search(lines[1]) else None


def _names(line: bytes) -> list[str]:
    return [name.strip(' "').lower() for name in line.decode(errors="replace").split(_MARK)]


def contents(files: tuple[File, ...], options: Options, *, fit: Fit | None, kind: str, where: Path) -> Contents:
    """Return the contents of tables of one kind; a file's name, or a column of usages, says which part its rows are of.

    Raises:
      BadInput: if one of them cannot be read, or is sparse in another way than by zeros.
    """
    named: list[arrays.Named] = []
    read = {SVMLIGHT: _svmlight, PIXEL_STRINGS: _pixel_strings, COLOURS: _colours}[kind]
    for part, pixels, labels, file in read(files, options):
        # Rows of a part are counted among themselves.
        member = part if kind == PIXEL_STRINGS else None
        named += [
            arrays.Named(name=f"{part}_images", member=member, file=file, values=pixels),
            arrays.Named(name=f"{part}_labels", member=member, file=file, values=labels),
        ]
    return arrays.of_named(named, files, options, fit=fit, where=where, form=kind)


_Part = tuple[str, "NDArray[Any]", "NDArray[Any]", int]


def _svmlight(files: tuple[File, ...], options: Options) -> Iterator[_Part]:
    from sklearn.datasets import load_svmlight_file

    texts = [_content(file.path) for file in files]
    # Of all files together: a pixel that is always 0 has no number in any of them.
    from_zero = any(_COLUMN_0.search(text) or _ZERO_BASED.search(text) for text in texts)
    rows = []
    for file, text in zip(files, texts, strict=True):
        try:
            values, labels = load_svmlight_file(io.BytesIO(text), zero_based=from_zero)
        except (ValueError, OverflowError, MemoryError) as err:
            raise BadInput("no svmlight file that can be read", where=file.path, got=shortened(err, 120)) from err
        rows.append((values, labels))
    # A pixel that is 0 in all rows of a file has no column there.
    seen = max(values.shape[1] for values, _ in rows)
    height, width = options.shape or arrays.square_of_at_least(seen)
    if not seen <= height * width <= _MOST_PIXELS:
        raise BadInput("its rows are no images of that size", where=files[0].path, wanted=f"{height}x{width}", got=seen)
    for number, (values, labels) in enumerate(rows):
        values.resize(values.shape[0], height * width)
        yield _part(files[number].path, len(files)), values.toarray(), labels, number


def _part(path: Path, files: int) -> str:
    # LIBSVM's own page has `mnist` beside `mnist.t`, and `mnist.scale.t`.
    said = "test" if files > 1 and path.name.endswith(".t") else part_names.part_of(path.name)
    return said or TRAIN


def _pixel_strings(files: tuple[File, ...], _: Options) -> Iterator[_Part]:
    for number, file in enumerate(files):
        found: dict[str, tuple[list[NDArray[np.uint8]], list[str]]] = {}
        for line, (part, pixels, label) in enumerate(_rows(file), start=2):
            images, labels = found.setdefault(part, ([], []))
            if images and len(images[0]) != len(pixels):
                got = f"{len(pixels)} pixels, and {len(images[0])} in the first row"
                raise BadInput("images of different sizes", where=f"{file.path}: line {line}", got=got)
            images.append(pixels)
            labels.append(label)
        for part, (images, labels) in found.items():
            texts = np.array(labels)
            whole = all(text.isascii() and text.isdecimal() for text in labels)
            yield part, np.stack(images), texts.astype(np.int64) if whole else texts, number


def _rows(file: File) -> Iterator[tuple[str, NDArray[np.uint8], str]]:
    """Yield part, pixels and label of each row."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    reader = csv.reader(io.StringIO(_content(file.path).decode("utf-8-sig", "replace")))
    names = [name.strip().lower() for name in next(reader)]
    at = names.index("pixels")
    usage = next((place for place, name in enumerate(names) if name in ("usage", "split", "set", "part")), None)
    label = next(place for place in range(len(names)) if place not in (at, usage))
    for line, row in enumerate(reader, start=2):
        if not row:
            continue
        try:
            pixels = np.array(row[at].split(), np.uint16)
            part = TRAIN if usage is None else _USAGES.get(row[usage].strip().lower(), part_names.part_of(row[usage]))
            text = row[label].strip()
        except (IndexError, ValueError, OverflowError) as err:
            raise BadInput("no row of pixels", where=f"{file.path}: line {line}", got=shortened(err, 80)) from err
        if not len(pixels) or pixels.max() > np.iinfo(np.uint8).max:
            raise BadInput("a pixel is out of range", where=f"{file.path}: line {line}", wanted="0 to 255")
        yield part or TRAIN, pixels.astype(np.uint8), text


def colours_in(path: Path) -> bool:
    """Return whether a CSV has columns for a label and a square image in three colours, and for none in grey."""
    try:
        return csv_columns.colour_side(sniff(path).columns) is not None
    except MnistTfxError:
        return False


def _colours(files: tuple[File, ...], _: Options) -> Iterator[_Part]:
    for number, file in enumerate(files):
        side = csv_columns.colour_side(sniff(file.path).columns) or 1
        data = _settings_of(file.path, side)
        chunks = list(csv_rows.iter_chunks(file.path, data, rows=chunk_rows(data)))
        flat = np.concatenate([chunk.pixels for chunk in chunks])
        labels = np.concatenate([chunk.labels for chunk in chunks]) + data.label_offset
        yield part_names.part_of(file.path.name) or TRAIN, _in_colour(flat, side, file.path), labels, number


def _settings_of(path: Path, side: int) -> DataSettings:
    """Return settings that a file of colours is read by, as one high image: with the fewest classes that fit.

    Raises:
      BadInput: if none tell which column holds the label.
    """
    refused: BadInput | None = None
    for count, offset in itertools.product(recognition.CLASSES, (0, 1)):
        data = DataSettings(shape=(3 * side, side), pixel_max=255, label_count=count, label_offset=offset)
        try:
            csv_columns.resolve_columns([path], data)
        except BadInput as err:
            refused = refused or err
            continue
        return data
    raise refused or BadInput("cannot be read", where=path)


def _in_colour(flat: NDArray[np.uint8], side: int, path: Path) -> NDArray[np.uint8]:
    """Return uint8 [n, side, side, 3] of rows with a pixel's three colours together, or one plane after the other.

    In the right order neighbours are alike, and so are the colours of one pixel.
    """
    together = flat.reshape(-1, side, side, 3)
    planes = np.moveaxis(flat.reshape(-1, 3, side, side), 1, -1)
    rough = [_roughness(images[:_LOOKED_AT]) for images in (together, planes)]
    if min(rough) > _CLEARLY * max(rough):
        got = f"{3 * side * side} numbers a row"
        hint = "save the images as [n, height, width, 3] in an npz file"
        raise BadInput("the order of its colours cannot be told", where=path, got=got, hint=hint)
    return together if rough[0] < rough[1] else planes


def _roughness(images: NDArray[np.uint8]) -> float:
    values = images.astype(np.float32)
    return float(sum(np.abs(np.diff(values, axis=axis)).mean() for axis in (1, 2, 3)))


_USAGES: Final = {"training": "train", "publictest": "val", "privatetest": "test"}
"""What FER2013 calls its parts."""


def _content(path: Path) -> bytes:
    blocks: list[bytes] = []
    with PayloadReader(path) as reader:
        while block := reader.read(_BLOCK):
            blocks.append(block)
            if len(blocks) * _BLOCK > LARGEST_ARRAYS:
                raise BadInput("too large for what it should be", where=path, wanted=f"at most {LARGEST_ARRAYS} bytes")
    return b"".join(blocks)
