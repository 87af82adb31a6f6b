import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.classifier.model import build_classifier
from components.settings import ClassifierSettings, Convolution, DataSettings
from components.training.export import FrozenLayers, describe, rebuild

ASK = """
import json, sys
sys.modules.update({"components": None, "pipeline": None, "keras": None})  # importing any of them fails
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_images"](images=tf.constant(json.load(sys.stdin), tf.uint8))
print(json.dumps(answer["classes"].numpy().tolist()))
"""


def _ops(folder):
    model = saved_model_pb2.SavedModel.FromString((tf.io.gfile.GFile(f"{folder}/saved_model.pb", "rb")).read())
    graph = model.meta_graphs[0].graph_def
    bodies = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in (*graph.node, *bodies)}


@pytest.mark.parametrize(
    "activation", ["linear", "relu", "gelu", "tanh", "sigmoid", "elu", "selu", "swish", "softplus"]
)
def test_exported_layers_compute_what_the_trained_ones_do(activation):
    layers = [keras.layers.Dense(6, activation), keras.layers.Dropout(0.5), keras.layers.Dense(2, "sigmoid")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    rows = tf.random.stateless_normal([8, 4], seed=(1, 2))
    np.testing.assert_allclose(FrozenLayers(model.layers)(rows), model(rows, training=False), atol=1e-6)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pool", [1, 2, 3])
def test_exported_convolutions_compute_what_the_trained_ones_do(padding, pool):
    data = DataSettings(shape=(9, 7), pixel_max=1, label_count=4)
    convolutions = (
        Convolution(filters=5, kernel=3, padding=padding, pool=pool, dropout=0.3),
        Convolution(filters=3, kernel=2, padding="same", activation="linear"),
    )
    model = build_classifier(ClassifierSettings(convolutions=convolutions, layers=(6,), noise=0.1), data)
    rows = tf.random.stateless_normal([8, 63], seed=(1, 2))
    np.testing.assert_allclose(FrozenLayers(model.layers)(rows), model(rows, training=False), atol=1e-5)


def test_layers_that_were_described_come_back_with_their_weights():
    layers = [keras.layers.Dense(6, "gelu"), keras.layers.Dense(2, "sigmoid")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    halves = [FrozenLayers(layers[:1]), FrozenLayers(layers[1:])]
    again = keras.Sequential([keras.Input((4,)), *rebuild(describe(layers), halves)])
    rows = tf.random.stateless_normal([8, 4], seed=(1, 2))
    np.testing.assert_allclose(again(rows), model(rows), atol=1e-6)


def test_the_served_model_answers_where_our_code_and_keras_cannot_be_imported(served_model, splits):
    images = splits["validation"].images[:5]
    answer = subprocess.run(
        [sys.executable, "-I", "-c", ASK, served_model],
        input=json.dumps(images.tolist()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)) == 5


def test_exported_models_hold_no_python_and_touch_no_files_but_their_own(served_model, autoencoder_model):
    for folder in (served_model, autoencoder_model):
        assert not {op for op in _ops(folder) if "PyFunc" in op or op in ("ReadFile", "WriteFile")}


def test_frozen_models_hold_weights_and_no_state_of_the_training(served_model):
    names = [name for name, _ in tf.train.list_variables(f"{served_model}/variables/variables")]
    assert not [name for name in names if "optimizer" in name or "momentum" in name]
    loaded = tf.saved_model.load(served_model)
    assert not [variable for variable in loaded.signatures["serving_default"].variables if variable.trainable]
