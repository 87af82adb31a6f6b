"""Tally of a part's rows as they are read: classes, the sum image, and images that come again."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from components import profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.settings import DataSettings

_DIGEST = 16  # bytes; of a billion images two are equal by chance once in 10^20


class Tally:
    """Counts the rows of one part; a block of them at a time, in whatever order.

    Attributes:
      shape: height and width of the images.
      rows: how many there were.
      classes: {label as it is in the file: rows}.
      highest: the largest pixel.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.rows = 0
        self.classes: Counter[int] = Counter()
        self.highest = 0
        self._sum = np.zeros(shape[0] * shape[1], np.int64)
        self._images: set[bytes] = set()

    def add(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Count rows: uint8 [n, height * width] and their labels [n]."""
        self.rows += len(labels)
        values, counts = np.unique(labels, return_counts=True)
        self.classes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.highest = max(self.highest, int(pixels.max(initial=0)))
        for start in range(0, len(pixels), profile.CHUNK):
            self._sum += pixels[start : start + profile.CHUNK].sum(axis=0, dtype=np.uint32)
        # Digests and not the images themselves: a million of MNIST's size would be 0.8 GB.
        self._images.update(hashlib.blake2b(image.tobytes(), digest_size=_DIGEST).digest() for image in pixels)

    @property
    def repeated(self) -> int:
        """Rows whose image came before, whatever the label."""
        return self.rows - len(self._images)

    def shared_with(self, other: Tally) -> int:
        """Return how many different images are in both parts."""
        return len(self._images & other._images)

    def profile(self, data: DataSettings, *, offset: int = 0, transpose: bool = False) -> dict[str, Any]:
        """Return the profile that the part has once it is ingested under settings."""
        image = self._sum.reshape(self.shape)
        known = [self.classes.get(label + offset, 0) for label in range(data.label_count)]
        return {
            "version": profile.VERSION,
            "shape": list(data.shape),
            "pixel_max": data.pixel_max,
            "rows": self.rows,
            "classes": known,
            "other_labels": self.rows - sum(known),
            "image": (image.T if transpose else image).ravel().tolist(),
        }
