import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import components
from components.errors import BadInput, EnvironmentProblem
from components.progress import PROGRESS_FD
from components.settings import DataSettings, OptimizerSettings, TrainingSettings
from components.training.checkpoint import Checkpoint
from components.training.fit import fit, seed_everything
from components.training.input import TransformGraph, read_splits
from components.training.optimizer import build_optimizer
from components.training.placement import Placement
from components.training.process import TRAINER_ENVIRONMENT, require_keras_3
from components.training.resident import ResidentPairs
from components.training.task import Shuffle, Task

COMPONENTS = Path(components.__file__).parent

NO_CHECKPOINT = Checkpoint(None)
MEAN_SQUARED = keras.losses.MeanSquaredError(reduction=None)


def _task(settings, *, validation_sign=1.0, dropout=0.0):
    seed_everything(settings)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(dropout, seed=1), keras.layers.Dense(1)])
    inputs = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
    targets = inputs.sum(axis=1, keepdims=True)
    validation = ResidentPairs(tf.constant(inputs), tf.constant(targets * validation_sign))
    return Task("toy", model, MEAN_SQUARED, ResidentPairs(tf.constant(inputs), tf.constant(targets)), validation)


def _settings(rate=0.05, **changes):
    return TrainingSettings(**{"batch": 8, "epochs": 5, "optimizer": OptimizerSettings(learning_rate=rate)} | changes)


DATA = DataSettings(shape=(6, 5), pixel_max=16, label_count=3)
HERE = Placement(tf.distribute.get_strategy())


def _read(examples, graph, **options):
    files = ([f"{examples}/Split-{split}/*"] for split in ("train", "validation"))
    return read_splits(*files, TransformGraph.load(graph), DATA, HERE, **options)


def _batches(pairs, batch=64, shuffle=None, start=0):
    """Returns inputs and targets of every batch, as a pass sees them."""
    feed = pairs.feed(batch, shuffle, start=start)
    read = tf.function(lambda at: pairs.next_batch(feed, at, batch), autograph=False)
    return [[*map(np.asarray, read(tf.constant(at))[:2])] for at in range(start, len(pairs), batch)]


def _rows(pairs, **options):
    return [np.concatenate(column) for column in zip(*_batches(pairs, **options), strict=True)]


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_reading_gives_every_row_of_every_shard_in_order(examples, transform_graphs, splits, in_memory):
    read = _read(examples, transform_graphs["minmax"], in_memory=in_memory)
    assert [isinstance(pairs, ResidentPairs) for pairs in read] == [bool(in_memory)] * 2
    for pairs, split in zip(read, splits.values(), strict=True):
        images, labels = _rows(pairs)
        np.testing.assert_allclose(images, split.flat / 16, rtol=1e-6)
        np.testing.assert_array_equal(np.argmax(labels, axis=1), split.labels)


@pytest.mark.parametrize("scaling", ["minmax", "standardise", "centre"])
@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_batch_has_the_bits_that_tf_data_gives_to_whole_splits(
    examples, transform_graphs, splits, scaling, in_memory
):
    """Models of earlier releases were trained on those."""
    apply = TransformGraph.load(transform_graphs[scaling]).apply
    raw = (splits["train"].flat.astype(np.int64), splits["train"].labels[:, np.newaxis])
    [wanted] = tf.data.Dataset.from_tensors(raw).map(apply)
    got = _rows(_read(examples, transform_graphs[scaling], in_memory=in_memory)[0], batch=7)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


class _Scaling(tf.Module):
    """A transform graph's outputs, with images scaled by any function."""

    def __init__(self, scale):
        super().__init__()
        self._scale = scale

    def transform_fn(self, given):
        labels = tf.one_hot(tf.squeeze(given["label"], axis=1), 3)
        return {"image_xf": self._scale(tf.cast(given["image"], tf.float32)), "label_xf": labels}


@pytest.mark.parametrize(
    "scale",
    [
        lambda pixels: pixels / tf.constant(255.0),
        lambda pixels: pixels / tf.constant(255.0) - 0.5,
        lambda pixels: pixels - tf.range(30.0),
    ],
    ids=["by a factor", "by a look-up", "each pixel by itself"],
)
def test_every_value_of_a_pixel_has_the_bits_of_tf_data_however_it_is_scaled(scale):
    transform = TransformGraph(_Scaling(scale))
    images, labels = np.tile(np.arange(256, dtype=np.uint8)[:, np.newaxis], 30), np.zeros((256, 1), np.int64)
    [wanted] = tf.data.Dataset.from_tensors((images.astype(np.int64), labels)).map(transform.apply)
    got = tf.function(transform.prepare(DATA), autograph=False)(tf.constant(images), tf.constant(labels))
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_in_memory_come_in_one_permutation_of_them_all():
    pairs = ResidentPairs(tf.range(1000), tf.range(1000))
    rows, _ = _rows(pairs, shuffle=Shuffle(seed=3, epoch=2))
    np.testing.assert_array_equal(rows, np.random.default_rng((3, 2)).permutation(1000))


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_split_without_rows_is_refused(tmp_path, transform_graphs, in_memory):
    with pytest.raises(BadInput, match="no rows"):
        _read(tmp_path, transform_graphs["minmax"], in_memory=in_memory)


