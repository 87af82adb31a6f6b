"""The orientation in which a version's training images are stored, and pictures turned to fit it.

Some data sets are published with rows and columns swapped (EMNIST), or dark on light: a model of such data reads an
upright picture as something else, and is sure of it. The mean image of digits is no more symmetric than they are, so it
says which way they were stored: it is held against the reviewed mean of upright digits, turned in every way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.errors import MnistTfxError
from components.profile import means
from components.schema_files import profile_file, read_reference, schema_file
from components.schema_gate.cause import MIRRORS, TURNS
from components.settings import DataSettings

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

UPRIGHT: Final = "upright"
LIKE: Final = 0.95
"""Correlation with the reviewed mean from which on images are taken for digits; of MNIST at 14x14 it is 0.999."""

CLEARLY: Final = 0.5
"""Share of the second best's unexplained variance that the best may leave.

MNIST leaves 0.00 of 0.16, also at 14x14 and 64x64; UCI's digits, 8x8 and nearly symmetric, 0.00 of 0.05. Letters that
are stored transposed leave 0.06 of 0.07: nobody can tell.
"""

_REFERENCES: Final = ("8x8-max16-labels10", "28x28-max255-labels10")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orientation:
    """How the images of a data set are stored.

    Attributes:
      name: `upright`, or what was done to upright digits; None where that is not known.
      inverted: whether the ink is dark there and the paper light.
      why: the reason why it is not known.
    """

    name: str | None
    inverted: bool = False
    why: str | None = None

    @property
    def known(self) -> bool:
        """Return whether the data said it."""
        return self.name is not None

    def stored(self, image: Pixels, pixel_max: int) -> Pixels:
        """Return an upright picture, light on dark, as the data set would store it."""
        turned: Pixels = _changes(image.shape[:2])[self.name or UPRIGHT](image)
        return np.ascontiguousarray(pixel_max - turned if self.inverted else turned).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.name}{', dark on light' if self.inverted else ''}"


AS_DRAWN: Final = Orientation(name=UPRIGHT)
"""Upright, light on dark: as the reviewed references are."""


def of(profile: Mapping[str, Any], data: DataSettings) -> Orientation:
    """Return how images are stored of which this is the profile."""
    if profile["shape"][0] != profile["shape"][1]:
        return Orientation(name=None, why="only of square images it can be told")
    mean = means(profile, "pixels").reshape(profile["shape"])
    fits = [_best(mean, reference) for reference in _reference_means(data)]
    best, second, name, inverted = max(fits, default=(0.0, 0.0, UPRIGHT, False))
    if best < LIKE:
        why = "the mean of its training images is like that of upright digits in no orientation"
        return Orientation(name=None, why=why)
    if 1 - best**2 > CLEARLY * (1 - second**2):
        return Orientation(name=None, why="the mean of its training images fits more than one orientation")
    return Orientation(name=name, inverted=inverted)


def _changes(shape: tuple[int, ...]) -> Mapping[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]:
    turns = TURNS if shape[0] == shape[1] else {}
    return {UPRIGHT: lambda image: image, **MIRRORS, **turns}


def _best(mean: Floats, reference: Floats) -> tuple[float, float, str, bool]:
    """Return correlation of the best orientation and of the second best, name of the best, whether it is inverted."""
    if not mean.std() or not reference.std():
        return 0.0, 0.0, UPRIGHT, False
    found = {
        name: float(np.corrcoef(mean.ravel(), change(reference).ravel())[0, 1])
        for name, change in _changes(mean.shape).items()
    }
    best, second = sorted(found, key=lambda name: abs(found[name]), reverse=True)[:2]
    return abs(found[best]), abs(found[second]), best, found[best] < 0


def _reference_means(data: DataSettings) -> Iterator[Floats]:
    """Yield the reviewed means of upright digits, brought to the geometry's size: scaled, and padded or cut."""
    for geometry in _REFERENCES:
        try:
            reference = read_reference(profile_file(schema_file(geometry)))
        except MnistTfxError:
            continue
        mean = means(reference.profile, "pixels").reshape(reference.profile["shape"])
        if mean.shape == data.shape or min(data.shape) > mean.shape[0] // 3:
            yield _resized(mean, data.shape)
        if (data.shape[0] - mean.shape[0]) % 2 == 0 and data.shape[0] * 3 > mean.shape[0] * 2:
            yield _placed(mean, data.shape)


def _resized(mean: Floats, shape: tuple[int, int]) -> Floats:
    way = Image.Resampling.BOX if shape[0] <= mean.shape[0] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(mean.astype(np.float32)).resize(shape[::-1], way), np.float64)


def _placed(mean: Floats, shape: tuple[int, int]) -> Floats:
    margin = (shape[0] - mean.shape[0]) // 2
    return np.pad(mean, margin) if margin >= 0 else mean[-margin:margin, -margin:margin]
