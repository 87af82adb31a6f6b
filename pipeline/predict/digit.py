"""Extraction of the one digit on a grey photograph, as the images were made that the model was trained on.

MNIST's digits were fitted into 20x20 pixels with their aspect ratio kept, which gave them grey levels, and put into
28x28 with their centre of mass in the middle (http://yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from components.settings import DataSettings
from pipeline.predict.ink import FAINTEST, Floats, Mask, find_ink
from pipeline.predict.strokes import find_digits, stroke_width
from pipeline.predict.surroundings import without_surroundings

UINT8 = npt.NDArray[np.uint8]

HALF_WAY: Final = 0.35
"""Share of the ink's contrast above which a pixel belongs to a stroke."""

THINNEST: Final = 0.08
"""Width of a stroke, as a share of the box's height; what a finer pen wrote is thickened to it.

MNIST's digits were written with felt tip and pencil on small forms: hardly one of them has thinner strokes."""

_SEEN: Final = 0.1
"""Share of full ink that counts for the box around the digit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a digit goes in the model's image.

    Attributes:
      shape: of the image: height, width.
      box: height and width that the digit is fitted into.
      centre: row and column, from 0, of the digit's centre of mass.
      pixel_max: full ink.
    """

    shape: tuple[int, int]
    box: tuple[int, int]
    centre: tuple[float, float]
    pixel_max: int

    @staticmethod
    def of(data: DataSettings) -> Frame:
        """Return the frame of a geometry: MNIST's proportions, or those of UCI's digits where they are known.

        UCI's 8x8 images are 32x32 bitmaps that the digit fills, counted in blocks of 4x4
        (https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits).
        """
        height, width = data.shape
        if (height, width, data.pixel_max) == (8, 8, 16):
            return Frame(shape=data.shape, box=(8, 8), centre=(3.5, 3.5), pixel_max=16)
        box = max(1, round(height * 20 / 28)), max(1, round(width * 20 / 28))
        return Frame(shape=data.shape, box=box, centre=(height / 2, width / 2), pixel_max=data.pixel_max)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What is on a photograph.

    Attributes:
      count: number of digits on it.
      image: uint8 [H, W] for the model, where there is exactly one.
      dark: whether it was dark ink on light paper.
    """

    count: int
    image: UINT8 | None
    dark: bool


def find_digit(grey: Floats, frame: Frame, *, dark: bool | None = None) -> Found:
    """Find the digit on a photograph and make the model's image of it.

    Args:
      grey: float32 [H, W], 0 to 1.
      frame: where the digit goes.
      dark: whether the ink is darker than the paper; None looks at the border.
    """
    ink = find_ink(without_surroundings(grey), dark=dark)
    digits = find_digits(ink.mask)
    if not digits:
        return Found(0, None, ink.dark)
    # What is faint beside the digit is no part of it; only now is known how dark the digit is.
    contrast = ink.contrast(digits[0])
    if contrast < FAINTEST:
        return Found(0, None, ink.dark)
    digits = find_digits(ink.above(HALF_WAY, contrast).mask)
    if len(digits) != 1:
        return Found(len(digits), None, ink.dark)
    amount = _alone(ink.amount(contrast), digits[0])
    return Found(1, _framed(_thickened(amount, digits[0], frame), frame), ink.dark)


def _alone(amount: Floats, digit: Mask) -> Floats:
    """Return the digit's ink with its soft edges, and nothing of what lies around it."""
    rows, columns = np.nonzero(digit)
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    reach = max(1.5, size / 40)
    found: Floats = np.where(ndimage.distance_transform_edt(~digit) <= reach, amount, 0).astype(np.float32)
    return found


def _thickened(amount: Floats, digit: Mask, frame: Frame) -> Floats:
    """Widen strokes that would hardly leave a trace in the frame."""
    rows, columns = np.nonzero(digit)
    size = max((np.ptp(rows) + 1) / frame.box[0], (np.ptp(columns) + 1) / frame.box[1]) * frame.box[0]
    radius = round((THINNEST * size - stroke_width(digit)) / 2)
    if radius < 1:
        return amount
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    widened: Floats = ndimage.grey_dilation(np.pad(amount, radius), footprint=x * x + y * y <= radius * radius)
    return widened


def _framed(amount: Floats, frame: Frame) -> UINT8:
    """Fit the digit into the box and put the box into the image, by whole pixels as MNIST was."""
    rows, columns = (np.flatnonzero((amount > _SEEN).any(axis=axis)) for axis in (1, 0))
    cut = amount[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(frame.box[0] / cut.shape[0], frame.box[1] / cut.shape[1])
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    # Area averages; where there are fewer pixels than wanted, something smoother than squares.
    way = Image.Resampling.BOX if scale <= 1 else Image.Resampling.BILINEAR
    fitted = np.asarray(Image.fromarray(cut).resize((width, height), way))
    fitted = fitted / fitted.max()
    image = np.zeros(frame.shape)
    top, left = _place(fitted, frame)
    image[top : top + height, left : left + width] = fitted
    return np.clip(image * frame.pixel_max + 0.5, 0, frame.pixel_max).astype(np.uint8)


def _place(fitted: Floats, frame: Frame) -> tuple[int, int]:
    mass = ndimage.center_of_mass(fitted)
    wanted = (round(centre - at) for centre, at in zip(frame.centre, mass, strict=True))
    top, left = (
        min(max(0, place), whole - side) for place, whole, side in zip(wanted, frame.shape, fitted.shape, strict=True)
    )
    return top, left
