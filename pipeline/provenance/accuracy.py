"""The accuracy that a run recorded, with its 95 % interval: one value for command, page and evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.intervals import wilson


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The share of test rows that a model gets right, and the ends of its 95 % Wilson interval.

    Attributes:
      value: the share.
      rows: of the test split.
      low: lower end of the interval.
      high: upper end.
    """

    value: float
    rows: int
    low: float
    high: float

    @property
    def interval(self) -> str:
        """The interval in words."""
        return f"{self.low:.4f} to {self.high:.4f} with 95 % confidence"


def accuracy_of(metrics: Mapping[str, Any] | None) -> Accuracy | None:
    """Return the accuracy among recorded metrics; None where it is not there, no number, or of no rows."""
    value, rows = (metrics or {}).get("accuracy"), (metrics or {}).get("rows")
    if not isinstance(value, float | int) or not isinstance(rows, int) or rows < 1 or not 0 <= value <= 1:
        return None
    low, high = wilson(round(value * rows), rows)
    return Accuracy(value=float(value), rows=rows, low=low, high=high)
