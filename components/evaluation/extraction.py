"""The Evaluator's `custom_extractors`: one extract per batch and label, with predictions attached.

TFMA cuts batches into rows and hands every row to every metric and slice. The only slices here are labels, so the
rows of a batch that share one can stay together. Functions alone: TFX reloads the module it finds the hook in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.slicer import slicer_lib

from components.features import LABEL


def custom_extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:
    """The hook of the stock Evaluator: features, labels and predictions as ever, then `group_by_label`."""
    representations = tensor_adapter_config and tensor_adapter_config.tensor_representations
    return [
        tfma.extractors.FeaturesExtractor(eval_config=eval_config, tensor_representations=representations),
        tfma.extractors.LabelsExtractor(eval_config=eval_config),
        tfma.extractors.PredictionsExtractor(eval_config=eval_config, eval_shared_model=eval_shared_model),
        # The evaluator asks for the stage by this name.
        tfma.extractors.Extractor(SLICE_KEY_EXTRACTOR_STAGE_NAME, beam.FlatMap(group_by_label)),
    ]


def group_by_label(extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Cut one batch into a group per label, each in the overall slice and in its label's.

    Args:
      extracts: TFMA's batch of N rows; labels and predictions are arrays [N, ...], or nested dictionaries of such
        by model and output.

    Yields:
      The labels, predictions and slice keys of one group.
    """
    labels = np.asarray(extracts[tfma.FEATURES_KEY][LABEL]).reshape(-1)
    for label in np.unique(labels):
        chosen = labels == label
        slices = [(), ((LABEL, int(label)),)]
        yield {
            tfma.LABELS_KEY: _rows(extracts[tfma.LABELS_KEY], chosen),
            tfma.PREDICTIONS_KEY: _rows(extracts[tfma.PREDICTIONS_KEY], chosen),
            tfma.SLICE_KEY_TYPES_KEY: slicer_lib.slice_keys_to_numpy_array(slices),
        }


def _rows(nested: Any, chosen: Any) -> Any:
    return {k: _rows(v, chosen) for k, v in nested.items()} if isinstance(nested, dict) else np.asarray(nested)[chosen]
