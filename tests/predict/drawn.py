"""Photographs of digits, drawn: what the tests of `predict` look at."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

UCI_TEST = 1400
"""From this one on, the embedded digits are taken for photographs."""


def glyph(text: str, size: int) -> np.ndarray:
    """Ink from 0 to 1 of a text in Pillow's own font, cropped."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    image = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(image).text((4 - left, 4 - top), text, fill=255, font=font)
    return np.asarray(image.crop(image.getbbox()), float) / 255


def placed(ink: np.ndarray, shape: tuple[int, int], top: int, left: int) -> np.ndarray:
    """The same ink on a larger sheet."""
    sheet = np.zeros(shape)
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return sheet


def centred(text: str = "3", size: int = 90, side: int = 160) -> np.ndarray:
    """A digit in the middle of a square."""
    ink = glyph(text, size)
    return placed(ink, (side, side), (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2)


def on_paper(ink: np.ndarray, *, paper: float | np.ndarray = 0.9, pen: float | np.ndarray = 0.15) -> np.ndarray:
    """Grey from 0 to 1: the pen's where there is ink, the paper's elsewhere."""
    return paper * (1 - ink) + pen * ink


def bytes_of(grey: np.ndarray) -> np.ndarray:
    return np.clip(grey * 255 + 0.5, 0, 255).astype(np.uint8)


def mass(image: np.ndarray) -> tuple[float, float]:
    """Row and column, from 0, of the centre of mass."""
    rows, columns = np.indices(image.shape)
    total = image.sum(dtype=float)
    return float((rows * image).sum() / total), float((columns * image).sum() / total)


def uci_photograph(image: np.ndarray) -> Image.Image:
    """An 8x8 digit with values to 16 as 120x120 pixels of 16 bits, dark on light, with a margin."""
    scaled = Image.fromarray(image.astype(np.float32) / 16).resize((88, 88), Image.Resampling.BICUBIC)
    grey = on_paper(placed(np.clip(np.asarray(scaled), 0, 1), (120, 120), 16, 16), paper=1.0, pen=0.0)
    return Image.fromarray((grey * 65535).astype(np.uint16))
