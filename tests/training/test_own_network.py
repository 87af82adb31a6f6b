"""Networks of the user's own: what a function may build, what is refused before anything is trained, and what is served."""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.autoencoder.model import build_autoencoder
from components.classifier.model import build_classifier
from components.errors import BadInput
from components.settings import Augmentation, AutoencoderSettings, ClassifierSettings, DataSettings, OptimizerSettings
from components.training.own_network import load
from components.training.process import OWN_CODE

DATA = DataSettings(shape=(6, 5), pixel_max=16, label_count=3)

NETS = """
import keras
from keras import layers

class Subclassed(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.hidden = layers.Dense(16, "relu")
        self.normal = layers.BatchNormalization()
        self.drop = layers.Dropout(0.2)
        self.last = layers.Dense(units)

    def call(self, rows, training=False):
        return self.last(self.drop(self.normal(self.hidden(rows), training=training), training=training))

def flat(data, settings):
    return keras.Sequential([keras.Input((data.pixels,)), layers.Dense(data.label_count)])

def images(data, settings):
    inputs = keras.Input((*data.shape, 1))
    left = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    both = layers.Concatenate()([left, inputs])  # no sequence of layers
    return keras.Model(inputs, layers.Dense(data.label_count)(layers.GlobalAveragePooling2D()(both)))

def rows(data, settings):
    return keras.Sequential([keras.Input(data.shape), layers.GRU(8), layers.Dense(data.label_count)])

def subclassed(data, settings):
    return Subclassed(data.label_count)

def without_input(data, settings):
    return keras.Sequential([layers.Dense(data.label_count)])

def convolved(data, settings):
    inputs = keras.Input((None, None, 1))
    outputs = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(layers.BatchNormalization()(inputs))
    return keras.Model(inputs, outputs)

def softmax(data, settings):
    return keras.Sequential([keras.Input((data.pixels,)), layers.Dense(data.label_count, "softmax")])

def too_few(data, settings):
    return keras.Sequential([keras.Input((data.pixels,)), layers.Dense(2)])

def wrong_images(data, settings):
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(data.label_count)])

def two_inputs(data, settings):
    one, other = keras.Input((data.pixels,)), keras.Input((data.pixels,))
    return keras.Model([one, other], layers.Dense(3)(layers.Add()([one, other])))

def nothing(data, settings):
    return None

def broken(data, settings):
    return flat(data, settings.no_such_key)

def weightless(data, settings):
    return keras.Sequential([keras.Input((data.pixels,)), layers.Reshape((10, 3)), layers.GlobalAveragePooling1D()])

def infinite(data, settings):
    return keras.Sequential([keras.Input((data.pixels,)), layers.Dense(3), layers.Lambda(lambda x: x / 0.0)])

number = 3
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The folder of a module `own_nets`, as a run keeps it."""
    (tmp_path / "own_nets.py").write_text(textwrap.dedent(NETS))
    monkeypatch.setenv(OWN_CODE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    yield tmp_path
    sys.modules.pop("own_nets", None)


def classifier(function, **settings):
    return build_classifier(ClassifierSettings(build=f"own_nets:{function}", **settings), DATA)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("function", ["flat", "images", "rows", "subclassed", "without_input"])
def test_a_network_may_take_images_flat_square_or_with_a_channel(function):
    network = classifier(function)
    assert (network.input_shape, network.output_shape) == ((None, 30), (None, 3))
    assert network(np.zeros((2, 30), np.float32)).shape == (2, 3)


@pytest.mark.usefixtures("nets")
def test_noise_and_augmentation_of_the_recipe_act_before_it():
    network = classifier("flat", noise=0.5, augmentation=Augmentation(shift=1))
    rows = np.random.default_rng(0).random((4, 30), np.float32)
    np.testing.assert_array_equal(network(rows, training=False), network(rows, training=False))
    assert not np.allclose(network(rows, training=True), network(rows, training=False))


@pytest.mark.usefixtures("nets")
def test_an_autoencoder_may_give_images_again():
    network = build_autoencoder(AutoencoderSettings(build="own_nets:convolved"), DATA).whole
    assert network.output_shape == (None, 30)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("softmax", "gives probabilities: wanted logits: leave out the softmax at its end"),
        ("too_few", r"gives other outputs: wanted \[N, 3\], got \[N, 2\]"),
        (
            "wrong_images",
            r"takes other images: wanted \[N, 30\] or \[N, 6, 5\] or \[N, 6, 5, 1\], got \[N, 28, 28, 1\]",
        ),
        ("two_inputs", "takes other images"),
        ("nothing", "builds no network: wanted a keras.Model, got builtins.NoneType"),
        ("broken", r"failed: got AttributeError: .*no_such_key.* \(own_nets.py, line \d+\)"),
        ("weightless", "has no weights to train"),
        ("infinite", "gives what is no number"),
        ("absent", "is no function: got nothing of this name"),
        ("number", "is no function: got int"),
    ],
)
def test_what_is_no_such_network_is_refused_in_one_line(function, message):
    with pytest.raises(BadInput, match=f"^classifier.build: own_nets:{function}: {message}") as refused:
        classifier(function)
    assert "\n" not in str(refused.value)


