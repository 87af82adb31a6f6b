"""The check of an exported model: answers judged in NumPy, and whole models asked in the bare interpreter."""

from __future__ import annotations

import base64
import copy
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorflow.core.example import example_pb2
from tfx.types import standard_artifacts

from components import savedmodel_check
from components.errors import EnvironmentProblem
from components.savedmodel_answers import judge
from components.savedmodel_check import (
    Probe,
    SavedModelCheckExecutor,
    ask_ahead,
    first_records,
    read_check,
    request_for,
)
from components.serving import FORMAT_SERVING
from components.settings import DataSettings
from pipeline.runner.run import Run
from pipeline.stages import EVALUATOR, SAVED_MODEL_CHECK, TRAINERS

DATA = DataSettings(shape=(4, 6), pixel_max=255, label_count=3)
ROWS = 5


def encoded(array):
    if array.dtype == object:
        return {"dtype": "object", "shape": list(array.shape), "texts": array.tolist()}
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


@pytest.fixture
def sound():
    """Answers of a sound model, as arrays; `judged` encodes them."""
    classes = np.arange(ROWS, dtype=np.int64) % 3
    probabilities = np.full((ROWS, 3), 0.2, np.float32)
    probabilities[np.arange(ROWS), classes] = 0.6
    predicted = {"classes": classes, "probabilities": probabilities}
    named = {**predicted, "class_names": np.array([str(label) for label in classes], object)}
    return {
        "serving_default": dict(named),
        "serving_images": dict(named),
        "serving_examples": {**predicted, "reconstruction_mse": np.full(ROWS, 0.1, np.float32)},
        "reconstruct": {"images": np.zeros((ROWS, 24), np.float32)},
    }


def judged(answers) -> list[str]:
    described = {name: {k: encoded(v) for k, v in outputs.items()} for name, outputs in answers.items()}
    return reasons({"ours": [], "answers": described})


def reasons(answer) -> list[str]:
    return [str(finding) for finding in judge(answer, ROWS, DATA, reconstructs=True)]


def test_a_sound_model_gives_no_finding(sound):
    assert judged(sound) == []


def without_autoencoder(sound):
    """Answers of a classifier alone, as the probe describes them: it asks for `reconstruct` all the same."""
    del sound["serving_examples"]["reconstruction_mse"], sound["reconstruct"]
    described = {name: {k: encoded(v) for k, v in outputs.items()} for name, outputs in sound.items()}
    return {"ours": [], "answers": {**described, "reconstruct": {"error": "KeyError: 'reconstruct'"}}}


def test_a_classifier_alone_promises_no_reconstructions(sound):
    answer = without_autoencoder(sound)
    assert judge(answer, ROWS, DATA, reconstructs=False) == []
    assert {finding.signature for finding in judge(answer, ROWS, DATA, reconstructs=True)} == {
        "reconstruct",
        "serving_examples",
    }


def change(sound, signature, output, operation):
    changed = copy.deepcopy(sound)
    changed[signature][output] = operation(changed[signature][output])
    return changed


def with_value(value):
    def put(array):
        array = array.copy()
        array.flat[0] = value
        return array

    return put


