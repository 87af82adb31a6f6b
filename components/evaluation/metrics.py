"""One TFMA metric over predicted rows: accuracy, cross entropy, reconstruction error and predicted classes.

TFMA's own metrics take one row at a time through Python: 10,000 rows, two models and two slices cost 10 s. This one
takes what `extraction.group_by_label` hands over, all rows of a batch that share a label, and costs 0.1 s; a test
holds its values against TFMA's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluation.eval_config import (
    ACCURACY,
    EXAMPLE_COUNT,
    LOSS,
    METRIC_NAMES,
    PREDICTED,
    RECONSTRUCTION_MSE,
)

EPSILON: Final = 1e-7
"""Keras clips probabilities to [EPSILON, 1 - EPSILON] before the logarithm."""

Sums = npt.NDArray[np.float64]
"""Rows, correct rows, summed cross entropy, rows that were reconstructed, their summed error, then rows per predicted class."""

_TOTALS: Final = 5


def sums_of(labels: npt.ArrayLike, probabilities: npt.ArrayLike, errors: npt.ArrayLike | None) -> Sums:
    """Add up what the metrics of some rows are made of.

    Args:
      labels: class numbers, [N] or [N, 1].
      probabilities: [N, label_count].
      errors: mean squared reconstruction error of each row, [N] or [N, 1]; None from a model without autoencoder.

    Returns:
      Float64 [5 + label_count], see `Sums`; NaN in a probability makes the cross entropy NaN.
    """
    true = np.asarray(labels).reshape(-1)
    given = np.asarray(probabilities, np.float64)
    predicted = np.argmax(given, axis=1)
    clipped = np.clip(given, EPSILON, 1 - EPSILON)
    likelihood = clipped[np.arange(len(true)), true] / clipped.sum(axis=1)
    reconstructed = np.empty(0) if errors is None else np.asarray(errors, np.float64)
    totals = [
        len(true),
        np.sum(predicted == true),
        -np.log(likelihood).sum(),
        len(reconstructed),
        np.sum(reconstructed),
    ]
    return np.concatenate([totals, np.bincount(predicted, minlength=given.shape[1])])


def means_of(sums: Sums) -> dict[str, Any]:
    """Return {metric name: value} of added `Sums`; `PREDICTED` is an array of rows per predicted class.

    Without rows that were reconstructed there is no error of reconstructions.
    """
    rows, correct, loss, reconstructed, error = sums[:_TOTALS]
    means = {EXAMPLE_COUNT: rows, ACCURACY: correct / rows, LOSS: loss / rows, PREDICTED: sums[_TOTALS:]}
    return {**means, RECONSTRUCTION_MSE: error / reconstructed} if reconstructed else means


class _GroupCombiner(beam.CombineFn):  # type: ignore[misc]  # Beam has no annotations
    """Adds up groups of rows of one model."""

    def __init__(self, model_name: str) -> None:
        super().__init__()
        self._model_name = model_name

    def create_accumulator(self) -> Sums | None:
        return None  # The number of classes is known with the first group.

    def add_input(self, accumulator: Sums | None, element: metric_types.StandardMetricInputs) -> Sums:
        outputs = element.get_predictions(model_name=self._model_name)
        labels = element.get_labels(model_name=self._model_name)
        sums = sums_of(labels, outputs["probabilities"], outputs.get(RECONSTRUCTION_MSE))
        return sums if accumulator is None else accumulator + sums

    def merge_accumulators(self, accumulators: Iterable[Sums | None]) -> Sums | None:
        known = [sums for sums in accumulators if sums is not None]
        return np.sum(known, axis=0) if known else None

    def extract_output(self, accumulator: Sums | None) -> dict[metric_types.MetricKey, Any]:
        if accumulator is None:
            return {}
        return {metric_key(name, self._model_name): value for name, value in means_of(accumulator).items()}


def metric_key(name: str, model_name: str) -> metric_types.MetricKey:
    """Return TFMA's key of a metric of one model; the name is empty of a model that is evaluated alone."""
    return metric_types.MetricKey(name=name, model_name=model_name)


def _computations(name: str, model_name: str = "") -> list[metric_types.MetricComputation]:
    del name  # TFMA hands it over; the keys have names of their own.
    keys = [metric_key(name, model_name) for name in (*METRIC_NAMES, PREDICTED)]
    return [metric_types.MetricComputation(keys=keys, preprocessors=None, combiner=_GroupCombiner(model_name))]


class GroupedClassification(metric_types.Metric):  # type: ignore[misc]  # TFMA has no annotations
    """All metrics of this project in one pass; named by the eval_config, made by TFMA."""

    def __init__(self, name: str = "grouped") -> None:
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


metric_types.register_metric(GroupedClassification)
