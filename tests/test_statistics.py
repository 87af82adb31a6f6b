"""Statistics by our executor, against those that TFX's own leaves by TFDV's Beam pass, and by real Beam options."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import executor as stock
from tfx.types import standard_artifacts

from components.beam_arguments import works_alone
from components.statistics_executor import BATCH, StatisticsExecutor
from pipeline.config import beam

pytestmark = pytest.mark.e2e

ROWS = 2 * BATCH + 300
SPLITS = '["train", "test"]'


def example(image, label):
    def ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    return tf.train.Example(features=tf.train.Features(feature={"image": ints(image), "label": ints([label])}))


def write(folder, rows, shards, seed):
    """Writes rows of 8x8 images as so many TFRecord files, the same rows whatever their number."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (rows, 64)) * (random.random((rows, 64)) < 0.3)
    serialised = [example(image, label).SerializeToString() for label, image in enumerate(images)]
    folder.mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(rows), shards)):
        with tf.io.TFRecordWriter(str(folder / f"data_tfrecord-{number:05d}-of-{shards:05d}")) as file:
            for row in part:
                file.write(serialised[row])


def artifact(kind, folder):
    one = kind()
    one.uri = str(folder)
    one.mlmd_artifact.custom_properties["tfx_version"].string_value = "1.16.0"
    return one


def statistics_of(folder, kind=StatisticsExecutor, arguments=beam.BEAM_ARGS):
    """Returns the artifact that an executor fills, and its statistics by split."""
    examples = artifact(standard_artifacts.Examples, folder)
    examples.split_names, examples.span = SPLITS, 3
    target = artifact(standard_artifacts.ExampleStatistics, folder.parent / f"{folder.name}-{kind.__module__}")
    context = kind.Context(beam_pipeline_args=list(arguments), tmp_dir=str(folder.parent), unique_id="1")
    kind(context).Do({"examples": [examples]}, {"statistics": [target]}, {"exclude_splits": "[]"})
    files = {split: f"{target.uri}/Split-{split}/FeatureStats.pb" for split in ("train", "test")}
    return target, {split: tf.io.read_file(file).numpy() for split, file in files.items()}


def values(serialised):
    """Returns every line of a statistics file: its name, and its value as a number where it is one."""
    lines = str(statistics_pb2.DatasetFeatureStatisticsList.FromString(serialised)).splitlines()
    parted = [line.partition(": ") for line in lines]
    return [name for name, _, _ in parted], [float(value) if is_number(value) else value for _, _, value in parted]


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics") / "examples"
    write(folder / "Split-train", ROWS, 3, seed=1)
    write(folder / "Split-test", BATCH, 2, seed=2)
    return folder


def test_they_are_those_of_the_stock_executor(examples):
    ours, by_split = statistics_of(examples)
    theirs, stock_by_split = statistics_of(examples, stock.Executor)
    # Up to a batch, Beam's pass has nothing to put together either.
    assert by_split["test"] == stock_by_split["test"]
    names, numbers = values(by_split["train"])
    stock_names, stock_numbers = values(stock_by_split["train"])
    assert names == stock_names
    for name, mine, its in zip(names, numbers, stock_numbers, strict=True):
        # Beam's batches follow the clock, and these two are put together from theirs.
        is_put_together = name.strip() in ("mean", "std_dev")
        assert mine == (pytest.approx(its, rel=1e-13) if is_put_together else its), name
    assert ours.mlmd_artifact.properties == theirs.mlmd_artifact.properties
    assert ours.mlmd_artifact.custom_properties == theirs.mlmd_artifact.custom_properties


def test_equal_rows_have_equal_statistics_whatever_the_files(examples, tmp_path):
    write(tmp_path / "examples" / "Split-train", ROWS, 1, seed=1)
    write(tmp_path / "examples" / "Split-test", BATCH, 1, seed=2)
    assert statistics_of(tmp_path / "examples")[1] == statistics_of(examples)[1]


@pytest.mark.parametrize(
    ("engine", "options", "alone"),
    [
        ("direct", [], True),
        ("direct", ["direct_running_mode=in_memory"], True),
        ("direct", ["direct_running_mode=multi_processing", "direct_num_workers=2"], False),
        ("portable", [], False),
        ("flink", ["flink_master=http://flink:8081"], False),
        ("spark", ["job_endpoint=spark:8099"], False),
    ],
)
def test_engines_that_share_the_work_out_get_it(engine, options, alone):
    assert works_alone(beam.choose(engine, options).arguments) == alone
