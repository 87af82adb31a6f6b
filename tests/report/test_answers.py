"""What models are asked, against what a tiny one of known weights must answer."""

import io
import json
import os
import time

import numpy as np
import pytest

from components.ingest.encode import encode, tfrecord
from components.settings import DataSettings
from pipeline.report import asking, model_answers

DATA = DataSettings(shape=(2, 2), pixel_max=10, label_count=2)
NOW = time.time()


def test_codes_lie_in_the_plane_of_their_largest_variance():
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(500, 3)).astype(np.float32) * np.array([0.1, 5.0, 1.0], np.float32)
    places, share = model_answers._plane(codes)
    assert abs(np.corrcoef(places[:, 0], codes[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(places[:, 1], codes[:, 2])[0, 1]) > 0.99
    assert share[0] > 0.9
    assert share.sum() < 1


def test_one_latent_number_has_no_second_direction():
    places, share = model_answers._plane(np.arange(10, dtype=np.float32)[:, None])
    assert places[:, 1].tolist() == [0.0] * 10
    assert share.tolist() == [1.0, 0.0]


def test_principal_components_leave_what_they_do_not_hold():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 4)).astype(np.float32) * np.array([3, 2, 1, 0], np.float32)
    found = model_answers._principal({"train": rows, "test": rows}, latent=3)
    assert found["principal_sizes"].tolist() == [1, 2, 3, 4]
    errors = found["principal_test"]
    assert np.all(np.diff(errors) <= 1e-9)
    assert errors[1] == pytest.approx(rows[:, 2].var() / 4, rel=0.1)
    assert errors[2] == pytest.approx(0, abs=1e-6)


@pytest.fixture(params=["softmax", "tanh"])
def classifier(request, tmp_path):
    """A served model whose class is whether the right column is brighter than the left one."""
    tf = pytest.importorskip("tensorflow")

    class Tiny(tf.Module):
        def __init__(self):
            super().__init__()
            self.first = tf.Variable([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
            self.last = tf.Variable([[1.0, 0.0], [0.0, 1.0]])

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.uint8, "images")])
        def serve(self, images):
            scaled = tf.cast(tf.cast(images, tf.int64), tf.float32) / 10.0
            logits = tf.matmul(tf.nn.relu(tf.matmul(scaled, self.first)), self.last)
            odds = tf.nn.softmax(logits) if request.param == "softmax" else 0.5 + 0.5 * tf.tanh(logits)
            return {"classes": tf.argmax(logits, axis=1), "probabilities": odds}

    module = Tiny()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    return str(tmp_path / "model")


@pytest.fixture
def examples(tmp_path):
    images = np.array([[9, 1, 8, 0], [0, 9, 1, 9], [1, 8, 0, 7]], np.uint8)
    (tmp_path / "Split-test").mkdir()
    data = tfrecord(encode(images, np.array([0, 1, 1])))
    (tmp_path / "Split-test" / "data_tfrecord-00000-of-00001").write_bytes(data)
    return str(tmp_path)


@pytest.mark.slow
def test_a_served_model_is_asked_cut_open_and_excited(request, classifier, examples):
    reply = model_answers.answer(
        examples=examples, transform=None, autoencoder=None, classifier=classifier, data=DATA.to_json()
    )
    found = dict(np.load(io.BytesIO(reply)))
    assert found["probabilities"].argmax(axis=1).tolist() == [0, 1, 1]
    assert found["hidden"].tolist()[0] == pytest.approx([1.7, 0.1], abs=1e-3)
    left, right = found["exciting"]
    assert left[[0, 2]] == pytest.approx([1, 1])  # to the edge of what a pixel may be
    assert right[[1, 3]] == pytest.approx([1, 1])
    assert found["exciting_l2"].sum() <= found["exciting"].sum()
    if request.node.callspec.params["classifier"] == "softmax":
        assert found["sure"].min() > 0.75  # a softmax of probabilities cannot exceed e / (e + 1)
    assert "reconstructions" not in found


@pytest.mark.slow
def test_a_process_of_its_own_answers_the_same(classifier, examples):
    from pipeline.report.asking import own_process

    question = {"examples": examples, "transform": None, "autoencoder": None, "classifier": classifier}
    reply = own_process({**question, "data": DATA.to_json()})
    assert np.load(io.BytesIO(reply))["probabilities"].shape == (3, 2)


@pytest.mark.slow
def test_the_latency_and_the_rest_together_are_the_whole_answer(classifier, examples, monkeypatch):
    nicer = []
    monkeypatch.setattr(os, "nice", nicer.append)
    question = {"examples": examples, "transform": None, "autoencoder": None, "classifier": classifier}
    whole, rest, latency = (
        dict(np.load(io.BytesIO(model_answers.answer(**question, data=DATA.to_json(), part=part))))
        for part in (model_answers.ALL, model_answers.BUT_LATENCY, model_answers.LATENCY_ALONE)
    )
    assert nicer == [model_answers.LATER], "the rest alone, and not this process"
    assert latency.keys() == {model_answers.LATENCY}
    assert rest.keys() == whole.keys() - latency.keys()
    assert all(np.array_equal(rest[name], whole[name]) for name in rest)


def test_a_question_is_json_and_back():
    question = model_answers.Question(
        examples="e", transform=None, autoencoder="a", classifier="c", data=DATA.to_json()
    )
    assert model_answers.Question(**json.loads(json.dumps(vars(question)))) == question


def answers_of_thirteen_runs(folder):
    folder.mkdir(parents=True)
    for age in range(asking.KEPT + 1):
        file = folder / f"{age:064x}.npz"
        file.touch()
        os.utime(file, (NOW - age, NOW - age))
    old = f"{asking.KEPT:064x}.npz"
    return {file.name for file in folder.iterdir()} - {old}


def test_the_oldest_answers_are_forgotten_and_nobody_elses_arrays(tmp_path):
    kept = answers_of_thirteen_runs(tmp_path / ".answers")
    (tmp_path / ".answers" / "mine.npz").touch()
    os.utime(tmp_path / ".answers" / "mine.npz", (0, 0))
    asking._forget_old(tmp_path / ".answers")
    assert {file.name for file in (tmp_path / ".answers").iterdir()} == {*kept, "mine.npz"}


def test_nothing_behind_a_linked_folder_of_answers_is_removed(tmp_path):
    answers_of_thirteen_runs(tmp_path / "elsewhere")
    (tmp_path / ".answers").symlink_to("elsewhere")
    asking._forget_old(tmp_path / ".answers")
    assert len(list((tmp_path / "elsewhere").iterdir())) == asking.KEPT + 1
