"""The `tfma.EvalConfig`, with or without a baseline, as JSON.

It says what is measured, and holds no threshold: the stock Evaluator would skip a change threshold without a word
where no baseline is given (`rubber_stamp=True`). What is allowed is decided in `thresholds`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from components.features import LABEL, SERVING_EXAMPLES

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"

EXAMPLE_COUNT, ACCURACY, LOSS, RECONSTRUCTION_MSE = "example_count", "accuracy", "loss", "reconstruction_mse"
METRIC_NAMES: Final = (EXAMPLE_COUNT, ACCURACY, LOSS, RECONSTRUCTION_MSE)
PREDICTED: Final = "predicted"
"""Rows per predicted class; over the slices of all labels these are the rows of the confusion matrix."""


def eval_config(*, baseline: bool) -> str:
    """Return the JSON of a `tfma.EvalConfig` for the candidate, and for the served model beside it if `baseline`.

    Slices: overall, and one per raw integer label.
    """
    models = [_model(CANDIDATE), {**_model(BASELINE), "is_baseline": True}] if baseline else [_model(CANDIDATE)]
    metric = {"class_name": "GroupedClassification", "module": "components.evaluation.metrics"}
    return json.dumps(
        {
            "model_specs": models,
            "slicing_specs": [{}, {"feature_keys": [LABEL]}],
            "metrics_specs": [{"metrics": [metric]}],
            "options": {"disabled_outputs": {"values": ["plots", "attributions", "analysis"]}},
        }
    )


def _model(name: str) -> dict[str, Any]:
    # Named as tf_generic, or TFMA first tries to load it as a Keras model and swallows the error.
    return {
        "name": name,
        "model_type": "tf_generic",
        "signature_name": SERVING_EXAMPLES,
        "label_key": LABEL,
        "prediction_key": "probabilities",
    }
