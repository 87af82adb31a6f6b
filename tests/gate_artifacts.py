"""Real digits -> the artifact folders that SchemaGate reads, as the nodes before it write them."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components import digest
from components.ingest import csv_rows, idx
from components.profile import profile
from components.schema_files import find_reviewed
from components.schema_gate.component import SchemaGateExecutor
from components.schema_gate.evidence import read_evidence
from components.schema_gate.rules import judge
from components.settings import DataSettings, GateSettings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DIGITS = DataSettings(shape=(8, 8), pixel_max=16)
MNIST = DataSettings(shape=(28, 28), pixel_max=255)
SPLITS = ("train", "validation", "test")


def _kept(pixels, labels):
    """The arrays, which all tests of a session share and none may write to."""
    pixels.flags.writeable = labels.flags.writeable = False
    return pixels, labels


@functools.cache
def digits():
    found = load_digits()
    return _kept(found.data.astype(np.uint8), found.target.astype(np.int64))


@functools.cache
def mnist(part):
    folder = SHARED / "mnist"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/mnist")
    files = folder / f"{part}-images-idx3-ubyte.gz", folder / f"{part}-labels-idx1-ubyte.gz"
    [chunk] = idx.iter_chunks(*files, rows=60_000, data=MNIST)
    return _kept(np.array(chunk.pixels), np.array(chunk.labels))


@functools.cache
def mnist_profile(part):
    return profile(*mnist(part), MNIST)


@functools.cache
def csv(path, data):
    if not path.is_file():
        pytest.skip(f"needs {path}")
    [chunk] = csv_rows.iter_chunks(path, data, rows=60_000)
    return _kept(chunk.pixels, chunk.labels)


def cut(pixels, labels, shares=(0.7, 0.1, 0.2), seed=0):
    """{split: (pixels, labels)}, as a split by hash would be: at random, each row once."""
    order = np.random.default_rng(seed).permutation(len(labels))
    ends = np.cumsum([round(share * len(labels)) for share in shares[:-1]])
    return {split: (pixels[at], labels[at]) for split, at in zip(SPLITS, np.split(order, ends), strict=False)}


def statistics_of(pixels, labels):
    found = statistics_pb2.DatasetFeatureStatistics(num_examples=len(labels))
    for name, values in (("image", pixels), ("label", labels[:, None])):
        stats = found.features.add(path={"step": [name]}, type=statistics_pb2.FeatureNameStatistics.INT).num_stats
        stats.min, stats.max = float(values.min()), float(values.max())
        stats.common_stats.num_non_missing = len(values)
        stats.common_stats.min_num_values = stats.common_stats.max_num_values = values.shape[1]
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=[found])


def index_of(pixels, labels, data):
    prefix = digest.row_prefix(*data.shape)
    rows = [
        (digest.row_digest(prefix, p.tobytes(), int(k)), digest.pixels_digest(prefix, p.tobytes()), k)
        for p, k in zip(pixels, labels, strict=True)
    ]
    return np.array(sorted(rows), dtype=[("row", "V32"), ("pixels", "V32"), ("label", np.int64)])


class Artifacts:
    """The folders that the gate reads, as ingest, StatisticsGen, ReviewedSchema and ExampleValidator write them."""

    def __init__(self, folder, splits, data):
        self.folder, self.data = folder, data
        profiles = {split: profile(*rows, data) for split, rows in splits.items()}
        self.write("examples/profile.json", json.dumps({"splits": profiles}).encode())
        (folder / "examples" / "row_index").mkdir()
        for split, rows in splits.items():
            np.save(folder / "examples" / "row_index" / f"{split}.npy", index_of(*rows, data))
            self.write(f"statistics/Split-{split}/FeatureStats.pb", statistics_of(*rows).SerializeToString())
            self.write(f"anomalies/Split-{split}/SchemaDiff.pb", b"")
        reviewed = find_reviewed(data.geometry)
        self.write("schema/schema.pbtxt", reviewed.schema.read_bytes())
        self.write("reference/profile.json", reviewed.profile.read_bytes())

    def write(self, path, content):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)

    def judge(self, **gates):
        evidence = read_evidence(*(self.folder / name for name in ("examples", "statistics", "reference", "anomalies")))
        return judge(evidence, GateSettings(**gates), self.data)

    def run(self, **gates):
        types = {
            "examples": standard_artifacts.Examples,
            "statistics": standard_artifacts.ExampleStatistics,
            "reviewed_schema": standard_artifacts.Schema,
            "reference": standard_artifacts.ExampleStatistics,
            "anomalies": standard_artifacts.ExampleAnomalies,
        }
        inputs = {key: [artifact(kind, self.folder / key.split("_")[-1])] for key, kind in types.items()}
        outputs = {
            "schema": [artifact(standard_artifacts.Schema, self.folder / "out")],
            "report": [artifact(standard_artifacts.ExampleAnomalies, self.folder / "report")],
        }
        properties = {"settings": GateSettings(**gates).to_json(), "data": self.data.to_json()}
        SchemaGateExecutor().Do(inputs, outputs, properties)
        return artifact_utils.get_single_instance(outputs["schema"])


def artifact(kind, folder):
    found = kind()
    found.uri = str(folder)
    return found
