"""McNemar's test: whether two models' accuracies on the same rows differ by more than chance.

Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12
(1947). Rows that both models get right, or both wrong, say nothing about which is better. Of the others, each is as likely
to be one model's mistake as the other's if neither is better, so their split follows a binomial distribution with p = 1/2.
That distribution is evaluated exactly, for however few rows: the usual chi-squared value is its approximation for many.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL: Final = 0.05
"""Chance to call a difference real that is none; the intervals of accuracies are at 95 % too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Significance:
    """What the test says of two models on the same rows.

    Attributes:
      rows: that both models answered.
      only_first: rows that the first model alone gets right.
      only_second: rows that the second model alone gets right.
      p_value: chance of a split at least as uneven between two equally good models, two-sided.
    """

    rows: int
    only_first: int
    only_second: int
    p_value: float

    @property
    def discordant(self) -> int:
        """Rows that one of the two gets right and the other wrong."""
        return self.only_first + self.only_second

    @property
    def is_significant(self) -> bool:
        """Return whether the models differ by more than chance explains."""
        return self.p_value < LEVEL

    @property
    def sentence(self) -> str:
        """The verdict in words, for a page or a terminal, without a full stop."""
        if not self.discordant:
            return "both are right and wrong on the same rows: nothing tells them apart"
        split = f"{self.only_first} to {self.only_second} of the rows that one of them alone gets right"
        if not self.is_significant:
            return f"the difference means nothing: {split}, as uneven by chance with p = {_rounded(self.p_value)}"
        better = "first" if self.only_first > self.only_second else "second"
        return f"the {better} is better by more than chance: {split}, p {_at_least(self.p_value)}"


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> Significance:
    """Compare two models by which of the same rows each gets right: McNemar's exact test.

    Args:
      correct_a: for each row whether the first model is right, shape (rows,).
      correct_b: the same of the second model, rows in the same order.

    Raises:
      ValueError: if the two are not about the same number of rows.
    """
    if np.shape(correct_a) != np.shape(correct_b):
        raise ValueError(f"rows of the one {np.shape(correct_a)}, of the other {np.shape(correct_b)}")
    first, second = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    return Significance(
        rows=len(first), only_first=only_first, only_second=only_second, p_value=_exact(only_first, only_second)
    )


def _exact(one: int, other: int) -> float:
    from scipy import special  # `special` alone imports in a third of the time of `stats`

    tail: Any = special.bdtr(min(one, other), one + other, 0.5)
    return min(1.0, 2 * float(tail))  # an even split is in both tails


def _rounded(p_value: float) -> str:
    return f"{p_value:.2f}" if p_value >= 2 * LEVEL else f"{p_value:.3f}"


def _at_least(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
