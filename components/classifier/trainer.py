"""Raw Examples, the transform graph and the autoencoder -> the served Model; TFX calls `run_fn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from components.classifier.model import build_classifier
from components.classifier.served import FrozenAutoencoder, ServedClassifier
from components.settings import ClassifierSettings, DataSettings
from components.training.checkpoint import Checkpoint
from components.training.export import DenseStack, save
from components.training.fit import Pairs, PerRow, Task, fit, in_batches, seed_everything
from components.training.input import Rows, TransformGraph, read_rows
from components.training.process import require_keras_3

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


def run_fn(fn_args: FnArgs) -> None:
    """Trains a classifier on the autoencoder's reconstructions, and exports all three stages as one SavedModel.

    Args:
      fn_args: from TFX's Trainer; `base_model` is the autoencoder; `custom_config` has `settings`, a
        `ClassifierSettings`, and `data`, a `DataSettings`, both as JSON.
    """
    require_keras_3()
    settings = ClassifierSettings.from_json(fn_args.custom_config["settings"])
    data = DataSettings.from_json(fn_args.custom_config["data"])
    seed_everything(settings)
    transform = TransformGraph.load(fn_args.transform_graph_path)
    autoencoder = FrozenAutoencoder.load(fn_args.base_model, data.pixels)
    classifier = build_classifier(settings, data.pixels, data.label_count)
    task = Task(
        name="classifier",
        model=classifier,
        loss=_loss(settings),
        train=_reconstructed(read_rows(fn_args.train_files, transform, data), autoencoder),
        validation=_reconstructed(read_rows(fn_args.eval_files, transform, data), autoencoder),
        metrics={"val_accuracy": _is_right},
    )
    checkpoint = Checkpoint.from_environment()
    training = fit(task, settings, checkpoint=checkpoint, log_folder=fn_args.model_run_dir)
    served = ServedClassifier(transform, autoencoder, DenseStack(classifier.layers), data)
    save(served, fn_args.serving_model_dir, served.signatures())
    training.write(fn_args.model_run_dir, settings)
    checkpoint.discard()


def _reconstructed(rows: Rows, autoencoder: FrozenAutoencoder) -> Pairs:
    # The autoencoder is frozen, so one pass through it serves every epoch.
    return Pairs(in_batches(autoencoder.reconstruct, rows.images), rows.labels)


def _loss(settings: ClassifierSettings) -> PerRow:
    if settings.loss == "mse":
        squared = keras.losses.MeanSquaredError(reduction=None)
        return lambda labels, logits: squared(labels, tf.nn.softmax(logits))
    loss: PerRow = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=settings.label_smoothing, reduction=None
    )
    return loss


def _is_right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(logits, axis=1) == tf.argmax(labels, axis=1), tf.float32)
