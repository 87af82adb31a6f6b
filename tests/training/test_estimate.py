"""The choice of `--device auto`: what is estimated of a training, what is said and recorded, and what is never overridden."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from components.progress import listening
from components.settings import AutoencoderSettings, ClassifierSettings, Convolution, DataSettings, TrainingSettings
from components.training import placement
from components.training.estimate import CPU_STEP_S, GPU_START_S, GPU_STEP_S, Choice, Work, choose, work_of
from components.training.placement import chosen, place, records_in
from components.training.process import DEVICE
from pipeline.config.recipe import load_recipe

MNIST = DataSettings(shape=(28, 28), pixel_max=255)


def recipe(name, profile=None):
    return load_recipe(name, profile=profile)


@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("stage", ["autoencoder", "classifier"])
def test_the_digits_are_through_before_a_gpu_has_started(stage, cores):
    """Measured: 6.4 s of training on two cores, 27.3 s on an H100."""
    settings = recipe("digits")
    found = choose(getattr(settings, stage), settings.data, rows=1258, cores=cores)
    assert found.takes_cpu
    assert found.cpu_s < 5 < found.gpu_s < 14


def test_a_convolution_on_all_of_mnist_goes_to_the_gpu():
    """Measured: 2.6 minutes on two cores, all stages together."""
    settings = recipe("cnn", "fast")
    found = choose(settings.classifier, settings.data, rows=57_000, cores=2)
    assert not found.takes_cpu
    assert 100 < found.cpu_s < 200
    assert found.gpu_s < 30


def test_the_networks_of_mnist_are_estimated_at_what_they_took():
    """Measured: 7.2 and 11.9 s on two cores, and 17.8 s for both on an H100, with what an export takes besides."""
    settings, epochs = recipe("mnist"), {"autoencoder": 4, "classifier": 8}  # as they were then
    trained = [getattr(settings, name).model_copy(update={"epochs": number}) for name, number in epochs.items()]
    both = [choose(one, MNIST, rows=54_000, cores=2) for one in trained]
    assert 3 < both[0].cpu_s < 8
    assert 9 < both[1].cpu_s < 15
    assert 12 < sum(one.gpu_s for one in both) < 20


def test_operations_follow_from_the_network():
    dense = ClassifierSettings(layers=(100,), batch=10, epochs=3)
    assert work_of(dense, MNIST, 25) == Work(steps=9, flops=3 * 10 * 2 * (784 * 100 + 100 * 10))
    again = dense.model_copy(update={"retrain": True})
    assert work_of(again, MNIST, 25).steps == 18
    convolution = Convolution(filters=8, kernel=5, pool=2)
    images = dense.model_copy(update={"convolutions": (convolution,), "layers": ()})
    assert work_of(images, MNIST, 1000).flops == 3 * 10 * 2 * (24 * 24 * 25 * 8 + 12 * 12 * 8 * 10)
    autoencoder = AutoencoderSettings(layers=(50,), latent=5, batch=100, epochs=1, min_steps=7)
    assert work_of(autoencoder, MNIST, 10) == Work(steps=7, flops=3 * 10 * 4 * (784 * 50 + 50 * 5))


def test_a_keras_layer_counts_the_weights_alike():
    """The operations of dense layers are two for each weight, biases left out."""
    from components.classifier.model import build_classifier

    settings = ClassifierSettings(layers=(30, 20), batch=1, epochs=1)
    kernels = [v for v in build_classifier(settings, MNIST).trainable_variables if v.name == "kernel"]
    assert work_of(settings, MNIST, 1).flops == 3 * 2 * sum(int(tf.size(one)) for one in kernels)


def test_more_cores_help_where_a_step_is_large():
    small, large = Work(100, 1e8), Work(100, 1e10)
    assert small.cpu_s(16) == small.cpu_s(1)
    assert large.cpu_s(16) < large.cpu_s(2) / 4
    assert Work(0, 0).cpu_s(1) == 0
    assert Work(1000, 0).cpu_s(1) == pytest.approx(1000 * CPU_STEP_S)
    assert Work(1000, 0).gpu_s == pytest.approx(GPU_START_S + 1000 * GPU_STEP_S)


@pytest.mark.parametrize(
    "asked",
    [{"build": "nets:build"}, {"strategy": "mirrored"}, {"precision": "mixed_bfloat16"}, {"jit": True}],
)
def test_what_is_written_for_gpus_is_left_to_them(asked):
    assert choose(ClassifierSettings(**asked), MNIST, rows=10, cores=2) is None


def test_a_choice_is_one_line():
    assert str(Choice(1.6, 9.9)) == "trains on the CPU: about 2 s, on the GPU about 10 s"
    assert str(Choice(160, 25)) == "trains on the GPU: about 25 s, on the CPU about 160 s"


@pytest.fixture
def gpus(monkeypatch):
    """As if TensorFlow saw a GPU; what is hidden and what is said."""
    visible, said = ["gpu"], []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["gpu"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: list(visible))
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda found, _: visible.__setitem__(slice(None), found))
    monkeypatch.setattr(tf.config.experimental, "get_memory_growth", lambda _: True)
    monkeypatch.setattr(placement, "_strategy", lambda _: tf.distribute.get_strategy())
    with listening(lambda line: said.append(line.get("said"))):
        yield visible, said


@pytest.mark.parametrize(
    ("device", "hidden"), [("auto", True), ("gpu", False), ("gpu:0", False), (None, False), ("cpu", False)]
)
def test_only_auto_hides_a_gpu_and_says_so(device, hidden, gpus, examples, monkeypatch):
    visible, said = gpus
    monkeypatch.delenv(DEVICE, raising=False)
    if device is not None:
        monkeypatch.setenv(DEVICE, device)
    choice = chosen(ClassifierSettings(epochs=1), MNIST, [f"{examples}/Split-train/*"])
    place(ClassifierSettings(epochs=1), choice)
    assert visible == ([] if hidden else ["gpu"])
    assert said == (["trains on the CPU: about 0 s, on the GPU about 5 s"] if hidden else [])


def test_auto_keeps_a_gpu_that_is_faster_and_says_so(gpus, examples, monkeypatch):
    visible, said = gpus
    monkeypatch.setenv(DEVICE, "auto")
    settings = ClassifierSettings(layers=(60_000,), epochs=100_000)
    place(settings, chosen(settings, MNIST, [f"{examples}/Split-train/*"]))
    assert visible == ["gpu"]
    assert said[0].startswith("trains on the GPU: about ")


def test_without_a_gpu_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setenv(DEVICE, "auto")
    assert chosen(TrainingSettings(), MNIST, ["/nowhere"]) is None


@pytest.mark.parametrize(("visible", "told"), [(None, True), ("0", True), ("-1", False), ("", False)])
def test_a_gpu_that_tensorflow_cannot_use_is_no_silent_cpu(visible, told, tmp_path, monkeypatch):
    said = []
    monkeypatch.setenv(DEVICE, "auto")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    with listening(lambda line: said.append(line["said"])):
        monkeypatch.setattr(placement, "DRIVER_GPUS", tmp_path)
        assert chosen(TrainingSettings(), MNIST, ["/nowhere"]) is None
        assert said == []
        (tmp_path / "0000:17:00.0").mkdir()
        assert chosen(TrainingSettings(), MNIST, ["/nowhere"]) is None
    cannot = "trains on the CPU: TensorFlow cannot use the GPU that NVIDIA's driver has, see `mnist-tfx doctor`"
    assert said == ([cannot] if told else [])


def test_records_are_counted_by_the_length_of_the_first(examples, tmp_path):
    assert records_in([f"{examples}/Split-train/*"]) == pytest.approx(240, rel=0.05)
    assert records_in([f"{tmp_path}/*"]) == 0
    with tf.io.TFRecordWriter(f"{tmp_path}/one") as writer:
        for _ in range(1234):
            writer.write(b"x" * 50)
    assert records_in([f"{tmp_path}/*"]) == 1234


def test_a_training_records_the_estimate(tmp_path):
    from components.training.fit import Training

    Training((), None, 0).write(str(tmp_path), TrainingSettings(), choice=Choice(1.6, 9.9))
    record = json.loads((Path(tmp_path) / "training.json").read_text())
    assert (record["estimated_s_cpu"], record["estimated_s_gpu"]) == (2, 10)
