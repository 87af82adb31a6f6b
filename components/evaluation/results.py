"""Results of TFMA: metrics of the whole test split and of each class, as values and as metrics.json."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem
from components.evaluation.eval_config import PREDICTED
from components.features import LABEL
from components.serving import NO_BASELINE
from components.untrusted import read_object

METRICS_FILE: Final = "metrics.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceMetrics:
    """Metrics of some rows.

    Attributes:
      rows: how many.
      accuracy: share whose most probable class is the label.
      loss: mean cross entropy, natural logarithm.
      reconstruction_mse: mean squared error of reconstructions, on the scaled images; None without an autoencoder.
      predicted: rows per predicted class.
    """

    rows: int
    accuracy: float
    loss: float
    reconstruction_mse: float | None
    predicted: tuple[int, ...] = ()

    @property
    def values(self) -> dict[str, float]:
        """{metric name: value} of those that there are, NaN and infinities as they are."""
        known = {"accuracy": self.accuracy, "loss": self.loss, "reconstruction_mse": self.reconstruction_mse}
        return {name: value for name, value in known.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return rows and metrics as JSON values; what is not finite, or not there, becomes null."""
        finite = {name: value for name, value in self.values.items() if math.isfinite(value)}
        return {**dict.fromkeys(("accuracy", "loss", "reconstruction_mse")), **finite, "rows": self.rows}


NO_ROWS: Final = SliceMetrics(rows=0, accuracy=math.nan, loss=math.nan, reconstruction_mse=math.nan)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Metrics of one model on the test split: `overall`, and `per_class` by raw label, classes without rows left out."""

    overall: SliceMetrics
    per_class: Mapping[int, SliceMetrics]

    @property
    def confusion_matrix(self) -> list[list[int]]:
        """Rows by label, columns by predicted class: [label_count, label_count], zeros for a label without rows."""
        columns = len(self.overall.predicted)
        empty = (0,) * columns
        return [list(self.per_class[label].predicted if label in self.per_class else empty) for label in range(columns)]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        per_class = {str(label): metrics.to_dict() for label, metrics in sorted(self.per_class.items())}
        return {
            **self.overall.to_dict(),
            "per_class": per_class,
            "confusion_matrix": self.confusion_matrix,
        }


def read_measured(slices: Iterable[Any], model_name: str) -> Measured:
    """Read one model's metrics out of TFMA's `MetricsForSlice` protos (`tfma.load_metrics`).

    Args:
      slices: all protos of one evaluation.
      model_name: whose; TFMA leaves it empty where one model is evaluated alone.

    Returns:
      The metrics; `NO_ROWS` overall where TFMA wrote none, as it does for an empty split.
    """
    overall, per_class = NO_ROWS, {}
    for proto in slices:
        values = {
            entry.key.name: entry.value
            for entry in proto.metric_keys_and_values
            if entry.key.model_name == model_name and not entry.key.is_diff
        }
        if not values:
            continue
        columns = {column.column: column.int64_value for column in proto.slice_key.single_slice_keys}
        if LABEL in columns:
            per_class[columns[LABEL]] = _slice_metrics(values)
        elif not columns:
            overall = _slice_metrics(values)
    return Measured(overall=overall, per_class=per_class)


def _slice_metrics(values: Mapping[str, Any]) -> SliceMetrics:
    error = values.get("reconstruction_mse")
    return SliceMetrics(
        rows=round(values["example_count"].double_value.value),
        accuracy=values["accuracy"].double_value.value,
        loss=values["loss"].double_value.value,
        reconstruction_mse=None if error is None else error.double_value.value,
        predicted=tuple(round(count) for count in values[PREDICTED].array_value.float64_values),
    )


def write_metrics(uri: Path, candidate: Measured, baseline: Measured | None, baseline_name: str) -> None:
    """Write metrics.json: the candidate's metrics, and under `baseline` the served model's, or "none"."""
    beside: Any = NO_BASELINE if baseline is None else {"model": baseline_name, **baseline.to_dict()}
    text = json.dumps({**candidate.to_dict(), "baseline": beside}, indent=1, allow_nan=False)
    (uri / METRICS_FILE).write_text(text + "\n")


def read_metrics(uri: str | Path) -> dict[str, Any]:
    """Return the content of an evaluation artifact's metrics.json.

    Raises:
      EnvironmentProblem: if there is none.
    """
    return read_object(Path(uri) / METRICS_FILE, error=EnvironmentProblem)