@pytest.mark.parametrize(
    ("signature", "output", "operation", "reason"),
    [
        ("serving_default", "classes", lambda a: a.astype(np.int32), "wanted int64 [5], got int32 [5]"),
        (
            "serving_images",
            "probabilities",
            lambda a: a.astype(np.float64),
            "wanted float32 [5, 3], got float64 [5, 3]",
        ),
        ("serving_default", "probabilities", lambda a: a[:, :2], "wanted float32 [5, 3], got float32 [5, 2]"),
        ("serving_examples", "reconstruction_mse", lambda a: a[:, None], "wanted float32 [5], got float32 [5, 1]"),
        ("reconstruct", "images", lambda a: a.reshape(ROWS, 4, 6), "wanted float32 [5, 24], got float32 [5, 4, 6]"),
        ("reconstruct", "images", with_value(np.inf), "images: 1 of 120 values are not finite"),
        ("reconstruct", "images", with_value(-0.1), "images: 1 of 120 pixels are outside 0 to 255: from -0.1 to 0"),
        ("reconstruct", "images", with_value(255.1), "images: 1 of 120 pixels are outside 0 to 255: from 0 to 255.1"),
        ("serving_default", "probabilities", with_value(np.nan), "probabilities: 1 of 15 values are not finite"),
        ("serving_default", "probabilities", with_value(0.61), "a row sums to 1.01"),
        ("serving_default", "probabilities", with_value(-0.1), "-0.1 is below zero"),
        ("serving_images", "classes", with_value(2), "row 0 is 2, but class 0 is the most probable"),
        ("serving_examples", "reconstruction_mse", with_value(-1), "a squared error below zero"),
    ],
)
def test_each_defect_is_named_with_its_signature(sound, signature, output, operation, reason):
    (finding,) = {line for line in judged(change(sound, signature, output, operation)) if reason in line}
    assert finding.startswith(f"{signature}: ")


def test_a_row_may_miss_a_sum_of_one_by_rounding(sound):
    assert judged(change(sound, "serving_default", "probabilities", with_value(0.60005))) == []


@pytest.mark.parametrize("value", [-0.001, 255.001])
def test_a_pixel_may_leave_its_range_by_rounding(sound, value):
    assert judged(change(sound, "reconstruct", "images", with_value(value))) == []


def test_signatures_must_agree_on_the_same_images(sound):
    swapped = change(sound, "serving_images", "probabilities", lambda a: a[::-1].copy())
    swapped["serving_images"]["classes"] = swapped["serving_images"]["probabilities"].argmax(axis=1)
    (reason,) = judged(swapped)
    assert reason.startswith("serving_images: probabilities: up to 0.4 away from serving_default")


def test_a_class_under_another_name_is_found(sound):
    names = sound["serving_images"]["class_names"] = sound["serving_images"]["class_names"].copy()
    names[1] = "seven"
    assert judged(sound) == ["serving_images: class_names: row 1 is 'seven', but the name of class 1 is '1'"]


def test_a_renamed_output_is_named(sound):
    sound["serving_default"]["klass"] = sound["serving_default"].pop("classes")
    assert judged(sound) == [
        "serving_default: wanted outputs class_names, classes, probabilities, got class_names, klass, probabilities"
    ]


def test_a_signature_that_raised_says_what(sound):
    described = {name: {k: encoded(v) for k, v in outputs.items()} for name, outputs in sound.items()}
    described["reconstruct"] = {"error": "KeyError: 'reconstruct'"}
    assert reasons({"ours": [], "answers": described}) == ["reconstruct: KeyError: 'reconstruct'"]


def bright(label: int) -> list[int]:
    return [200 if pixel % 3 == label else 10 for pixel in range(24)]


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> standard_artifacts.Examples:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "Split-test").mkdir()
    for shard in range(2):
        with (folder / "Split-test" / f"data_tfrecord-0000{shard}-of-00002").open("wb") as file:
            for row in range(50):
                example = example_pb2.Example()
                example.features.feature["image"].int64_list.value.extend(bright(row % 3))
                example.features.feature["label"].int64_list.value.append(row % 3)
                record = example.SerializeToString()
                file.write(struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0))
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(folder), '["test"]'
    return artifact


def test_the_first_rows_come_in_the_order_of_the_shards(examples):
    records = first_records(Path(examples.uri) / "Split-test", 64)
    images = [list(example_pb2.Example.FromString(r).features.feature["image"].int64_list.value) for r in records]
    assert len(records) == 64
    assert images[:3] == [bright(0), bright(1), bright(2)]
    assert images[50] == bright(0)


def test_a_question_carries_the_images_as_bytes(examples):
    request = request_for(Path("model"), first_records(Path(examples.uri) / "Split-test", 2), DATA)
    assert request["images"]["shape"] == [2, 4, 6]
    assert list(base64.b64decode(request["images"]["data"])) == bright(0) + bright(1)


