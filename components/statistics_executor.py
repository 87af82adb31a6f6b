"""The executor of StatisticsGen: TFDV's own generators over the rows in their order, or TFDV's Beam pass.

Beam's pass tunes the size of its batches by the clock, and mean and deviation are put together from those of batches: two
passes over one split differ in last bits. Here batches have a fixed size and come one after the other, so that equal rows
have equal statistics, to the byte, and the passage of every row through Beam's runner is saved, which takes longer than
the statistics. Beam is for engines that share the work out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils
from tfx_bsl.coders import example_coder

from components.beam_arguments import works_alone
from components.files import files_in
from components.progress import Count

BATCH: Final = 1000
"""Rows at once, as many as TFDV asks Beam for; 6 MB of 28x28 images."""


class StatisticsExecutor(executor.Executor):  # type: ignore[misc]  # tfx has no annotations
    """The stock executor, whose Beam pass is left out where it would run on this machine alone."""

    def Do(  # noqa: N802  # TFX's name
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Write `FeatureStats.pb` of every split."""
        if not works_alone(self._beam_pipeline_args):
            super().Do(input_dict, output_dict, exec_properties)
            return
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_instance(output_dict[standard_component_specs.STATISTICS_KEY])
        splits = artifact_utils.decode_split_names(examples.split_names)
        _describe(statistics, examples, splits)
        count = Count("rows counted")
        for split in splits:
            shards = files_in(artifact_utils.get_split_uri([examples], split))
            target = Path(artifact_utils.get_split_uri([statistics], split), executor.DEFAULT_FILE_NAME)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(of_batches(_decoded(shards, count)).SerializeToString())


def of_batches(batches: Iterator[pa.RecordBatch]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Return the statistics of record batches, by the generators that TFDV has for its own pass in memory."""
    generators = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    partial = [generator.create_accumulator() for generator in generators]
    for batch in batches:
        partial = [generator.add_input(one, batch) for generator, one in zip(generators, partial, strict=True)]
    return stats_impl.extract_statistics_output(partial, generators)


def _describe(statistics: Any, examples: Any, splits: Sequence[str]) -> None:
    """Give the artifact what the stock executor gives it."""
    statistics.split_names = artifact_utils.encode_split_names(list(splits))
    statistics.span = examples.span
    statistics.set_string_custom_property(executor.STATS_DASHBOARD_LINK, "")
    whole: Mapping[str, float] = dict.fromkeys(splits, 1.0)
    statistics.set_json_value_custom_property(executor.SAMPLE_RATE_BY_SPLIT_PROPERTY_NAME, json_utils.dumps(whole))


def _decoded(shards: Sequence[str], count: Count) -> Iterator[pa.RecordBatch]:
    """Yield the rows of TFRecord files `BATCH` at a time, each batch decoded while the one before is counted."""
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    serialised = tf.data.TFRecordDataset(list(shards)).batch(BATCH).prefetch(2).as_numpy_iterator()
    with ThreadPoolExecutor(max_workers=1) as ahead:
        waiting = [ahead.submit(_next, serialised, decoder)]
        while (batch := waiting.pop().result()) is not None:
            waiting.append(ahead.submit(_next, serialised, decoder))
            yield batch
            count.add(batch.num_rows)


def _next(serialised: Iterator[Any], decoder: Any) -> pa.RecordBatch | None:
    batch = next(serialised, None)
    return None if batch is None else decoder.DecodeBatch(batch)
