"""Images of one size and one polarity, made of pictures of any: as they are, stretched, or fitted as `predict` fits a digit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.datasets.imports.contents import Bytes, Floats

_FULL: Final = 255
DARK: Final = 0.8
"""Share of pictures with a light border from which on all are taken for dark ink on light paper."""

MIXED: Final = 0.5
"""Share below which none is; between the two, nobody but the user can say."""


def as_bytes(grey: Floats) -> Bytes:
    """Return 0 to 1 as 0 to 255; of a picture of 8 bits, the very bytes."""
    return np.clip(grey * _FULL + 0.5, 0, _FULL).astype(np.uint8)


def resized(grey: Floats, shape: tuple[int, int]) -> Floats:
    """Return a picture stretched to a size: area averages where that is smaller, linear where it is larger."""
    from PIL import Image  # every run looks for pictures in its data folder, and few have any

    if grey.shape == shape:
        return grey
    shrinks = shape[0] * shape[1] <= grey.shape[0] * grey.shape[1]
    way = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(grey)).resize(shape[::-1], way), np.float32)


def has_light_border(grey: Floats) -> bool:
    """Return whether the outermost pixels are light, as paper under dark ink is."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    low, high = float(grey.min()), float(grey.max())
    return bool(high > low and float(np.median(border)) > (low + high) / 2)


def light_borders(pictures: Sequence[Floats]) -> float:
    """Return the share of pictures that have a light border."""
    return sum(map(has_light_border, pictures)) / max(1, len(pictures))
