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

_BYTE = 256
_FEWEST_NUMBERED = 20  # rows; one each of a few classes may be in order by chance
_DIGEST = 16  # bytes; of a billion images two are equal by chance once in 10^20


class Tally:
    """Counts the rows of one part; a block of them at a time, in whatever order.

    Attributes:
      shape: height and width of the images.
      rows: how many there were.
      classes: {label as it is in the file: rows}.
      highest: the largest pixel.
      blank: rows whose pixels are all alike.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.rows = 0
        self.classes: Counter[int] = Counter()
        self.highest = 0
        self.blank = 0
        self._counts_up = True
        self._last: int | None = None
        self._sum = np.zeros(shape[0] * shape[1], np.int64)
        self._images: set[bytes] = set()

    def add(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Count rows: uint8 [n, height * width] and their labels [n]."""
        self.rows += len(labels)
        values, counts = np.unique(labels, return_counts=True)
        self.classes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.highest = max(self.highest, int(pixels.max(initial=0)))
        self.blank += int((pixels.min(axis=1) == pixels.max(axis=1)).sum())
        self._follow(labels)
        for start in range(0, len(pixels), profile.CHUNK):
            self._sum += pixels[start : start + profile.CHUNK].sum(axis=0, dtype=np.uint32)
        # Digests and not the images themselves: a million of MNIST's size would be 0.8 GB.
        self._images.update(hashlib.blake2b(image.tobytes(), digest_size=_DIGEST).digest() for image in pixels)

    def _follow(self, labels: NDArray[np.int64]) -> None:
        """Note whether each label is one more than that of the row before, and in a byte 0 comes after 255."""
        if self._counts_up and len(labels):
            before = [] if self._last is None else [self._last]
            self._counts_up = bool((np.diff(np.concatenate([before, labels]).astype(np.int64)) % _BYTE == 1).all())
            self._last = int(labels[-1])

    @property
    def numbered(self) -> bool:
        """Whether labels number the rows: each is one more than the one before, or there are as many as rows."""
        return self.rows >= _FEWEST_NUMBERED and (self._counts_up or len(self.classes) == self.rows)

    @property
    def distinct(self) -> int:
        """Different images."""
        return len(self._images)

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
