"""Evaluation: what the thresholds say, that TFMA's numbers are right, and what the stock Evaluator does instead."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import google_crc32c
import pytest
from tensorflow.core.example import example_pb2

from components.evaluation.results import NO_ROWS, Measured, SliceMetrics, read_metrics, write_metrics
from components.evaluation.thresholds import Verdict, judge, read_verdict
from components.settings import DataSettings, EvaluationSettings

GOOD = SliceMetrics(rows=50, accuracy=0.96, loss=0.1, reconstruction_mse=0.01, predicted=(50, 0, 0))
SETTINGS = EvaluationSettings(accuracy=0.9, class_accuracy=0.5, loss=0.3, reconstruction_mse=0.05, baseline_margin=0.01)


def measured(overall: SliceMetrics = GOOD, **classes: SliceMetrics) -> Measured:
    per_class = dict.fromkeys(range(3), GOOD) | {int(name[1:]): metrics for name, metrics in classes.items()}
    return Measured(overall=overall, per_class=per_class)


def but(**changes: float) -> SliceMetrics:
    return dataclasses.replace(GOOD, **changes)


DATA = DataSettings(shape=(4, 6), pixel_max=255, label_count=3)


def verdict_on(candidate: Measured, baseline: Measured | None = None, settings=SETTINGS) -> Verdict:
    return judge(settings, DATA, candidate, baseline, "none" if baseline is None else "version 3")


def test_a_good_model_is_blessed():
    verdict = verdict_on(measured(), measured(but(accuracy=0.965)))
    assert verdict.blessed
    assert [check.passed for check in verdict.checks] == [True] * len(verdict.checks)
    assert verdict.baseline == "version 3"


@pytest.mark.parametrize(
    ("candidate", "check", "reason"),
    [
        (measured(but(accuracy=0.89)), "accuracy", "test accuracy 0.89, wanted at least 0.9"),
        (measured(but(loss=0.31)), "loss", "test cross entropy 0.31, wanted at most 0.3"),
        (measured(but(reconstruction_mse=0.06)), "reconstruction_mse", "reconstructions 0.06, wanted at most 0.05"),
        (measured(_1=but(accuracy=0.49)), "class_accuracy", "accuracy of label 1 0.49, wanted at least 0.5"),
        (measured(but(loss=math.nan)), "finite", "loss of all rows is nan"),
        (measured(but(loss=math.inf)), "finite", "loss of all rows is inf"),
        (measured(_2=but(reconstruction_mse=math.nan)), "finite", "reconstruction_mse of label 2 is nan"),
        (measured(_2=NO_ROWS), "slices", "no test rows of label 2"),
        (Measured(overall=GOOD, per_class={0: GOOD}), "slices", "no test rows of labels 1, 2"),
        (measured(_7=GOOD), "slices", "test rows of label 7, but labels are 0 to 2"),
        (Measured(overall=NO_ROWS, per_class={}), "slices", "no test rows of labels 0, 1, 2"),
    ],
)
def test_each_threshold_refuses_with_its_reason(candidate, check, reason):
    verdict = verdict_on(candidate)
    assert not verdict.blessed
    assert any(reason in line for line in verdict.reasons), verdict.reasons
    assert [c.passed for c in verdict.checks if c.name == check] == [False]


def test_a_model_without_an_autoencoder_is_not_asked_how_it_reconstructs():
    plain = but(reconstruction_mse=None)
    found = Measured(overall=plain, per_class=dict.fromkeys(range(3), plain))
    verdict = verdict_on(found, settings=SETTINGS.model_copy(update={"reconstruction_mse": None}))
    assert verdict.blessed
    assert found.to_dict()["reconstruction_mse"] is None
    assert found.to_dict()["per_class"]["2"]["reconstruction_mse"] is None


def test_a_model_that_was_to_reconstruct_and_cannot_is_refused():
    verdict = verdict_on(measured(but(reconstruction_mse=None)))
    assert [check.name for check in verdict.checks if check.passed is False] == ["reconstruction_mse"]


@pytest.mark.fault(34)
def test_metrics_that_are_no_numbers_pass_no_threshold():
    nothing = but(accuracy=math.nan, loss=math.nan, reconstruction_mse=math.nan)
    failed = {check.name for check in verdict_on(measured(nothing), measured()).checks if check.passed is False}
    assert failed == {"finite", "accuracy", "loss", "reconstruction_mse", "baseline"}


def test_a_ceiling_that_is_not_set_is_not_asked():
    verdict = verdict_on(measured(but(loss=9.0)), settings=EvaluationSettings())
    assert verdict.blessed
    assert "loss" not in {check.name for check in verdict.checks}


@pytest.mark.fault(34)
@pytest.mark.parametrize(("baseline", "passed"), [(0.95, True), (0.97, True), (0.9701, False), (0.99, False)])
def test_a_model_may_be_worse_than_the_baseline_by_the_margin_and_no_more(baseline, passed):
    verdict = verdict_on(measured(), measured(but(accuracy=baseline)))
    assert verdict.blessed == passed
    if not passed:
        assert "accuracy less that of version 3" in verdict.reasons[0]


@pytest.mark.fault(34)
def test_a_missing_baseline_is_recorded_as_none_and_never_as_passed():
    verdict = verdict_on(measured())
    (change,) = [check for check in verdict.checks if check.name == "baseline"]
    assert (change.passed, change.value, change.reason) == (None, None, "no baseline: no other model is served")
    assert verdict.baseline == "none"
    assert verdict.blessed


def test_a_verdict_survives_its_json():
    verdict = verdict_on(measured(but(loss=math.nan)))
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_editing_the_word_blessed_blesses_nothing():
    text = verdict_on(measured(but(accuracy=0.1))).to_json().replace('"blessed": false', '"blessed": true')
    assert not Verdict.from_json(text).blessed


def test_metrics_json_has_no_nan(tmp_path):
    write_metrics(tmp_path, measured(but(loss=math.nan)), measured(), "version 3")
    metrics = read_metrics(tmp_path)
    assert metrics["loss"] is None
    assert metrics["baseline"]["model"] == "version 3"
    assert metrics["confusion_matrix"] == [[50, 0, 0]] * 3


# From here on whole evaluations, all in one process that has TFMA.

DATA = DataSettings(shape=(4, 6), pixel_max=255, label_count=3)
SCHEMA = """
feature { name: "image" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 24 } } }
feature { name: "label" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
"""
STOCK_METRICS = {
    "model_specs": [{"model_type": "tf_generic", "signature_name": "serving_examples", "label_key": "label"}],
    "slicing_specs": [{}, {"feature_keys": ["label"]}],
}
STOCK_METRICS["model_specs"][0]["prediction_key"] = "probabilities"


def config(*metrics: dict[str, object], **changes: object) -> str:
    return json.dumps({**STOCK_METRICS, "metrics_specs": [{"metrics": list(metrics)}], **changes})


TFMA_OWN = config(
    {"class_name": "SparseCategoricalAccuracy", "config": '"name": "accuracy"'},
    {"class_name": "SparseCategoricalCrossentropy", "config": '"name": "loss"'},
    {"class_name": "ExampleCount"},
    {"class_name": "MultiClassConfusionMatrixPlot", "config": '"thresholds": [0.0]'},
)
CHANGE_THRESHOLD = config(
    {
        "class_name": "SparseCategoricalAccuracy",
        "threshold": {
            "value_threshold": {"lower_bound": 0.3},
            "change_threshold": {"absolute": -0.01, "direction": "HIGHER_IS_BETTER"},
        },
    },
    slicing_specs=[{}],
)


BOTH = ("noisy", "noisy beside a baseline", "nan", "empty split")
"""Cases that are evaluated in a single pass and by TFMA's Beam pass."""


def write_examples(folder: Path, rows: list[tuple[list[int], int]]) -> None:
    (folder / "Split-test").mkdir(parents=True)

    def masked(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    with (folder / "Split-test" / "data_tfrecord-00000-of-00001").open("wb") as file:
        for image, label in rows:
            example = example_pb2.Example()
            example.features.feature["image"].int64_list.value.extend(image)
            example.features.feature["label"].int64_list.value.append(label)
            record = example.SerializeToString()
            length = struct.pack("<Q", len(record))
            file.write(length + masked(length) + record + masked(record))


def bright(label: int) -> list[int]:
    return [200 if pixel % 3 == label else 10 for pixel in range(24)]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Runs every case below; each leaves a folder of its name."""
    folder = tmp_path_factory.mktemp("evaluated")
    chance = random.Random(7)
    clear = [(bright(row % 3), row % 3) for row in range(90)]
    noisy = [([chance.randrange(256) for _ in range(24)], chance.randrange(3)) for _ in range(300)]
    shuffled = [(image, chance.randrange(3)) for image, _ in clear]
    splits = {"clear": clear, "noisy": noisy, "shuffled": shuffled, "two_classes": [r for r in clear if r[1] < 2]}
    for name, rows in {**splits, "empty": []}.items():
        write_examples(folder / "examples" / name, rows)
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    wanted = [
        f"{folder / 'models' / name / 'Format-Serving'}={name}" for name in ("none", "weaker", "always_zero", "nan")
    ]
    script = Path(__file__).with_name("tiny_savedmodel.py")
    subprocess.run([sys.executable, script, "4", "6", "3", *wanted], check=True, capture_output=True)

    def case(name: str, examples: str, model: str, baseline: str | None = None, **asked: str) -> dict[str, object]:
        ours = {"settings": EvaluationSettings(accuracy=0.6, class_accuracy=0.0).to_json(), "data": DATA.to_json()}
        return {
            "name": name,
            "out": str(folder / name),
            "examples": str(folder / "examples" / examples),
            "schema": str(folder / "schema"),
            "model": str(folder / "models" / model),
            "baseline": baseline and str(folder / "models" / baseline),
            **(asked or ours),
        }

    lenient = {"settings": EvaluationSettings(accuracy=0.0, class_accuracy=0.0).to_json(), "data": DATA.to_json()}
    cases = [
        case("good", "clear", "none"),
        case("good beside a baseline", "clear", "none", "weaker"),
        case("worse than the baseline", "clear", "always_zero", "none", **lenient),
        case("worse without a baseline", "clear", "always_zero", None, **lenient),
        case("nan", "clear", "nan", None, **lenient),
        case("shuffled labels", "shuffled", "none"),
        case("missing class", "two_classes", "none"),
        case("empty split", "empty", "none"),
        case("noisy", "noisy", "none", None, **lenient),
        case("noisy by TFMA", "noisy", "none", eval_config=TFMA_OWN),
        case("noisy beside a baseline", "noisy", "none", "weaker", **lenient),
        case("stock without a baseline", "clear", "always_zero", eval_config=CHANGE_THRESHOLD),
    ]
    cases += [
        {**by_beam, "out": f"{by_beam['out']} by Beam", "beam": True} for by_beam in cases if by_beam["name"] in BOTH
    ]
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("run_evaluations.py")
    done = subprocess.run([sys.executable, script, folder / "cases.json"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def blessing(folder: Path) -> tuple[int, str]:
    (name,) = os.listdir(folder / "blessing")
    return json.loads((folder / "properties.json").read_text())["blessed"], name


@pytest.mark.slow
@pytest.mark.e2e
class TestWholeEvaluations:
    def test_a_good_model_is_blessed_without_a_baseline_and_it_says_so(self, evaluated):
        folder = evaluated / "good"
        assert blessing(folder) == (1, "BLESSED")
        assert read_verdict(folder / "evaluation").baseline == "none"
        assert json.loads((folder / "properties.json").read_text())["baseline"] == "none"
        metrics = read_metrics(folder / "evaluation")
        assert (metrics["accuracy"], metrics["rows"], metrics["baseline"]) == (1.0, 90, "none")
        assert metrics["confusion_matrix"] == [[30, 0, 0], [0, 30, 0], [0, 0, 30]]

    def test_the_baselines_metrics_stand_beside_the_candidates(self, evaluated):
        folder = evaluated / "good beside a baseline"
        assert blessing(folder) == (1, "BLESSED")
        properties = json.loads((folder / "properties.json").read_text())
        assert properties["baseline"] == "version 3"
        assert properties["baseline_model"].endswith("weaker")
        metrics = read_metrics(folder / "evaluation")
        assert metrics["baseline"]["model"] == "version 3"
        assert metrics["baseline"]["loss"] != metrics["loss"]
        assert metrics["baseline"]["rows"] == 90

    @pytest.mark.parametrize(
        ("case", "reason"),
        [
            ("worse than the baseline", "accuracy less that of version 3 -0.6667"),
            ("nan", "loss of all rows is nan"),
            ("shuffled labels", "test accuracy 0."),
            ("missing class", "no test rows of label 2"),
            ("empty split", "no test rows of labels 0, 1, 2"),
        ],
    )
    def test_what_must_not_be_served_is_not_blessed(self, evaluated, case, reason):
        verdict = read_verdict(evaluated / case / "evaluation")
        assert blessing(evaluated / case) == (0, "NOT_BLESSED")
        assert any(reason in line for line in verdict.reasons), verdict.reasons

    def test_the_numbers_are_those_of_tfmas_own_metrics(self, evaluated):
        ours = read_metrics(evaluated / "noisy" / "evaluation")
        own = tfma_numbers(evaluated / "noisy by TFMA" / "evaluation")
        assert 0.1 < ours["accuracy"] < 0.9
        for name in ("accuracy", "loss"):
            assert ours[name] == pytest.approx(own["overall"][name], rel=1e-6)
            for label in "012":
                assert ours["per_class"][label][name] == pytest.approx(own[label][name], rel=1e-6)
        assert ours["rows"] == own["overall"]["example_count"] == 300
        assert ours["confusion_matrix"] == own["confusion_matrix"]

    @pytest.mark.parametrize("case", BOTH)
    def test_the_single_pass_leaves_what_tfmas_beam_pass_leaves(self, evaluated, case):
        one, other = (everything(evaluated / name / "evaluation") for name in (case, f"{case} by Beam"))
        assert one.pop("files") == other.pop("files")
        assert one.pop("eval_config") == other.pop("eval_config")
        assert one.keys() == other.keys() >= {"metrics", "plots", "attributions", "validations"}
        for name, records in one.items():
            # Beam writes slices in no order; sums of floats depend on the batches, which follow its clock.
            assert_alike(records, other[name])
        assert bool(one["metrics"]) == (case != "empty split")
        if case == "noisy beside a baseline":
            assert any('"isDiff": true' in json.dumps(record) for record in one["metrics"])

    def test_the_stock_evaluator_blesses_what_it_could_not_compare(self, evaluated):
        """Before: a change threshold, no baseline, and a blessing all the same. Ours says that nothing was compared."""
        assert blessing(evaluated / "stock without a baseline") == (1, "BLESSED")
        ours = read_verdict(evaluated / "worse without a baseline" / "evaluation")
        assert ours.baseline == "none"
        assert [check.passed for check in ours.checks if check.name == "baseline"] == [None]


TFMA_NUMBERS = """
import json, sys
import tensorflow_model_analysis as tfma
found = {}
for proto in tfma.load_metrics(sys.argv[1]):
    name = "".join(str(key.int64_value) for key in proto.slice_key.single_slice_keys) or "overall"
    found[name] = {entry.key.name: entry.value.double_value.value for entry in proto.metric_keys_and_values}
matrix = [[0] * 3 for _ in range(3)]
for proto in tfma.load_plots(sys.argv[1]):
    if not proto.slice_key.single_slice_keys:
        plots = proto.plot_keys_and_values[0].value.multi_class_confusion_matrix_at_thresholds
        for entry in plots.matrices[0].entries:
            matrix[entry.actual_class_id][entry.predicted_class_id] = round(entry.num_weighted_examples)
print(json.dumps({**found, "confusion_matrix": matrix}))
"""


EVERYTHING = """
import json, os, sys
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_model_analysis.proto import metrics_for_slice_pb2 as slices, validation_result_pb2 as validation
PROTOS = {"metrics": slices.MetricsForSlice, "plots": slices.PlotsForSlice, "attributions": slices.AttributionsForSlice,
          "validations": validation.ValidationResult}
found = {"files": sorted(os.listdir(sys.argv[1])), "eval_config": json.load(open(os.path.join(sys.argv[1], "eval_config.json")))}
for file in found["files"]:
    if file.endswith(".tfrecord"):
        name = file.partition("-")[0].partition(".")[0]
        records = tf.data.TFRecordDataset(os.path.join(sys.argv[1], file)).as_numpy_iterator()
        parsed = [json_format.MessageToDict(PROTOS[name].FromString(record)) for record in records]
        found[name] = sorted(parsed, key=lambda one: json.dumps(one.get("sliceKey", {}), sort_keys=True))
print(json.dumps(found))
"""


def everything(uri: Path) -> dict[str, object]:
    """What an evaluation left: its files, the configuration, and the records of each kind in the order of their slices."""
    done = subprocess.run([sys.executable, "-c", EVERYTHING, uri], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def assert_alike(one: object, other: object) -> None:
    """The same but for the last bits of floats."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_alike(value, other[key])
    elif isinstance(one, list):
        assert isinstance(other, list)
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_alike(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-12, nan_ok=True) if isinstance(one, float) else other)


def tfma_numbers(uri: Path) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", TFMA_NUMBERS, uri], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.fault(34)
def test_a_class_that_is_declared_empty_needs_no_test_rows():
    empty = DATA.model_copy(update={"label_offset": 1, "empty_classes": (3,)})
    candidate = Measured(overall=GOOD, per_class={0: GOOD, 1: GOOD})
    assert judge(SETTINGS, empty, candidate).blessed
    (slices, *_) = judge(SETTINGS, DATA.model_copy(update={"label_offset": 1}), candidate).checks
    assert (slices.passed, slices.reason) == (False, "no test rows of label 3")
    (slices, *_) = judge(SETTINGS, empty, Measured(overall=GOOD, per_class=dict.fromkeys(range(3), GOOD))).checks
    assert slices.reason == "test rows of label 3, but labels are 1 to 3, and label 3 declared empty"
