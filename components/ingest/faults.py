"""The error about rows that cannot be used: it names the first ten of them and counts them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from components.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from components.settings import DataSettings

SHOWN: Final = 10
MOST: Final = 1_000
"""Unusable rows after which a file is not read any further: it is something else, and may be of any length."""

_MOST_CLASSES: Final = 1000
_FEWEST: Final = 100
"""Rows of labels out of range that are no mistake in a few rows, but more classes."""
_LONGEST_VALUE: Final = 24
_SCALED: Final = "the pixels look already scaled to 0..1: give the raw ones, scaling is the pipeline's work"


@dataclass
class _Tally:
    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.rows += 1
        if len(self.examples) < SHOWN:
            self.examples.append(example)


@dataclass
class RowFaults:
    """Gathers the unusable rows of one file.

    Attributes:
      path: the file.
      label_path: the file of the labels, where they have one of their own.
      data: says which labels and pixels are usable.
      unit: what `number` counts: lines from 1 in text, rows from 0 in IDX.
      texts: the labels in words, where they are.
      scaled: whether every faulty pixel seen so far may come from scaling to 0..1.
    """

    path: Path
    data: DataSettings
    unit: Literal["line", "row"]
    label_path: Path | None = None
    texts: Sequence[str] = ()
    scaled: bool = True
    _lowest: int | None = None
    _highest: int = 0
    _labels: _Tally = field(default_factory=_Tally)
    _pixels: _Tally = field(default_factory=_Tally)

    def __bool__(self) -> bool:
        return bool(self._labels.rows or self._pixels.rows)

    def label(self, number: int, value: object) -> None:
        """Note the label of one row.

        Raises:
          BadInput: when there are more than `MOST`.
        """
        if (text := str(value).strip()).isascii() and text.isdecimal():
            self.note_range(int(text), int(text))
        self._labels.add(f"{quoted(value)} in {self.unit} {number}")
        self._raise_if_too_many(self._labels)

    def note_range(self, low: int, high: int) -> None:
        """Note that there are labels from `low` to `high`, usable or not."""
        self._lowest = low if self._lowest is None else min(low, self._lowest)
        self._highest = max(high, self._highest)

    def pixel(self, number: int, column: int, value: object, *, scaled: bool = False) -> None:
        """Note the first bad pixel of one row; `column` counts from 1.

        Raises:
          BadInput: when there are more than `MOST`.
        """
        self.scaled = self.scaled and scaled
        self._pixels.add(f"{quoted(value)} in {self.unit} {number} column {column}")
        self._raise_if_too_many(self._pixels)

    def _raise_if_too_many(self, tally: _Tally) -> None:
        if tally.rows > MOST:
            self.raise_if_any()

    def check(
        self,
        pixels: NDArray[np.integer[Any]],
        labels: NDArray[Any],
        numbers: range,
        columns: NDArray[np.int64],
    ) -> None:
        """Note each row of a run whose label or pixels are out of range.

        Args:
          pixels: [n, height * width] of any type of whole numbers.
          labels: [n], as the file counts them.
          numbers: the n rows' numbers.
          columns: where each pixel stands in its row of the file, from 1.
        """
        if len(labels) and labels.dtype.kind != "f":
            self.note_range(int(labels.min()), int(labels.max()))
        lowest = self.data.label_offset
        outside = (labels < lowest) | (labels >= lowest + self.data.label_count) | (labels % 1 != 0)
        for i in outside.nonzero()[0]:
            self.label(numbers[i], labels[i])
        high = (pixels > self.data.pixel_max) | (pixels < 0)
        for i in high.any(axis=1).nonzero()[0]:
            first = high[i].argmax()
            self.pixel(numbers[i], int(columns[first]), pixels[i, first])

    def _other_range(self) -> str | None:
        """Return the setting under which all labels seen so far would be in range."""
        if self.texts or self._lowest is None or not 0 <= self._lowest <= _MOST_CLASSES:
            return None
        first, last = self.data.label_offset, self.data.label_offset + self.data.label_count - 1
        if first <= self._lowest and self._highest <= last:
            return None  # it is not the range
        classes = self._highest - self._lowest + 1
        if classes <= self.data.label_count:
            return f"labels are from {self._lowest} to {self._highest}: --label-offset {self._lowest}"
        count = self._highest + 1 - first
        if count > _MOST_CLASSES or self._lowest < first or self._labels.rows < _FEWEST:
            return None
        return f"labels are from {self._lowest} to {self._highest}: --set data.label_count={count}"

    def raise_if_any(self) -> None:
        """Raise what was noted.

        Raises:
          BadInput: naming the file, the first ten rows at fault and how many there are.
        """
        if self._labels.rows:
            also = f"{self._pixels.rows} rows have an unusable pixel as well" if self._pixels.rows else None
            low, high = self.data.label_range.split(" to ")
            wanted = f"one of {', '.join(self.texts[:SHOWN])}" if self.texts else f"whole numbers from {low} to {high}"
            raise _fault(self.label_path or self.path, "label", self._labels, wanted, also or self._other_range())
        if self._pixels.rows:
            wanted = f"whole numbers from 0 to {self.data.pixel_max}"
            raise _fault(self.path, "pixel", self._pixels, wanted, _SCALED if self.scaled else None)


def lines_text(lines: Iterable[int]) -> str:
    """Return "line 4" or "lines 4, 9, 11"."""
    numbers = [str(line) for line in lines]
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _fault(path: Path, noun: str, tally: _Tally, wanted: str, hint: str | None) -> BadInput:
    rows = "1 row has" if tally.rows == 1 else f"{tally.rows} rows have"
    more = "" if tally.rows <= SHOWN else f", and {tally.rows - SHOWN} more"
    if tally.rows > MOST:
        rows, more = f"more than {MOST} rows have", ", and so on"
    return BadInput(
        f"{rows} an unusable {noun}", where=path, wanted=wanted, got=", ".join(tally.examples) + more, hint=hint
    )


def quoted(value: object) -> str:
    """Return a value as an error shows it: in quotes, and cut where it is long."""
    text = str(value)
    return repr(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "...")