# From here on TensorFlow is imported, by the probe and by the script that writes the models.

DEFECTS = {
    "none": None,
    "nan": "values are not finite",
    "unnormalised": "a row sums to 1.5",
    "wrong_classes": "is the most probable",
    "wrong_name": "wanted outputs classes, probabilities",
    "wrong_shape": "wanted float32 [64, 3], got float32 [64, 2]",
    "wrong_type": "wanted int64 [64], got float32 [64]",
    "missing_signature": "reconstruct",
    "negative_pixels": "reconstruct: images: 1536 of 1536 pixels are outside 0 to 255: from -292.5 to -150",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("tiny_savedmodel.py")
    wanted = [f"{folder / defect / FORMAT_SERVING}={defect}" for defect in DEFECTS]
    subprocess.run([sys.executable, script, "4", "6", "3", *wanted], check=True, capture_output=True)
    return folder


def check(model: Path, examples, tmp_path) -> tuple[standard_artifacts.InfraBlessing, dict[str, object]]:
    artifact, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    artifact.uri, blessing.uri = str(model), str(tmp_path / "blessing")
    inputs = {"model": [artifact], "examples": [examples]}
    SavedModelCheckExecutor().Do(inputs, {"blessing": [blessing]}, {"data": DATA.to_json(), "reconstructs": 1})
    return blessing, read_check(blessing.uri)


@pytest.fixture
def started(monkeypatch):
    """The questions of all interpreters that are started."""
    asked = []
    begin = Probe.__init__
    monkeypatch.setattr(Probe, "__init__", lambda probe, request: asked.append(request) or begin(probe, request))
    return asked


def test_a_sound_model_is_blessed_by_the_interpreter_that_was_asked_ahead(models, examples, tmp_path, started):
    ask_ahead(models / "none", Path(examples.uri), DATA)
    ask_ahead(models / "none", Path(examples.uri), DATA)
    blessing, report = check(models / "none", examples, tmp_path)
    assert len(started) == 1
    assert (report["blessed"], report["rows"], report["reasons"]) == (True, 64, [])
    assert report["load_s"] > 0
    assert blessing.get_int_custom_property("blessed") == 1
    assert set(os.listdir(blessing.uri)) == {"INFRA_BLESSED", "check.json"}


def test_what_was_asked_ahead_about_another_model_does_not_count(models, examples, tmp_path, started):
    ask_ahead(models / "none", Path(examples.uri), DATA)
    _, report = check(models / "nan", examples, tmp_path)
    assert DEFECTS["nan"] in " ".join(report["reasons"])
    assert [request["model"] for request in started] == [str(models / d / FORMAT_SERVING) for d in ("none", "nan")]


@pytest.mark.slow
@pytest.mark.parametrize("defect", [name for name, reason in DEFECTS.items() if reason])
def test_a_defective_model_is_not_blessed(models, examples, tmp_path, defect):
    blessing, report = check(models / defect, examples, tmp_path)
    assert any(DEFECTS[defect] in reason for reason in report["reasons"]), report["reasons"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert set(os.listdir(blessing.uri)) == {"INFRA_NOT_BLESSED", "check.json"}


def test_a_model_that_cannot_be_loaded_is_not_blessed(tmp_path, examples):
    saved_model = tmp_path / "model" / FORMAT_SERVING
    saved_model.mkdir(parents=True)
    (saved_model / "saved_model.pb").write_bytes(b"no protobuf")
    blessing, report = check(tmp_path / "model", examples, tmp_path)
    assert blessing.get_int_custom_property("blessed") == 0
    assert "ended with status 1" in report["reasons"][0]


def test_without_test_rows_nothing_is_blessed(tmp_path):
    (tmp_path / "Split-test").mkdir()
    empty = standard_artifacts.Examples()
    empty.uri, empty.split_names = str(tmp_path), '["test"]'
    assert check(tmp_path, empty, tmp_path)[1]["reasons"] == ["no test rows to ask about"]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Puts another script in the probe's place."""

    def put(source: str) -> Probe:
        (tmp_path / "probe.py").write_text(source)
        monkeypatch.setattr(savedmodel_check, "PROBE", tmp_path / "probe.py")
        return Probe({})

    return put


GET_READY = "import os, time; print('ready', flush=True); "


def test_a_crash_is_a_finding_with_its_signal(script):
    answer = script(GET_READY + "os.kill(os.getpid(), 11)").answer()
    assert reasons(answer) == ["the interpreter ended with signal 11"]


def test_a_model_that_hangs_is_given_up(script):
    answer = script(GET_READY + "time.sleep(600)").answer(timeout=0.2)
    assert answer == {"crash": "no answer within 0.2 s"}


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("import os; os.kill(os.getpid(), 9)", "it ended with signal 9"),
        ("import no_such_tensorflow", "it ended with status 1: ModuleNotFoundError: No module named"),
        ("import time; time.sleep(600)", "not ready within 0.2 s"),
        ("print('rea', end='')", "it ended with status 0"),
        ("print('hello')", "it said b'hello"),
    ],
)
def test_an_interpreter_that_does_not_get_ready_says_nothing_about_the_model(script, source, got):
    limit = 0.2 if "sleep" in source else savedmodel_check.READY_TIMEOUT
    with pytest.raises(EnvironmentProblem, match="did not get ready") as caught:
        script(source).answer(ready_timeout=limit)
    assert got in str(caught.value)


