"""What one rule found: the value it saw, the threshold it allows, and what a failure leads to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from components.settings import Action  # at run time: a shape is made of the annotations


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule applied to one split.

    Attributes:
      rule: such as `anomaly`, `range`, `drift`, `leaks`.
      split: the split it was applied to; `a/b` where two are compared.
      feature: `image`, `label`, or both as `image+label`.
      value: what was measured; counts are whole numbers.
      detail: what was seen, in words.
      threshold: the largest value that passes.
      action: what a failure leads to.
      aspect: which of `components.profile.ASPECTS`, for drift and skew.
      cause: a guess at what happened to the data, as `the images look inverted`.
      classes: those that it is about, where it is about classes.
    """

    rule: str
    split: str
    feature: str
    value: float
    detail: str
    threshold: float = 0
    action: Action = "refuse"
    aspect: str | None = None
    cause: str | None = None
    classes: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        """Return whether the value is within the threshold; NaN is not."""
        return self.value <= self.threshold

    @property
    def stops(self) -> bool:
        """Return whether the run ends here."""
        return self.action == "refuse" and not self.passed

    @property
    def warns(self) -> bool:
        """Return whether it failed without stopping the run."""
        return self.action == "warn" and not self.passed

    def __str__(self) -> str:
        if self.aspect is None:
            return f"{self.feature} in {self.split}, {self.rule}: {self.detail}"
        apart = f"{self.value:.4f} apart, allowed {self.threshold:.4f}"
        return f"{self.feature} in {self.split}, {self.rule} of {self.aspect}: {self.detail}, {apart}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "passed": self.passed}
