"""Diagnosis of drift: a guess at what happened to the images, by doing the same to the reference.

Inverting, turning, mirroring and shifting are linear, so the mean image of images so changed is the changed mean image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.profile import means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

SHIFT: Final = 2
"""Largest shift that is tried, in pixels."""

CLOSER: Final = 0.5
"""A guess is given when it leaves less than this share of the distance."""

TRANSPOSED: Final = "transposed (columns written as rows)"
"""What `data.transpose` undoes."""

MIRRORS: Final[Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "mirrored left to right": lambda image: image[:, ::-1],
    "mirrored top to bottom": lambda image: image[::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
}
TURNS: Final[Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "turned by 90 degrees to the left": lambda image: np.rot90(image, 1),
    "turned by 90 degrees to the right": lambda image: np.rot90(image, 3),
    TRANSPOSED: lambda image: image.T,
    "transposed and turned by 180 degrees": lambda image: image[::-1, ::-1].T,
}
"""Of square images: they swap height and width."""


def likely_cause(seen: Mapping[str, Any], reference: Mapping[str, Any]) -> str | None:
    """Return `the images look inverted` or the like; None where no guess explains half of the distance."""
    shape = tuple(reference["shape"])
    image, mean = (means(profile, "pixels").reshape(shape) for profile in (seen, reference))
    left = {name: float(np.abs(image - guess).max()) for name, guess in _guesses(mean)}
    best = min(left, key=left.__getitem__)
    if left[best] > CLOSER * float(np.abs(image - mean).max()):
        return None
    return f"the images look {best}"


def _guesses(mean: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    yield "inverted (ink and background swapped)", 1.0 - mean
    changes = {**MIRRORS, **(TURNS if mean.shape[0] == mean.shape[1] else {})}
    yield from ((name, change(mean)) for name, change in changes.items())
    for down in range(-SHIFT, SHIFT + 1):
        for right in range(-SHIFT, SHIFT + 1):
            if down or right:
                yield f"shifted by {down:+d} rows and {right:+d} columns", np.roll(mean, (down, right), (0, 1))