def test_nothing_is_recorded_where_no_interpreter_gets_ready(script, examples, tmp_path):
    script("import no_such_tensorflow").kill()
    with pytest.raises(EnvironmentProblem):
        check(tmp_path, examples, tmp_path)
    assert not (tmp_path / "blessing").exists()


@pytest.mark.slow
def test_an_interpreter_that_sees_our_packages_blesses_nothing(models, examples, tmp_path, script):
    """The editable install would be found; only the probe's own block hides it."""
    source = savedmodel_check.PROBE.read_text()
    script(source.replace("sys.meta_path.insert(0, _Block())", "")).kill()
    report = check(models / "none", examples, tmp_path)[1]
    assert report["reasons"] == ["the interpreter was not bare: it can import components, pipeline"]


@pytest.mark.slow
def test_the_interpreter_ends_when_its_owner_is_killed(tmp_path):
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    source = savedmodel_check.PROBE.read_text()
    waiting = source.replace(
        "import tensorflow as tf", f"alive = open({str(fifo)!r}, 'wb', 0); alive.write(b'.'); time.sleep(600)"
    )
    assert waiting != source
    (tmp_path / "wait.py").write_text(waiting)
    owner = (
        "import components.savedmodel_check as check, pathlib, os, time\n"
        f"check.PROBE = pathlib.Path({str(tmp_path / 'wait.py')!r})\n"
        "check.Probe({})\n"
        "print('started', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        with fifo.open("rb") as alive:
            assert alive.read(1) == b"."
            process.kill()
            assert alive.read() == b""  # once nobody can write to it any more


def test_the_interpreter_is_started_beside_the_evaluator_and_not_while_models_train(monkeypatch):
    started, asked = [], []
    monkeypatch.setattr(savedmodel_check, "ask_ahead", lambda *_: started.append(node))
    run = object.__new__(Run)
    run._before_training = lambda: None
    run._before_check = lambda _: asked.append(node)
    run._done = {}
    run._folder_of = lambda *_: Path()
    run._config = SimpleNamespace(settings=SimpleNamespace(data=DATA))
    for node in (*TRAINERS, EVALUATOR, SAVED_MODEL_CHECK):
        run._prepare(SimpleNamespace(id=node), None)
    assert started == [EVALUATOR]
    assert asked == [SAVED_MODEL_CHECK], "what the report asks of the models"
