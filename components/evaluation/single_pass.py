"""An evaluation in one pass over the rows in their order, which leaves the files that TFMA's own pass leaves.

Of the three seconds and a half that TFMA's Beam pipeline takes for 10,000 rows, Beam spends three on itself: on its options,
on the signatures of its functions and on the passage of every batch through some forty transforms. The metrics are ours
either way (`metrics`), and TFMA converts and names them either way. Beam is for engines that share the work out; a test holds
both passes against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_model_analysis import version as tfma_version
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.utils import config_util
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from components.errors import EnvironmentProblem
from components.evaluation.eval_config import BASELINE, CANDIDATE, RECONSTRUCTION_MSE
from components.evaluation.metrics import Sums, means_of, metric_key, sums_of
from components.features import LABEL, SERVING_EXAMPLES
from components.progress import Count

BATCH: Final = 1000
"""Rows at once; 3 MB of 28x28 images as the model takes them."""

ALONE: Final = ""
"""TFMA's name for a model that is evaluated alone."""

SliceKey = tuple[tuple[str, int], ...]
SlicedMetrics = tuple[SliceKey, dict[metric_types.MetricKey, Any]]


def evaluate(
    config: config_pb2.EvalConfig, candidate: Path, baseline: Path | None, shards: Sequence[str], output: Path
) -> None:
    """Evaluate a model, and the served one beside it, on the rows of TFRecord files.

    Args:
      config: what TFMA would be given; its slices are all rows and each label.
      candidate: folder of its SavedModel.
      baseline: of the served model; None if there is none.
      shards: files of serialised `tf.train.Example`.
      output: folder for the results.

    Raises:
      EnvironmentProblem: if a model has no signature for serialised rows.
    """
    config = config_util.update_eval_config_with_defaults(config, has_baseline=baseline is not None, rubber_stamp=True)
    folders = {ALONE: candidate} if baseline is None else {CANDIDATE: candidate, BASELINE: baseline}
    sums = _sums({name: _Model(folder) for name, folder in folders.items()}, shards)
    _write(output, [_with_difference(one) for one in _slices(sums)])
    # `data_location` and `file_format` are what TFMA writes where it was given a PCollection.
    run = config_pb2.EvalRun(
        eval_config=config,
        version=tfma_version.VERSION,
        data_location="<user provided PCollection>",
        file_format="<unknown>",
        model_locations={name: str(folder) for name, folder in folders.items()},
    )
    (output / "eval_config.json").write_text(json_format.MessageToJson(run) + "\n")


class _Model:
    """A SavedModel that is asked about serialised rows."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))  # its signatures alone would not keep its variables
        signatures = self._loaded.signatures
        if SERVING_EXAMPLES not in signatures:
            got = ", ".join(sorted(signatures)) or "none"
            raise EnvironmentProblem(
                "the model cannot be evaluated", where=folder, wanted=f"signature {SERVING_EXAMPLES}", got=got
            )
        self._ask = signatures[SERVING_EXAMPLES]
        [self._input] = self._ask.structured_input_signature[1]

    def outputs(self, serialised: tf.Tensor) -> dict[str, Any]:
        """Return {output: its values [N, ...]} for N rows."""
        return {name: value.numpy() for name, value in self._ask(**{self._input: serialised}).items()}


def _sums(models: Mapping[str, _Model], shards: Sequence[str]) -> dict[str, dict[int, Sums]]:
    """Return {model: {label: its sums}}."""
    sums: dict[str, dict[int, Sums]] = {name: {} for name in models}
    count = Count("rows evaluated")
    form = {LABEL: tf.io.FixedLenFeature([], tf.int64)}
    for serialised in tf.data.TFRecordDataset(list(shards)).batch(BATCH).prefetch(2):
        labels = tf.io.parse_example(serialised, form)[LABEL].numpy()
        for name, model in models.items():
            outputs, added = model.outputs(serialised), sums[name]
            probabilities, errors = outputs["probabilities"], outputs.get(RECONSTRUCTION_MSE)
            for label in np.unique(labels).tolist():
                own = labels == label
                one = sums_of(labels[own], probabilities[own], None if errors is None else errors[own])
                added[label] = added[label] + one if label in added else one
        count.add(len(labels))
    return sums


def _slices(sums: Mapping[str, Mapping[int, Sums]]) -> Iterator[SlicedMetrics]:
    """Yield the metrics of all rows, then those of each label; nothing where there are no rows, as TFMA does."""
    labels = sorted(next(iter(sums.values())))
    if labels:
        yield (), _metrics({name: np.sum([own[label] for label in labels], axis=0) for name, own in sums.items()})
    for label in labels:
        yield ((LABEL, label),), _metrics({name: own[label] for name, own in sums.items()})


def _metrics(sums: Mapping[str, Sums]) -> dict[metric_types.MetricKey, Any]:
    return {metric_key(name, model): value for model, own in sums.items() for name, value in means_of(own).items()}


def _with_difference(one: SlicedMetrics) -> SlicedMetrics:
    """Add the candidate's metrics less the baseline's, where both have them, as TFMA does."""
    slice_key, metrics = one
    differences = {
        key.make_diff_key(): value - metrics[other]
        for key, value in metrics.items()
        if key.model_name == CANDIDATE and (other := key.make_baseline_key(BASELINE)) in metrics
    }
    return slice_key, {**metrics, **differences}


def _write(output: Path, slices: Sequence[SlicedMetrics]) -> None:
    """Write what TFMA's writers write; of plots and attributions, which are switched off, each slice's name."""
    output.mkdir(parents=True, exist_ok=True)
    names: list[SlicedMetrics] = [(slice_key, {}) for slice_key, _ in slices]
    records = {
        "metrics": [writer.convert_slice_metrics_to_proto(one, None) for one in slices],
        "plots": [writer.convert_slice_plots_to_proto(one, None) for one in names],
        "attributions": [writer.convert_slice_attributions_to_proto(one) for one in names],
    }
    for name, protos in records.items():
        _write_records(output / f"{name}-00000-of-00001.tfrecord", protos)
    # The config has no thresholds (`eval_config`), which TFMA notes.
    _write_records(output / "validations.tfrecord", [validation_result_pb2.ValidationResult(missing_thresholds=True)])


def _write_records(file: Path, protos: Sequence[Any]) -> None:
    with tf.io.TFRecordWriter(str(file)) as records:
        for proto in protos:
            records.write(proto.SerializeToString())
