"""Refusal of a candidate: the floor that it misses in one sentence, the others as facts, and the keys that set them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from components.errors import AGAIN, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.evaluation.thresholds import Check, Verdict

MOST_FACTS: Final = 3

FLOORS: Final = ("accuracy", "class_accuracy")
CEILINGS: Final = ("loss", "reconstruction_mse")

PLACES: Final = 100
"""A floor that would have let the candidate through is offered in whole hundredths."""


def refusal(verdict: Verdict, node: str) -> Refused:
    """Return the error about a candidate that is not blessed."""
    failed = [check for check in verdict.checks if check.passed is False]
    first, *others = [check.reason for check in failed]
    keys = ", ".join(key for check in failed if (key := _key(check)) is not None)
    return Refused(
        f"the model is not good enough to be served: {first}",
        where=node,
        hint=f"nothing was pushed; the recipe sets {keys}" if keys else "nothing was pushed",
        facts=others[:MOST_FACTS],
        commands=list(_commands(failed)),
    )


def _key(check: Check) -> str | None:
    """Return the key of the recipe that a threshold comes from; None where none sets it."""
    if check.name in (*FLOORS, *CEILINGS):
        return f"evaluation.{check.name}"
    return "evaluation.baseline_margin" if check.name == "baseline" else None


def _commands(failed: Sequence[Check]) -> Iterator[str]:
    allowed = {_key(check): _allowing(check) for check in failed}
    if all(key and value is not None for key, value in allowed.items()):
        settings = " ".join(f"--set {key}={value}" for key, value in allowed.items())
        yield f"{AGAIN} {settings} # serve it as good as it is"
    else:
        yield "mnist-tfx data inspect ... # the rows of each class"


def _allowing(check: Check) -> str | None:
    """Return the threshold that would have let the candidate through, as text; None where there is none."""
    if check.value is None:
        return None
    if check.name in CEILINGS:
        return f"{math.ceil(check.value * PLACES) / PLACES:g}"
    if check.name == "baseline":
        return f"{math.ceil(-check.value * PLACES) / PLACES:g}"
    return f"{math.floor(check.value * PLACES) / PLACES:g}"
