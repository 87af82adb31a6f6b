"""Tiny images -> Examples, transform graphs and trained models for the tests of the Trainers.

The images are 6x5, so that a transposition shows, and their label is the third of the rows that is bright.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from components.features import IMAGE, LABEL
from components.settings import AutoencoderSettings, ClassifierSettings, DataSettings, OptimizerSettings
from components.training.process import TRAINER_ENVIRONMENT

SCALINGS = ("minmax", "standardise", "centre")
DATA = DataSettings(shape=(6, 5), pixel_max=16, label_count=3)
ADAM = OptimizerSettings(learning_rate=0.01)
AUTOENCODER = AutoencoderSettings(layers=(16,), latent=4, epochs=10, batch=16, optimizer=ADAM)
CLASSIFIER = ClassifierSettings(layers=(16,), dropout=0.1, epochs=10, batch=16, optimizer=ADAM)

RUN_FN = """
import json, sys
from tfx.components.trainer.fn_args_utils import FnArgs
from components.{stage}.trainer import run_fn
run_fn(FnArgs(**json.load(sys.stdin)))
"""


@dataclasses.dataclass(frozen=True)
class Split:
    """Raw images uint8 [N, 6, 5] and labels int64 [N] of one split."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def flat(self):
        return self.images.reshape(len(self.images), -1)


@pytest.fixture(scope="session")
def splits():
    return {"train": _split(240, seed=1), "validation": _split(60, seed=2)}


def _split(rows, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    images = rng.integers(0, 5, (rows, 6, 5))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 9
    return Split(images.astype(np.uint8), labels)


@pytest.fixture(scope="session")
def to_example():
    """Returns a function that serialises an image, and its label if it is given one."""
    import tensorflow as tf

    def serialise(image, label=None):
        features = {IMAGE: image.ravel().tolist()} | ({} if label is None else {LABEL: [int(label)]})
        ints = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for name, v in features.items()}
        return tf.train.Example(features=tf.train.Features(feature=ints)).SerializeToString()

    return serialise


@pytest.fixture(scope="session")
def examples(splits, to_example, tmp_path_factory):
    """An Examples artifact, each split in two shards."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("examples")
    for name, split in splits.items():
        (folder / f"Split-{name}").mkdir()
        for shard, rows in enumerate(np.array_split(np.arange(len(split.labels)), 2)):
            with tf.io.TFRecordWriter(str(folder / f"Split-{name}" / f"data_tfrecord-{shard:05d}-of-00002")) as writer:
                for row in rows:
                    writer.write(to_example(split.images[row], split.labels[row]))
    return folder


@pytest.fixture(scope="session")
def transform_graphs(splits, tmp_path_factory):
    """Paths of TransformGraph artifacts, by scaling; built by TFT on Beam, as Transform does."""
    return {scaling: analyse(splits["train"], scaling, tmp_path_factory) for scaling in SCALINGS}


def analyse(split, scaling, tmp_path_factory):
    import functools

    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    from components.preprocessing import preprocessing_fn

    graph = str(tmp_path_factory.mktemp(scaling) / "graph")
    spec = {IMAGE: tf.io.FixedLenFeature([30], tf.int64), LABEL: tf.io.FixedLenFeature([1], tf.int64)}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [
        {IMAGE: image.astype(np.int64), LABEL: np.array([label])}
        for image, label in zip(split.flat, split.labels, strict=True)
    ]
    config = {"settings": json.dumps({"scaling": scaling}), "data": DATA.to_json()}
    with (
        beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path_factory.mktemp("tft"))),
    ):
        raw = pipeline | beam.Create(rows)
        analysed = (raw, metadata) | tft_beam.AnalyzeDataset(functools.partial(preprocessing_fn, custom_config=config))
        _ = analysed | tft_beam.WriteTransformFn(graph)
    return graph


@pytest.fixture(scope="session")
def fn_args(examples, transform_graphs):
    """Returns a function that gives the fields of TFX's FnArgs for one training, all of them JSON values."""

    def make(settings, folder, scaling="minmax", base_model=None):
        return {
            "train_files": [f"{examples}/Split-train/*"],
            "eval_files": [f"{examples}/Split-validation/*"],
            "transform_graph_path": transform_graphs[scaling],
            "serving_model_dir": str(Path(folder) / "Format-Serving"),
            "model_run_dir": str(Path(folder) / "run"),
            "base_model": base_model,
            "custom_config": {"settings": settings.to_json(), "data": DATA.to_json(), "code_digest": "0"},
        }

    return make


@pytest.fixture(scope="session")
def train():
    """Runs a Trainer's `run_fn` in this process."""

    def run(stage, fields):
        import importlib

        from tfx.components.trainer.fn_args_utils import FnArgs

        run_fn = importlib.import_module(f"components.{stage}.trainer").run_fn
        run_fn(FnArgs(**fields))
        return fields["serving_model_dir"]

    return run


@pytest.fixture(scope="session")
def start_training():
    """Starts a Trainer's `run_fn` in a process of its own and returns the process, its input already given."""

    def start(stage, fields, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN_FN.format(stage=stage)],
            stdin=subprocess.PIPE,
            env={**os.environ, **TRAINER_ENVIRONMENT, **options.pop("env", {})},
            text=True,
            **options,
        )
        process.stdin.write(json.dumps(fields))
        process.stdin.close()
        return process

    return start


@pytest.fixture(scope="session")
def autoencoder_model(fn_args, train, tmp_path_factory):
    """The folder of an autoencoder's SavedModel."""
    return train("autoencoder", fn_args(AUTOENCODER, tmp_path_factory.mktemp("autoencoder")))


@pytest.fixture(scope="session")
def served_model(fn_args, train, autoencoder_model, tmp_path_factory):
    """The folder of a served SavedModel."""
    folder = tmp_path_factory.mktemp("classifier")
    return train("classifier", fn_args(CLASSIFIER, folder, base_model=autoencoder_model))
