"""Orientation of images: upright as they are stored, whatever way the files have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.settings import DataSettings


def upright(pixels: NDArray[np.uint8], data: DataSettings) -> NDArray[np.uint8]:
    """Return images [n, height * width] as they are stored: with rows and columns swapped where the files have them so."""
    if not data.transpose:
        return pixels
    return np.ascontiguousarray(pixels.reshape(-1, *data.file_shape).transpose(0, 2, 1)).reshape(len(pixels), -1)
