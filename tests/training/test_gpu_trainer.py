"""What a Trainer does about GPUs, as far as it shows on a machine without one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.classifier.losses import build_loss
from components.classifier.model import build_classifier
from components.errors import EnvironmentProblem
from components.settings import Augmentation, AutoencoderSettings, ClassifierSettings, DataSettings, TrainingSettings
from components.training.checkpoint import Checkpoint
from components.training.fit import fit, seed_everything
from components.training.placement import place
from components.training.process import DEVICE
from components.training.resident import ResidentPairs
from components.training.task import Task

DATA = DataSettings(shape=(12, 9), pixel_max=16, label_count=3)
SETTINGS = {"autoencoder": AutoencoderSettings(), "classifier": ClassifierSettings()}


@pytest.fixture(autouse=True)
def _policy():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_trainer_that_was_promised_a_gpu_ends_without_one_before_it_reads_anything(
    stage, fn_args, train, tmp_path, monkeypatch
):
    monkeypatch.setenv(DEVICE, "gpu")
    fields = fn_args(SETTINGS[stage], tmp_path) | {"train_files": ["/nowhere"], "transform_graph_path": "/nowhere"}
    with pytest.raises(EnvironmentProblem, match=r"the Trainer sees no GPU.*`mnist-tfx doctor`") as refused:
        train(stage, fields)
    assert refused.value.exit_code == 4
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("strategy", "used"), [("single", ["one"]), ("mirrored", ["one", "two"])])
def test_memory_grows_on_every_gpu_that_is_used_and_no_other_is_touched(strategy, used, monkeypatch):
    visible, growing = ["one", "two"], []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["one", "two"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: list(visible))
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda gpus, _: visible.__setitem__(slice(None), gpus))
    monkeypatch.setattr(tf.config.experimental, "get_memory_growth", lambda _: False)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: growing.append((gpu, on)))
    place(TrainingSettings(strategy=strategy))
    assert growing == [(gpu, True) for gpu in used]


def losses(folder, **changes):
    settings = ClassifierSettings(layers=(8,), epochs=2, batch=16, **changes)
    with place(settings).scope():
        seed_everything(settings)
        model = build_classifier(settings, DATA)
    inputs = np.random.default_rng(0).random((70, DATA.pixels)).astype(np.float32)
    rows = ResidentPairs(tf.constant(inputs), tf.one_hot(np.arange(70) % 3, 3))
    task = Task("toy", model, build_loss(settings), rows, rows)
    return [epoch.loss for epoch in fit(task, settings, checkpoint=Checkpoint(None), log_folder=str(folder)).epochs]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_compiled_gradients_learn_from_moved_images_as_others_do(precision, tmp_path):
    """XLA has no kernel for the moves, so that they stay outside of what it compiles."""
    asked = {"augmentation": Augmentation(shift=1.5, rotation=10, zoom=0.1), "precision": precision}
    tolerance = 1e-5 if precision == "float32" else 1e-2
    assert losses(tmp_path, **asked, jit=True) == pytest.approx(losses(tmp_path, **asked), rel=tolerance)
    assert losses(tmp_path, **asked) != losses(tmp_path, precision=precision)
