import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.autoencoder.model import build_autoencoder
from components.digest import tree_digest
from components.progress import PROGRESS_FD
from components.settings import AutoencoderSettings, ClassifierSettings, DataSettings, Settings
from components.training.checkpoint import Checkpoint
from components.training.process import CHECKPOINTS

IMAGES = DataSettings(shape=(5, 6), pixel_max=16)
TINY = AutoencoderSettings(layers=(16,), latent=4, epochs=3, batch=16)


def _record(fields):
    return json.loads((Path(fields["model_run_dir"]) / "training.json").read_text())


def test_the_model_encodes_and_reconstructs_scaled_images(autoencoder_model, splits):
    signatures = tf.saved_model.load(autoencoder_model).signatures
    images = tf.constant(splits["validation"].flat / 16, tf.float32)
    latent = signatures["encode"](image_xf=images)["latent"]
    reconstruction = signatures["reconstruct_xf"](image_xf=images)["image_xf"]
    assert (latent.dtype, latent.shape) == (tf.float32, (60, 4))
    assert (reconstruction.dtype, reconstruction.shape) == (tf.float32, (60, 30))
    # Always giving the mean image would leave the variance.
    assert np.mean((reconstruction - images) ** 2) < 0.6 * np.mean(np.var(images, axis=0))


def test_the_network_is_symmetric():
    network = build_autoencoder(AutoencoderSettings(layers=(20, 10), latent=3), IMAGES)
    assert [layer.units for layer in (*network.encoder.layers, *network.decoder.layers)] == [20, 10, 3, 10, 20, 30]


def test_noise_acts_while_training_alone():
    network = build_autoencoder(AutoencoderSettings(layers=(8,), latent=2, noise=0.5), IMAGES).whole
    images = tf.ones([4, 30])
    np.testing.assert_array_equal(network(images, training=False), network(images, training=False))
    assert not np.allclose(network(images, training=True), network(images, training=False))


def test_the_run_tells_how_training_went(fn_args, train, tmp_path):
    fields = fn_args(TINY, tmp_path)
    train("autoencoder", fields)
    record = _record(fields)
    assert (record["epochs_run"], record["kept_epoch"], record["resumed_from_epoch"]) == (3, 3, None)
    assert record["history"][2]["val_loss"] < record["history"][0]["val_loss"]
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_a_finished_training_leaves_no_checkpoint_behind(fn_args, train, tmp_path, monkeypatch):
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "checkpoints"))
    train("autoencoder", fn_args(TINY, tmp_path))
    assert Checkpoint(tmp_path / "checkpoints").load() is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epoch": 3}, "epoch"),
        ({"epochs": 0}, "epochs"),
        ({"activation": "step"}, "activation"),
        ({"optimizer": {"name": "adam", "momentum": 0.9}}, "momentum is for sgd"),
        ({"loss": "binary_crossentropy", "output_activation": "tanh"}, "needs the output_activation sigmoid"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        AutoencoderSettings.model_validate(changes)


def test_an_output_that_cannot_reach_standardised_pixels_is_refused():
    recipe = {"name": "x", "data": {"shape": [6, 5], "pixel_max": 16}, "transform": {"scaling": "standardise"}}
    with pytest.raises(ValidationError, match="output_activation linear"):
        Settings.model_validate(recipe | {"autoencoder": {"output_activation": "sigmoid"}, "classifier": {}})


@pytest.mark.slow
def test_same_seed_and_deterministic_give_the_same_bytes(fn_args, start_training, tmp_path):
    settings = TINY.model_copy(update={"deterministic": True, "noise": 0.1})
    runs = [fn_args(settings, tmp_path / name) for name in ("one", "two")]
    runs.append(fn_args(settings.model_copy(update={"seed": 1}), tmp_path / "other"))
    processes = [start_training("autoencoder", fields) for fields in runs]
    assert [process.wait() for process in processes] == [0, 0, 0]
    one, two, other = (tree_digest(fields["serving_model_dir"]) for fields in runs)
    assert one == two != other


@pytest.mark.fault(3)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "settings"), [("autoencoder", AutoencoderSettings()), ("classifier", ClassifierSettings(dropout=0.1))]
)
def test_a_killed_training_resumes_from_its_last_checkpoint(
    fn_args, start_training, autoencoder_model, tmp_path, stage, settings
):
    fields = fn_args(settings.model_copy(update={"epochs": 300}), tmp_path, base_model=autoencoder_model)
    read, write = os.pipe()
    environment = {CHECKPOINTS: str(tmp_path / "checkpoints"), PROGRESS_FD: str(write)}
    killed = start_training(stage, fields, env=environment, pass_fds=(write,))
    os.close(write)
    with open(read) as lines:
        while (line := json.loads(next(lines)))["stage"] != "epoch" or line["done"] < 3:
            pass
        killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    environment.pop(PROGRESS_FD)
    assert start_training(stage, fields, env=environment).wait() == 0
    record = _record(fields)
    assert 3 <= record["resumed_from_epoch"] < 300
    assert [epoch["number"] for epoch in record["history"]] == list(range(1, 301))
