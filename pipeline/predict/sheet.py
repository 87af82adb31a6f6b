"""The sheet, one PNG: each file's photograph, what the model saw, its reconstruction of that, and the answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from components import disk
from components.errors import BadInput
from components.files import replacing
from pipeline.predict.photograph import THUMBNAIL
from pipeline.predict.prediction import EMPTY, Prediction, Predictions

MARGIN: Final = 8
HEADING: Final = 44
CAPTIONS: Final = ("photograph", "what it saw", "reconstruction")
TEXT: Final = 190
"""Width of the answer's column."""

PAPER, INK, FAINT, GOOD, BAD = "#ffffff", "#1b1b1b", "#767676", "#1a7f37", "#b42318"

_CELL_HEIGHT: Final = THUMBNAIL + MARGIN


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where things go: cells in columns, filled row by row.

    Attributes:
      count: of files.
      pictures: to a file: photograph, what the model saw and, where there is one, the reconstruction.
    """

    count: int
    pictures: int

    @property
    def cell_width(self) -> int:
        """Of one file's pictures and answer, in pixels."""
        return self.pictures * (THUMBNAIL + MARGIN) + TEXT

    @property
    def columns(self) -> int:
        """As many as make the sheet about as wide as high."""
        return max(1, round(math.sqrt(self.count * _CELL_HEIGHT / self.cell_width)))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet in pixels."""
        rows = math.ceil(self.count / self.columns)
        return MARGIN + self.columns * self.cell_width, HEADING + MARGIN + rows * _CELL_HEIGHT

    def corner(self, index: int) -> tuple[int, int]:
        """Return left and top of a file's cell."""
        row, column = divmod(index, self.columns)
        return MARGIN + column * self.cell_width, HEADING + MARGIN + row * _CELL_HEIGHT


def require_writable(path: Path, named: Sequence[Path]) -> None:
    """Say no before anything is loaded.

    Raises:
      BadInput: if the sheet would replace a photograph or a folder, or is to go where no folder is.
    """
    if path.suffix.lower() != ".png":
        raise BadInput("a sheet is a PNG file", where=path, wanted="a name that ends in .png")
    if not path.absolute().parent.is_dir():
        raise BadInput("no such folder", where=path.absolute().parent)
    if path.is_dir():
        raise BadInput("is a folder", where=path, wanted="a file for the sheet")
    if path.exists() and any(given.exists() and path.samefile(given) for given in named):
        raise BadInput("would replace the photograph", where=path, hint="choose another name with --sheet")


def write(path: Path, predictions: Predictions) -> None:
    """Draw the sheet and put it where it belongs, whole.

    Raises:
      EnvironmentProblem: if it cannot be written.
    """
    try:
        with replacing(path) as file:
            draw(predictions).save(file, format="PNG")
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=path) from err


def draw(predictions: Predictions) -> Image.Image:
    """Return the sheet."""
    layout = layout_of(predictions)
    sheet = Image.new("RGB", layout.size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), _headline(predictions), fill=INK, font=_font(13))
    pixel_max = predictions.version.data.pixel_max
    for index, one in enumerate(predictions.files):
        left, top = layout.corner(index)
        if index < layout.columns:
            _write_captions(pen, layout, left, top)
        for number, picture in enumerate(_pictures(one, layout.pictures, pixel_max)):
            if picture is not None:
                _paste(sheet, picture, left + number * (THUMBNAIL + MARGIN), top)
        _write_answer(pen, one, left + layout.pictures * (THUMBNAIL + MARGIN), top)
    return sheet


def layout_of(predictions: Predictions) -> Layout:
    """Return the layout: with a reconstruction if any answer has one."""
    answers = [one.answer for one in predictions.files if one.answer is not None]
    reconstructed = any(answer.reconstruction is not None for answer in answers)
    return Layout(len(predictions.files), 3 if reconstructed else 2)


def _headline(predictions: Predictions) -> str:
    accuracy = "" if predictions.accuracy is None else f"    accuracy {predictions.accuracy:.4f}"
    count = len(predictions.files)
    return f"{predictions.version.served}    {count} file{'s' * (count != 1)}{accuracy}"


def _write_captions(pen: ImageDraw.ImageDraw, layout: Layout, left: int, top: int) -> None:
    for number, caption in enumerate(CAPTIONS[: layout.pictures]):
        pen.text((left + number * (THUMBNAIL + MARGIN), top - 18), caption, fill=FAINT, font=_font(12))


def _pictures(one: Prediction, count: int, pixel_max: int) -> list[Image.Image | None]:
    found: list[Image.Image | None] = [Image.fromarray(one.thumbnail)]
    found.append(None if one.image is None else _enlarged(one.image, pixel_max))
    drawn = None if one.answer is None else one.answer.reconstruction
    found.append(None if drawn is None else _enlarged(drawn, pixel_max))
    return found[:count]


def _enlarged(image: npt.NDArray[np.uint8] | npt.NDArray[np.float32], pixel_max: int) -> Image.Image:
    grey = np.clip(np.asarray(image, np.float32) * 255 / pixel_max + 0.5, 0, 255).astype(np.uint8)
    scale = THUMBNAIL / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return Image.fromarray(grey).resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def _paste(sheet: Image.Image, picture: Image.Image, left: int, top: int) -> None:
    sheet.paste(picture, (left + (THUMBNAIL - picture.width) // 2, top + (THUMBNAIL - picture.height) // 2))
    ImageDraw.Draw(sheet).rectangle((left - 1, top - 1, left + THUMBNAIL, top + THUMBNAIL), outline="#d0d0d0")


def _write_answer(pen: ImageDraw.ImageDraw, one: Prediction, left: int, top: int) -> None:
    colour = {True: GOOD, False: BAD, None: INK}[one.right]
    if one.answer is None:
        said = "empty" if one.state == EMPTY else f"{one.count} digits"
        pen.text((left, top + 14), said, fill=colour, font=_font(22))
    else:
        answer = one.answer
        pen.text((left, top), str(answer.label), fill=colour, font=_font(40))
        pen.text((left + 40, top + 14), f"{answer.probability:.4f}", fill=colour, font=_font(16))
        second = f"then {answer.second}: {answer.second_probability:.4f}{', doubted' if one.doubts else ''}"
        pen.text((left, top + 52), second, fill=FAINT, font=_font(12))
    if one.right is False:
        pen.text((left + 110, top + 14), f"not {one.source.truth}", fill=BAD, font=_font(16))
    pen.text((left, top + 74), _shortened(pen, one.source.path.name), fill=INK, font=_font(12))


def _shortened(pen: ImageDraw.ImageDraw, name: str) -> str:
    """Return a file name that fits into its column, the end cut off where it does not."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    room = TEXT - MARGIN
    if pen.textlength(shown, font=_font(12)) <= room:
        return shown
    while shown and pen.textlength(f"{shown}...", font=_font(12)) > room:
        shown = shown[:-1]
    return f"{shown}..."


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