def test_a_module_is_imported_from_the_copy_alone(nets, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "own_nets.py").write_text("def flat(data, settings): return 'elsewhere'")
    monkeypatch.syspath_prepend(elsewhere)
    assert load("own_nets:flat", "x")(DATA, None).output_shape == (None, 3)
    assert not list(nets.rglob("__pycache__"))


@pytest.mark.usefixtures("nets")
def test_a_module_that_was_there_before_under_the_same_name_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_nets", json)
    with pytest.raises(BadInput, match=r"a module of this name is there already: wanted own_nets.py, got .*json"):
        load("own_nets:loads", "x")


@pytest.mark.usefixtures("nets")
def test_a_module_that_does_not_import_is_refused_with_its_line(nets):
    (nets / "own_nets.py").write_text("import keras\nimport no_such_module_anywhere\n")
    with pytest.raises(BadInput, match=r"cannot be imported: got ModuleNotFoundError: .* \(own_nets.py, line 2\)"):
        load("own_nets:flat", "x")


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("function", ["images", "subclassed"])
def test_what_is_served_answers_as_the_network_and_needs_none_of_its_code(function, fn_args, train, tmp_path, splits):
    settings = ClassifierSettings(
        build=f"own_nets:{function}", epochs=15, batch=16, optimizer=OptimizerSettings(learning_rate=0.02), retrain=True
    )
    folder = train("classifier", fn_args(settings, tmp_path / "trained"))
    training = json.loads((tmp_path / "trained" / "run" / "training.json").read_text())
    assert training["settings"]["build"] == f"own_nets:{function}"
    graph = (Path(folder) / "saved_model.pb").read_bytes()
    assert b"own_nets" not in graph
    sys.modules.pop("own_nets", None)
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    answers = signature(images=tf.constant(splits["validation"].flat, tf.uint8))
    np.testing.assert_allclose(answers["probabilities"].numpy().sum(axis=1), 1, rtol=1e-5)
    if function == "subclassed":
        assert np.mean(answers["classes"].numpy() == splits["validation"].labels) > 0.8


@pytest.mark.usefixtures("nets")
def test_an_own_autoencoder_reconstructs_and_a_classifier_learns_from_it(fn_args, train, tmp_path, splits):
    settings = AutoencoderSettings(build="own_nets:convolved", epochs=3, batch=16)
    model = train("autoencoder", fn_args(settings, tmp_path / "autoencoder"))
    loaded = tf.saved_model.load(model)
    assert list(loaded.signatures) == ["reconstruct_xf"]
    own = ClassifierSettings(build="own_nets:flat", epochs=1, batch=16, exports=("frozen",))
    served = train("classifier", fn_args(own, tmp_path / "classifier", base_model=model))
    images = tf.constant(splits["validation"].flat, tf.uint8)
    assert tf.saved_model.load(served).signatures["reconstruct"](images=images)["images"].shape == (60, 30)


@pytest.mark.usefixtures("nets")
def test_a_network_that_keras_cannot_write_is_refused_before_it_is_trained(fn_args, train, tmp_path):
    settings = ClassifierSettings(build="own_nets:subclassed", epochs=1, exports=("h5",))
    with pytest.raises(BadInput, match="own_nets:subclassed: Keras cannot write it as h5"):
        train("classifier", fn_args(settings, tmp_path))
    assert not (tmp_path / "run").exists()