def test_another_keras_or_backend_is_refused(monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(keras, "__version__", "2.15.0")
        with pytest.raises(EnvironmentProblem, match=r"wanted Keras 3 on tensorflow, got Keras 2\.15\.0 on tensorflow"):
            require_keras_3()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(EnvironmentProblem, match="on jax"):
        require_keras_3()


def test_ours_is_keras_3_where_tf_keras_is_keras_2():
    """In a process of its own, with tensorflow_transform imported first, as the fork server has it."""
    code = (
        "import tensorflow_transform, keras\n"
        "from components.training.process import require_keras_3\n"
        "from components.classifier import model\n"
        "require_keras_3(); print(model.keras is keras, keras.__version__.split('.')[0])"
    )
    env = {**os.environ, **TRAINER_ENVIRONMENT, "TF_USE_LEGACY_KERAS": "1"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["True", "3"]


def test_no_stage_touches_tf_keras():
    used = {path.name: names for path in COMPONENTS.rglob("*.py") if (names := _tf_keras(path.read_text()))}
    assert used == {}
    assert _tf_keras("import tensorflow as tf\ntf.keras.Model()") == {"tf.keras"}
    assert _tf_keras("from tensorflow import keras") == {"tensorflow.keras"}


def _tf_keras(source):
    tree = ast.parse(source)
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imports = {
        f"{getattr(node, 'module', '')}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return {
        name for name in attributes | imports if re.fullmatch(r"(tf|tensorflow)\.(\w+\.)*keras|\.?tf_keras.*", name)
    }


@pytest.mark.parametrize("name", OptimizerSettings.model_fields["name"].annotation.__args__)
def test_every_named_optimiser_lowers_the_loss(name, tmp_path):
    settings = _settings(optimizer=OptimizerSettings(name=name, learning_rate=0.05, weight_decay=1e-4, clip_norm=5.0))
    epochs = fit(_task(settings), settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path)).epochs
    assert epochs[-1].val_loss < epochs[0].val_loss


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 0, {0: 0.1, 20: 0.1, 40: 0.1}),
        ("constant", 1, {0: 0.0, 5: 0.05, 10: 0.1, 40: 0.1}),
        ("cosine", 0, {0: 0.1, 20: 0.05, 40: 0.0}),
        ("cosine", 1, {0: 0.0, 5: 0.05, 10: 0.1, 25: 0.05, 40: 0.0}),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule, warmup, rates):
    settings = OptimizerSettings(learning_rate=0.1, schedule=schedule, warmup_epochs=warmup)
    optimizer = build_optimizer(settings, epochs=4, steps_per_epoch=10)
    for step, rate in rates.items():
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(
    ("ours", "keras_own"),
    [
        ({"name": "adam"}, keras.optimizers.Adam(0.05)),
        ({"name": "adam", "clip_norm": 0.5}, keras.optimizers.Adam(0.05, global_clipnorm=0.5)),
        ({"name": "adamw", "weight_decay": 0.1}, keras.optimizers.AdamW(0.05, weight_decay=0.1)),
    ],
    ids=["adam", "clipped", "adamw"],
)
def test_one_kernel_takes_the_steps_that_keras_composes(ours, keras_own):
    """An embedding's gradient comes as slices of it; the rows that no slice names move on by their moments, too."""
    settings = OptimizerSettings(learning_rate=0.05, **ours)
    values = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    stepped = []
    for optimizer in (build_optimizer(settings, epochs=1, steps_per_epoch=10), keras_own):
        weights = [keras.Variable(values), keras.Variable(values)]
        optimizer.build(weights)
        for step in range(10):
            given = np.random.default_rng(step).normal(size=(5, 4)).astype(np.float32)
            optimizer.apply([tf.constant(given), tf.IndexedSlices(given[:2], [1, 3], [5, 4])], weights)
        stepped.append([np.asarray(variable) for variable in (*weights, *optimizer.variables)])
    for one, other in zip(*stepped, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-6)  # the kernel rounds 1 - beta to 32 bits


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best_weights(tmp_path):
    settings = _settings(rate=0.001, epochs=20, patience=3)
    task = _task(settings, validation_sign=-1.0)
    training = fit(task, settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))
    losses = [epoch.val_loss for epoch in training.epochs]
    assert len(losses) == training.kept_epoch + 3
    assert np.mean(MEAN_SQUARED(task.validation.targets, task.model(task.validation.inputs))) == pytest.approx(
        min(losses), rel=1e-5
    )


