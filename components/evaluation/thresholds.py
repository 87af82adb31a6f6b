"""The Evaluator's verdict: blessed or not by the recipe's thresholds, and every reason.

The blessing follows from this alone; TFMA's own thresholds are not used (see `eval_config`). A threshold that could
not be asked is recorded as such (`passed` is null), never as passed.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem
from components.evaluation.results import Measured, SliceMetrics
from components.serving import NO_BASELINE
from components.settings import DataSettings, EvaluationSettings
from components.shapes import Shape
from components.untrusted import MIB, parse_object, read_bytes

VERDICT_FILE: Final = "verdict.json"
NOT_BLESSED_FILE: Final = "NOT_BLESSED"
"""TFX's name of the file in the blessing of a candidate that is not blessed; ours holds the verdict."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One question and its answer.

    Attributes:
      name: what was asked, such as `accuracy`.
      value: what was found; null where it is not a finite number.
      threshold: what was wanted at least or at most.
      passed: the answer; null where the question could not be asked.
      reason: the answer in words.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """All checks of one candidate.

    Attributes:
      baseline: what it was compared with, such as `version 3`, or `none`.
      checks: in the order they were made.
    """

    baseline: str
    checks: tuple[Check, ...]

    @property
    def blessed(self) -> bool:
        """Return whether no question was answered with no."""
        return all(check.passed is not False for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """Why it is not blessed, one sentence to a failed check."""
        return [check.reason for check in self.checks if check.passed is False]

    def to_json(self) -> str:
        """Return the text of verdict.json; `from_json` restores an equal value."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        verdict = {"blessed": self.blessed, "baseline": self.baseline, "checks": checks}
        return json.dumps(verdict, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Restore a verdict; `blessed` follows from the checks, whatever the text says.

        Raises:
          EnvironmentProblem: if it is none.
        """
        fields = parse_object(text, where=VERDICT_FILE, error=EnvironmentProblem)
        told = {name: value for name, value in fields.items() if name != "blessed"}
        return _SHAPE.read(told, what="not a verdict", where=VERDICT_FILE, error=EnvironmentProblem)


def read_verdict(uri: str | Path, name: str = VERDICT_FILE) -> Verdict:
    """Read the verdict in an evaluation artifact, or in the blessing of a candidate that is not blessed.

    Args:
      uri: of the artifact.
      name: of the file in it.

    Raises:
      EnvironmentProblem: if there is none.
    """
    data = read_bytes(Path(uri) / name, limit=MIB, error=EnvironmentProblem)
    return Verdict.from_json(data.decode(errors="replace"))


_SHAPE: Final = Shape(Verdict)


def judge(
    settings: EvaluationSettings,
    data: DataSettings,
    candidate: Measured,
    baseline: Measured | None = None,
    baseline_name: str = NO_BASELINE,
) -> Verdict:
    """Decide whether a candidate may be served.

    Args:
      settings: the recipe's thresholds.
      data: every label of a class that is not declared empty must have test rows.
      candidate: its metrics.
      baseline: metrics of the served model on the same rows, or None if there is no other served model.
      baseline_name: what to call it.
    """
    checks = (
        _slices(data, candidate),
        _finite(data, candidate),
        *_limits(settings, candidate.overall),
        _worst_class(settings.class_accuracy, data, candidate),
        _change(settings.baseline_margin, candidate, baseline, baseline_name),
    )
    return Verdict(baseline=NO_BASELINE if baseline is None else baseline_name, checks=checks)


def _slices(data: DataSettings, candidate: Measured) -> Check:
    # TFMA itself counts a slice without rows as validated.
    filled = {label for label, metrics in candidate.per_class.items() if metrics.rows}
    wanted = set(range(data.label_count)) - data.empty
    missing, unknown = sorted(wanted - filled), sorted(filled - wanted)
    reason = f"every one of {len(wanted)} classes has test rows"
    if missing:
        reason = f"no test rows of {_listed([data.names[label] for label in missing])}"
    elif unknown:
        labels = [_name(label, data) for label in unknown]
        reason = f"test rows of {_listed(labels)}, but labels are {data.label_range}{_and_empty(data)}"
    passed = not missing and not unknown
    return Check(name="slices", value=len(filled), threshold=len(wanted), passed=passed, reason=reason)


def _name(label: int, data: DataSettings) -> str:
    return data.names[label] if 0 <= label < data.label_count else str(label)


def _and_empty(data: DataSettings) -> str:
    names = [data.names[label] for label in sorted(data.empty)]
    return f", and {_listed(names)} declared empty" if names else ""


def _finite(data: DataSettings, candidate: Measured) -> Check:
    slices = {
        "all rows": candidate.overall,
        **{f"label {_name(k, data)}": m for k, m in sorted(candidate.per_class.items())},
    }
    odd = [
        f"{name} of {where} is {value}"
        for where, metrics in slices.items()
        for name, value in metrics.values.items()
        if not math.isfinite(value)
    ]
    reason = odd[0] + (f", and {len(odd) - 1} more" if len(odd) > 1 else "") if odd else "all metrics are numbers"
    return Check(name="finite", value=len(odd), threshold=0, passed=not odd, reason=reason)


def _limits(settings: EvaluationSettings, overall: SliceMetrics) -> Iterator[Check]:
    yield _at_least("accuracy", overall.accuracy, settings.accuracy, "test accuracy")
    if settings.loss is not None:
        yield _at_most("loss", overall.loss, settings.loss, "test cross entropy")
    if settings.reconstruction_mse is not None:
        error = "mean squared error of reconstructions"
        # A model that was to reconstruct and cannot fails as one whose error is no number.
        value = math.nan if overall.reconstruction_mse is None else overall.reconstruction_mse
        yield _at_most("reconstruction_mse", value, settings.reconstruction_mse, error)


def _worst_class(floor: float, data: DataSettings, candidate: Measured) -> Check:
    # A NaN sorts as the worst, and fails.
    accuracies = {label: metrics.accuracy for label, metrics in candidate.per_class.items()}
    worst = min(accuracies, key=lambda label: (not math.isnan(accuracies[label]), accuracies[label]), default=None)
    value = math.nan if worst is None else accuracies[worst]
    return _at_least(
        "class_accuracy",
        value,
        floor,
        "lowest accuracy" if worst is None else f"accuracy of label {_name(worst, data)}",
    )


def _change(margin: float, candidate: Measured, baseline: Measured | None, baseline_name: str) -> Check:
    if baseline is None:
        reason = "no baseline: no other model is served"
        return Check(name="baseline", value=None, threshold=-margin, passed=None, reason=reason)
    # Rounded: 0.94 - 0.95 is a little less than -0.01 in binary.
    change = round(candidate.overall.accuracy - baseline.overall.accuracy, 9)
    return _at_least("baseline", change, -margin, f"accuracy less that of {baseline_name}")


def _at_least(name: str, value: float, threshold: float, what: str) -> Check:
    passed = value >= threshold
    return _compared(name, value, threshold, passed=passed, reason=f"{what} {_number(value)}, at least {threshold:g}")


def _at_most(name: str, value: float, threshold: float, what: str) -> Check:
    passed = value <= threshold
    return _compared(name, value, threshold, passed=passed, reason=f"{what} {_number(value)}, at most {threshold:g}")


def _compared(name: str, value: float, threshold: float, *, passed: bool, reason: str) -> Check:
    shown = value if math.isfinite(value) else None
    wanted = reason if passed else reason.replace(", at", ", wanted at")
    return Check(name=name, value=shown, threshold=threshold, passed=passed and shown is not None, reason=wanted)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _listed(labels: Sequence[str]) -> str:
    return f"label{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
