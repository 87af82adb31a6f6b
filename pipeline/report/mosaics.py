"""Mosaics of images in one PNG: ink in the page's colours, or signed values in two colours around zero.

Ink is black with the pixel's value as its opacity, so that nothing is the page itself, and a dark page turns it light.
Signed values are blue below zero and orange above, with their size as the opacity: readable on either ground.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.report.picture import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

BELOW, ABOVE = (43, 108, 156), (192, 92, 24)
GAP: Final = 2
"""Empty image pixels between two images of a mosaic."""


def ink(
    images: NDArray[np.floating[Any] | np.integer[Any]],
    *,
    peak: float,
    text: str,
    columns: int = 10,
    scale: float = 1.0,
) -> Picture:
    """Return images [N, H, W] from 0 to `peak`, row by row; `scale` is CSS pixels per image pixel."""
    shares = np.clip(np.asarray(images, np.float32) / (peak or 1.0), 0.0, 1.0)
    plane = _laid_out(shares, columns)
    pixels = np.zeros((*plane.shape, 2), np.uint8)
    pixels[..., 1] = np.round(plane * 255)
    return _picture(pixels, text, scale, ink=True)


def signed(
    images: NDArray[np.floating[Any]], *, text: str, columns: int = 10, scale: float = 1.0, peak: float | None = None
) -> Picture:
    """Return images [N, H, W] around zero; `peak` is full colour, by default the largest absolute value."""
    values = np.asarray(images, np.float32)
    peak = float(np.abs(values).max(initial=0.0)) if peak is None else peak
    plane = _laid_out(np.clip(values / (peak or 1.0), -1.0, 1.0), columns)
    pixels = np.zeros((*plane.shape, 4), np.uint8)
    pixels[..., :3] = np.where(plane[..., None] < 0, np.array(BELOW, np.uint8), np.array(ABOVE, np.uint8))
    pixels[..., 3] = np.round(np.abs(plane) * 255)
    return _picture(pixels, text, scale, ink=False)


def density(places: NDArray[np.floating[Any]], chosen: NDArray[np.bool_], *, text: str, side: int = 72) -> Picture:
    """Return where points [N, 2] lie: all of them in grey, the chosen ones in orange over it."""
    low, high = places.min(axis=0), places.max(axis=0)
    cells = np.minimum(((places - low) / np.maximum(high - low, 1e-9) * side).astype(int), side - 1)
    every, some = (_counts(cells[rows], side) for rows in (np.ones(len(cells), bool), chosen))
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., :3] = np.where(some[..., None] > 0, np.array(ABOVE, np.uint8), np.uint8(128))
    pixels[..., 3] = np.round(np.where(some > 0, 90 + 165 * some, 90 * np.sqrt(every)))
    return _picture(pixels[::-1], text, 2.0, ink=False)


def _counts(cells: NDArray[np.integer[Any]], side: int) -> NDArray[np.float64]:
    """Return how many points lie in each cell, 1 being the fullest; [y, x]."""
    counts = np.zeros((side, side))
    np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    return np.divide(counts, max(1.0, float(counts.max())))


def _laid_out(images: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    count, height, width = images.shape
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    plane = np.zeros((max(1, rows * (height + GAP) - GAP), max(1, columns * (width + GAP) - GAP)), np.float32)
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + GAP), (number % columns) * (width + GAP)
        plane[top : top + height, left : left + width] = image
    return plane


def _picture(pixels: NDArray[np.uint8], text: str, scale: float, *, ink: bool) -> Picture:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=False)
    height, width = pixels.shape[:2]
    return Picture(text=text, png=file.getvalue(), width=round(width * scale), height=round(height * scale), ink=ink)