def test_without_patience_every_epoch_is_run_and_the_last_is_kept(tmp_path):
    settings = _settings(rate=0.001, epochs=6)
    training = fit(_task(settings, validation_sign=-1.0), settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))
    assert (len(training.epochs), training.kept_epoch) == (6, 6)


def test_few_rows_get_more_epochs_where_a_number_of_steps_is_asked_for(tmp_path):
    settings = _settings(min_steps=33)  # 40 rows in batches of 8 are 5 steps
    assert len(fit(_task(settings), settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path)).epochs) == 7


def test_a_training_that_diverges_is_refused(tmp_path):
    settings = _settings(optimizer=OptimizerSettings(name="sgd", learning_rate=1000.0))
    with pytest.raises(BadInput, match="toy, epoch 2: training diverged"):
        fit(_task(settings), settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))


class _Killed(Checkpoint):
    def save(self, snapshot):
        super().save(snapshot)
        if len(snapshot.epochs) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("patience", [None, 3])
def test_a_resumed_training_ends_in_the_weights_of_an_uninterrupted_one(tmp_path, patience):
    settings = _settings(patience=patience)
    whole, parted = _task(settings, dropout=0.5), _task(settings, dropout=0.5)
    fit(whole, settings, checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        fit(parted, settings, checkpoint=_Killed(tmp_path), log_folder=str(tmp_path))
    resumed = _task(settings, dropout=0.5)
    training = fit(resumed, settings, checkpoint=Checkpoint(tmp_path), log_folder=str(tmp_path / "resumed"))
    assert training.resumed_from_epoch == 2
    assert _logged(tmp_path / "resumed", "val_loss") == [1, 2, 3, 4, 5], "a log of its own, whole"
    assert [epoch.number for epoch in training.epochs] == [1, 2, 3, 4, 5]
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def _logged(folder, scalar):
    """Returns the steps for which TensorBoard has a scalar."""
    [file] = folder.glob("events.out.tfevents.*")
    events = tf.compat.v1.train.summary_iterator(str(file))
    return [event.step for event in events if any(value.tag == scalar for value in event.summary.value)]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_training_starts_over_from_an_unreadable_checkpoint(tmp_path, content):
    (tmp_path / "training.npz").write_bytes(content)
    training = fit(_task(_settings()), _settings(), checkpoint=Checkpoint(tmp_path), log_folder=str(tmp_path))
    assert training.resumed_from_epoch is None
    assert len(training.epochs) == 5


def test_a_training_repeated_into_the_same_folder_leaves_one_log_of_one_name(tmp_path):
    for _ in range(2):
        fit(_task(_settings()), _settings(), checkpoint=Checkpoint(tmp_path / "c"), log_folder=str(tmp_path / "log"))
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["events.out.tfevents.training"]
    assert _logged(tmp_path / "log", "loss") == [1, 2, 3, 4, 5]


def test_tensorboard_reads_the_log(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(_task(_settings()), _settings(), checkpoint=Checkpoint(tmp_path / "c"), log_folder=str(tmp_path / "log"))
    read = EventAccumulator(str(tmp_path / "log")).Reload()
    assert {"loss", "val_loss", "learning_rate"} <= set(read.Tags()["tensors"])
    assert [event.step for event in read.Tensors("val_loss")] == [1, 2, 3, 4, 5]
    assert read.PluginAssets("scalars") == []
    assert read.SummaryMetadata("loss").plugin_data.plugin_name == "scalars"


def test_progress_is_one_json_line_per_epoch_after_one_that_names_their_number(tmp_path, monkeypatch):
    read, write = os.pipe()
    monkeypatch.setenv(PROGRESS_FD, str(write))
    training = fit(_task(_settings()), _settings(), checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))
    os.close(write)
    with open(read) as lines:
        progress = [json.loads(line) for line in lines]
    assert [(line["stage"], line["done"], line["total"]) for line in progress] == [("epoch", n, 5) for n in range(6)]
    assert [line["val_loss"] for line in progress[1:]] == [epoch.val_loss for epoch in training.epochs]


def test_training_goes_on_when_nobody_reads_its_progress(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setenv(PROGRESS_FD, str(write))
    training = fit(_task(_settings()), _settings(), checkpoint=NO_CHECKPOINT, log_folder=str(tmp_path))
    os.close(write)
    assert len(training.epochs) == 5


def test_what_is_computed_of_rows_once_is_what_every_batch_would_compute():
    rows = tf.random.stateless_normal([20_000, 2], seed=(1, 2))
    pairs = ResidentPairs(rows, rows).map(lambda inputs, targets: (inputs * 2, targets))
    np.testing.assert_array_equal(pairs.materialised().inputs, rows * 2)
