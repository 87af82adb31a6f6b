"""Confidence intervals of a rate, by successes and trials, at 95 %.

E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927): unlike the usual
plus or minus, it stays within 0 and 1 and is right for 40 rows of which all are.
"""

from __future__ import annotations

import math
from typing import Final

Z: Final = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Return both ends; 0 and 1 where there were no trials."""
    if not trials:
        return 0.0, 1.0
    rate, weight = successes / trials, Z * Z / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = Z / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
