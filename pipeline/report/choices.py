"""Choices of rows that are worth showing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_CLASSES: Final = 36
"""Classes that pictures show; a recipe may have a thousand."""

NONE: Final = -1
"""Stands for a row that there is not."""


def by_error(errors: NDArray[np.floating[Any]], labels: NDArray[np.int64], label_count: int) -> NDArray[np.int64]:
    """Return the numbers of the best, the median and the worst row of each class: [label_count, 3], NONE if empty."""
    chosen = np.full((label_count, 3), NONE, np.int64)
    for label in range(label_count):
        rows = np.flatnonzero(labels == label)
        if len(rows):
            ordered = rows[np.argsort(errors[rows], kind="stable")]
            chosen[label] = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    return chosen


def of_each_class(labels: NDArray[np.int64], label_count: int, count: int) -> NDArray[np.int64]:
    """Return the numbers of the first `count` rows of each class, class by class."""
    rows = [np.flatnonzero(labels == label)[:count] for label in range(label_count)]
    return np.concatenate(rows)


def confident_mistakes(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], count: int | None = None
) -> NDArray[np.int64]:
    """Return the numbers of the misclassified rows, the surest first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]
