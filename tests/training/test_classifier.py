import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.classifier.losses import build_loss
from components.classifier.model import build_classifier, probabilities
from components.errors import BadInput
from components.settings import AutoencoderSettings, ClassifierSettings, Convolution, DataSettings, OptimizerSettings

DATA = DataSettings(shape=(6, 5), pixel_max=16, label_count=3)


@pytest.fixture(scope="module")
def signatures(served_model):
    return tf.saved_model.load(served_model).signatures


@pytest.fixture
def images(splits):
    return splits["validation"].images


def test_raw_images_give_classes_and_probabilities(signatures, images, splits):
    answer = signatures["serving_default"](images=tf.constant(images.reshape(60, 30)))
    assert (answer["classes"].dtype, answer["classes"].shape) == (tf.int64, (60,))
    assert (answer["probabilities"].dtype, answer["probabilities"].shape) == (tf.float32, (60, 3))
    np.testing.assert_allclose(np.sum(answer["probabilities"], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.argmax(answer["probabilities"], axis=1), answer["classes"])
    assert np.mean(answer["classes"] == splits["validation"].labels) > 0.95


def test_square_images_give_the_same_answer_as_flat_ones(signatures, images):
    flat = signatures["serving_default"](images=tf.constant(images.reshape(60, 30)))
    square = signatures["serving_images"](images=tf.constant(images))
    np.testing.assert_array_equal(flat["probabilities"], square["probabilities"])


@pytest.mark.parametrize("labelled", [True, False])
def test_serialised_examples_need_no_label(signatures, images, splits, to_example, labelled):
    labels = splits["validation"].labels if labelled else [None] * 60
    examples = [to_example(image, label) for image, label in zip(images, labels, strict=True)]
    answer = signatures["serving_examples"](examples=tf.constant(examples))
    flat = signatures["serving_default"](images=tf.constant(images.reshape(60, 30)))
    np.testing.assert_allclose(answer["probabilities"], flat["probabilities"], atol=1e-6)
    np.testing.assert_array_equal(answer["classes"], flat["classes"])


def test_the_reconstruction_error_is_the_autoencoders_own(signatures, images, autoencoder_model, to_example):
    scaled = tf.constant(images.reshape(60, 30) / 16, tf.float32)
    autoencoder = tf.saved_model.load(autoencoder_model)
    reconstruction = autoencoder.signatures["reconstruct_xf"](image_xf=scaled)["image_xf"]
    answer = signatures["serving_examples"](examples=tf.constant([to_example(image) for image in images]))
    wanted = np.mean((scaled - reconstruction) ** 2, axis=1)
    assert answer["reconstruction_mse"].shape == (60,)
    np.testing.assert_allclose(answer["reconstruction_mse"], wanted, rtol=1e-4)


def test_a_single_image_and_no_image_are_answered(signatures, images):
    for rows in (images[:1], images[:0]):
        answer = signatures["serving_images"](images=tf.constant(rows))
        assert answer["probabilities"].shape == (len(rows), 3)


@pytest.mark.parametrize(
    ("scaling", "output"), [("minmax", "sigmoid"), ("standardise", "linear"), ("centre", "linear")]
)
def test_reconstructions_come_back_on_the_raw_pixel_scale(fn_args, train, images, tmp_path, scaling, output):
    autoencoder = AutoencoderSettings(layers=(), latent=20, output_activation=output, epochs=20, batch=8)
    base = train("autoencoder", fn_args(autoencoder, tmp_path / "autoencoder", scaling))
    fields = fn_args(ClassifierSettings(epochs=1), tmp_path / "classifier", scaling, base_model=base)
    signatures = tf.saved_model.load(train("classifier", fields)).signatures
    answer = signatures["reconstruct"](images=tf.constant(images.reshape(60, 30)))["images"]
    assert (answer.dtype, answer.shape) == (tf.float32, (60, 30))
    assert 0 <= np.min(answer) <= np.max(answer) <= 16
    assert np.mean(np.abs(answer - images.reshape(60, 30))) < 2


def test_a_base_model_for_other_images_is_refused(fn_args, train, autoencoder_model, tmp_path):
    fields = fn_args(ClassifierSettings(), tmp_path, base_model=autoencoder_model)
    fields["custom_config"]["data"] = DataSettings(shape=(5, 5), pixel_max=16).to_json()
    with pytest.raises(BadInput, match="wanted a signature reconstruct_xf for 25 pixels, got one for 30 pixels"):
        train("classifier", fields)


def test_a_model_that_cannot_reconstruct_is_refused_as_base_model(fn_args, train, served_model, tmp_path):
    with pytest.raises(BadInput, match=r"got signatures .*serving_default"):
        train("classifier", fn_args(ClassifierSettings(), tmp_path, base_model=served_model))


def test_dropout_and_noise_act_while_training_alone():
    network = build_classifier(ClassifierSettings(layers=(16,), dropout=0.5, noise=0.5), DATA)
    images = tf.ones([4, 30])
    np.testing.assert_array_equal(network(images, training=False), network(images, training=False))
    assert not np.allclose(network(images, training=True), network(images, training=False))


def test_outputs_of_tanh_are_fitted_to_the_labels_themselves():
    settings = ClassifierSettings(output_activation="tanh", loss="mse")
    loss = build_loss(settings)(tf.constant([[1.0, 0.0]]), tf.constant([[0.5, -0.5]]))
    np.testing.assert_allclose(loss, [0.25])


def test_a_certain_mistake_has_a_finite_clipped_loss():
    loss = build_loss(ClassifierSettings(loss="clipped_crossentropy"))
    assert np.isfinite(loss(tf.constant([[1.0, 0.0]]), tf.constant([[-500.0, 500.0]]))).all()


@pytest.mark.parametrize(
    ("output", "outputs", "wanted"),
    [
        ("softmax", [0.0, np.log(3.0)], [0.25, 0.75]),
        ("tanh", [0.2, 0.6], [0.25, 0.75]),
        ("tanh", [-0.9, 0.5], [0.0, 1.0]),
        ("tanh", [-0.9, -0.5], [0.5, 0.5]),
    ],
)
def test_outputs_become_probabilities(output, outputs, wanted):
    settings = ClassifierSettings(output_activation=output, loss="mse")
    np.testing.assert_allclose(probabilities(settings, tf.constant([outputs], tf.float32)), [wanted], atol=1e-5)


def test_a_network_without_hidden_layers_is_linear():
    network = build_classifier(ClassifierSettings(layers=()), DATA)
    assert [type(layer).__name__ for layer in network.layers] == ["Dense"]
    assert network.count_params() == 30 * 3 + 3


def test_convolutions_come_before_the_dense_layers():
    convolutions = (Convolution(filters=4, kernel=3, pool=2, dropout=0.2), Convolution(filters=6, padding="same"))
    network = build_classifier(ClassifierSettings(convolutions=convolutions, layers=(8,)), DATA)
    shapes = {type(layer).__name__: tuple(layer.output.shape[1:]) for layer in network.layers}
    assert shapes == {
        "Reshape": (6, 5, 1),
        "Conv2D": (2, 1, 6),
        "MaxPooling2D": (2, 1, 4),
        "Dropout": (2, 1, 4),
        "Flatten": (12,),
        "Dense": (3,),
    }


CONVOLUTIONS = (Convolution(filters=8, padding="same", pool=2), Convolution(filters=8, kernel=2, activation="linear"))
PLAIN = ClassifierSettings(
    convolutions=CONVOLUTIONS,
    layers=(16,),
    epochs=8,
    batch=16,
    optimizer=OptimizerSettings(learning_rate=0.01),
    exports=("keras", "h5", "frozen"),
    retrain=True,
)


@pytest.fixture(scope="module")
def plain(fn_args, train, tmp_path_factory):
    """The fields of a training of a convolutional classifier without an autoencoder."""
    fields = fn_args(PLAIN, tmp_path_factory.mktemp("plain"), "standardise")
    train("classifier", fields)
    return fields


def test_a_classifier_alone_answers_and_reconstructs_nothing(plain, images, splits, to_example):
    signatures = tf.saved_model.load(plain["serving_model_dir"]).signatures
    assert set(signatures) == {"serving_default", "serving_images", "serving_examples"}
    answer = signatures["serving_images"](images=tf.constant(images))
    assert np.mean(answer["classes"] == splits["validation"].labels) > 0.95
    examples = signatures["serving_examples"](examples=tf.constant([to_example(image) for image in images]))
    assert set(examples) == {"classes", "probabilities"}
    np.testing.assert_allclose(examples["probabilities"], answer["probabilities"], atol=1e-6)


def test_retraining_learns_from_validation_too_and_is_told_apart(plain):
    record = json.loads((Path(plain["model_run_dir"]) / "training.json").read_text())
    assert (record["epochs_run"], record["retrained"]["epochs_run"]) == (8, record["kept_epoch"])
    assert record["retrained"]["history"][0]["loss"] != record["history"][0]["loss"]


def test_without_retraining_none_is_told_of(served_model):
    record = json.loads((Path(served_model).parent / "run" / "training.json").read_text())
    assert record["retrained"] is None


@pytest.fixture(scope="module")
def with_autoencoder(fn_args, train, autoencoder_model, tmp_path_factory):
    """The fields of a training behind an autoencoder, with every export."""
    settings = ClassifierSettings(layers=(8,), epochs=1, exports=("keras", "h5", "frozen"))
    fields = fn_args(settings, tmp_path_factory.mktemp("exports"), base_model=autoencoder_model)
    train("classifier", fields)
    return fields


@pytest.mark.parametrize("recipe", ["plain", "with_autoencoder"])
@pytest.mark.parametrize("name", ["classifier.keras", "classifier.h5"])
def test_a_file_of_keras_gives_the_served_answers(recipe, name, images, request):
    fields = request.getfixturevalue(recipe)
    loaded = keras.saving.load_model(Path(fields["model_run_dir"]) / "exports" / name)
    flat = images.reshape(60, 30)
    np.testing.assert_allclose(loaded(flat.astype(np.float32)), _served_probabilities(fields, flat), atol=1e-5)


@pytest.mark.parametrize("recipe", ["plain", "with_autoencoder"])
def test_the_frozen_graph_has_no_variables_and_gives_the_served_answers(recipe, images, request):
    fields = request.getfixturevalue(recipe)
    folder = Path(fields["model_run_dir"]) / "exports"
    names = json.loads((folder / "classifier.pb.json").read_text())
    definition = tf.compat.v1.GraphDef.FromString((folder / "classifier.pb").read_bytes())
    assert not [node.name for node in definition.node if "Variable" in node.op]
    flat = images.reshape(60, 30)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(definition, name="")
        got = session.run(names["outputs"], {names["inputs"]["images"]: flat})
    np.testing.assert_allclose(got["probabilities"], _served_probabilities(fields, flat), atol=1e-5)
    np.testing.assert_array_equal(got["classes"], np.argmax(got["probabilities"], axis=1))


def _served_probabilities(fields, flat):
    signatures = tf.saved_model.load(fields["serving_model_dir"]).signatures
    return signatures["serving_default"](images=tf.constant(flat))["probabilities"]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, np.log(2)),
        ({"label_smoothing": 0.2}, np.log(2)),
        ({"loss": "clipped_crossentropy"}, 2 * np.log(2)),
        ({"loss": "mse"}, 0.25),
    ],
)
def test_losses_are_taken_of_probabilities(settings, wanted):
    loss = build_loss(ClassifierSettings(**settings))(tf.constant([[1.0, 0.0]]), tf.constant([[3.0, 3.0]]))
    np.testing.assert_allclose(loss, [wanted], rtol=1e-6)
