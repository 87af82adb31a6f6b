"""What somebody holds (a data file, a pair of them, a PNG, a row by number) -> digests of the images in it.

An images file alone has no labels, so its rows are known by their pixels; a pair or a CSV by pixels and label.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from components.digest import pixels_digest, row_digest, row_prefix
from components.errors import BadInput, EnvironmentProblem, MnistTfxError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.ingest.chunk import Chunk
    from components.settings import DataSettings
    from pipeline.lineage.history import Step

_IDX: Final = b"\0\0"
_LABELS: Final = b"\0\0\x08\x01"
_HOW_TO_READ: Final = ("shape", "pixel_max", "label_count", "label")
_BLOCK: Final = 1 << 22
"""Bytes of images that are read at a time, about."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GivenRows:
    """The rows of a file.

    Attributes:
      field: what they are known by: "row" (pixels and label) or "pixels".
      digests: 32 bytes each as `S32` [n], in the file's order.
    """

    field: Literal["row", "pixels"]
    digests: NDArray[np.bytes_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One image.

    Attributes:
      height: in pixels.
      width: in pixels.
      pixels: uint8 values in row order.
      label: None if it is not known.
    """

    height: int
    width: int
    pixels: bytes
    label: int | None = None

    @property
    def digest(self) -> bytes:
        """The digest of the pixels alone."""
        return pixels_digest(row_prefix(self.height, self.width), self.pixels)

    def row_digest(self, label: int) -> bytes:
        """Returns the digest of the image with a label."""
        return row_digest(row_prefix(self.height, self.width), self.pixels, label)


def read_rows(files: Sequence[Path], known: Iterable[DataSettings]) -> GivenRows:
    """Returns the digests of all rows in a file, or in an IDX images file with its labels file.

    Args:
      files: one or two; raw or gzip, whatever their names.
      known: the settings under which data was ever read here; a CSV is read by the first that it fits.

    Raises:
      BadInput: if it holds no images that can be read.
    """
    import numpy as np

    if len(files) == 1 and _magic(files[0]).startswith(_IDX):
        digests: Iterable[bytes] = (picture.digest for picture in _images(files[0]))
        return GivenRows(field="pixels", digests=np.fromiter(digests, dtype="S32"))
    for data in _fitting(files, known):
        rows = np.concatenate([_row_digests(chunk, data) for chunk in _chunks(files, data)])
        return GivenRows(field="row", digests=rows)
    raise BadInput("nothing was ever ingested here to compare it with", where=files[0])


def read_row(files: Sequence[Path], number: int, data: DataSettings) -> Picture:
    """Returns row `number`, from 0, of a file or pair.

    Raises:
      BadInput: if there is no such row, or the file cannot be read.
    """
    if len(files) == 1 and _magic(files[0]).startswith(_IDX):
        found = next((picture for i, picture in enumerate(_images(files[0])) if i == number), None)
    else:
        found = _labelled(files, number, data)
    if found is None:
        raise BadInput("no such row", where=files[0], got=number, hint="rows are counted from 0")
    return found


def read_png(path: Path) -> Picture:
    """Returns the picture in a PNG of 8-bit grey values, or of colours that are all grey; any other form is refused.

    Raises:
      BadInput: if it is something else, or cannot be read.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode = image.mode
            values = np.asarray(image.convert("RGB") if mode in ("P", "RGB") else image)
    except FileNotFoundError as err:
        raise BadInput("no such file", where=path) from err
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise BadInput("is no PNG image that can be read", where=path, got=err) from err
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype != np.uint8:
        raise BadInput("is not grey, 8 bits a pixel", where=path, got=f"mode {mode}")
    return Picture(height=values.shape[0], width=values.shape[1], pixels=values.tobytes())


def _magic(path: Path) -> bytes:
    from components.ingest.payload import PayloadReader

    with PayloadReader(path) as reader:
        return reader.read(4)


def _images(path: Path) -> Iterator[Picture]:
    """Yields the images of an IDX file in its order."""
    from components.ingest import idx
    from components.ingest.payload import PayloadReader

    header = idx.read_header(path, dimensions=idx.IMAGES)
    _, height, width = header.shape
    size = header.row_bytes
    with PayloadReader(path) as reader:
        reader.read(header.header_bytes)
        while block := reader.read(max(1, _BLOCK // size) * size):
            if len(block) % size:
                raise BadInput("header and content differ in size", where=path, wanted=str(header))
            for start in range(0, len(block), size):
                yield Picture(height=height, width=width, pixels=block[start : start + size])


def _fitting(files: Sequence[Path], known: Iterable[DataSettings]) -> Iterator[DataSettings]:
    """Yields the first settings under which the first rows can be read; raises what the last ones raised."""
    last: MnistTfxError | None = None
    for data in known:
        # Which end column holds the label may not show in a few rows of a CSV: then each is tried.
        for label in dict.fromkeys((data.label, "first", "last")) if len(files) == 1 else (data.label,):
            tried = data.model_copy(update={"label": label})
            try:
                next(_chunks(files, tried))
            except MnistTfxError as err:
                last = last or err
            else:
                yield tried
                return
    if last is not None:
        raise last


def _chunks(files: Sequence[Path], data: DataSettings) -> Iterator[Chunk]:
    from components.ingest import csv_rows, idx
    from components.ingest.rows import chunk_rows

    if len(files) == 1:
        return csv_rows.iter_chunks(files[0], data, rows=chunk_rows(data))
    images, labels = sorted(files, key=lambda path: _magic(path) == _LABELS)
    return idx.iter_chunks(images, labels, rows=chunk_rows(data), data=data)


def _row_digests(chunk: Chunk, data: DataSettings) -> NDArray[np.bytes_]:
    import numpy as np

    from components.ingest.rows import digested

    return np.ascontiguousarray(digested(chunk, data)["row"]).view("S32")


def _labelled(files: Sequence[Path], number: int, data: DataSettings) -> Picture | None:
    for settings in _fitting(files, [data]):
        for chunk in _chunks(files, settings):
            if chunk.start <= number < chunk.start + len(chunk):
                at = number - chunk.start
                height, width = settings.shape
                pixels, label = chunk.pixels[at].tobytes(), int(chunk.labels[at])
                return Picture(height=height, width=width, pixels=pixels, label=label)
    return None


def settings_of(ingests: Iterable[Step]) -> list[DataSettings]:
    """Returns the distinct settings under which executions of ExampleGen read their data, splits left out.

    Raises:
      EnvironmentProblem: if this release cannot read them.
    """
    from components.settings import DataSettings

    # How rows were split says nothing about how to read them, and an older release may have allowed other splits.
    texts = dict.fromkeys(str((step.parameters or {}).get("settings", "{}")) for step in ingests)
    known = [{name: value for name, value in json.loads(text).items() if name in _HOW_TO_READ} for text in texts]
    try:
        return list(dict.fromkeys(DataSettings.model_validate(fields) for fields in known if "shape" in fields))
    except ValueError as err:
        raise EnvironmentProblem("data settings of another release", where="record of ExampleGen", got=err) from err
