import numpy as np
import pytest
import tensorflow as tf

from components.classifier.model import build_classifier
from components.classifier.trainer import _loss
from components.errors import BadInput
from components.settings import AutoencoderSettings, ClassifierSettings, DataSettings


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


@pytest.mark.parametrize(("scaling", "output"), [("minmax", "sigmoid"), ("standardise", "linear")])
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
    network = build_classifier(ClassifierSettings(layers=(16,), dropout=0.5, noise=0.5), pixels=30, label_count=3)
    images = tf.ones([4, 30])
    np.testing.assert_array_equal(network(images, training=False), network(images, training=False))
    assert not np.allclose(network(images, training=True), network(images, training=False))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, np.log(2)),
        ({"label_smoothing": 0.2}, np.log(2)),
        ({"loss": "mse"}, 0.25),
    ],
)
def test_losses_are_taken_of_probabilities(settings, wanted):
    loss = _loss(ClassifierSettings(**settings))(tf.constant([[1.0, 0.0]]), tf.constant([[3.0, 3.0]]))
    np.testing.assert_allclose(loss, [wanted], rtol=1e-6)
