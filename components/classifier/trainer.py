"""The classifier's training, whose `run_fn` TFX calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from components.classifier import exports
from components.classifier.losses import build_loss, is_right
from components.classifier.model import build_classifier
from components.classifier.served import FrozenAutoencoder, ServedClassifier, ServedReconstructions
from components.settings import ClassifierSettings, DataSettings
from components.training.checkpoint import Checkpoint
from components.training.export import FrozenLayers, save
from components.training.fit import Training, fit, seed_everything
from components.training.input import TransformGraph, materialised, read_splits
from components.training.own_network import FrozenNetwork
from components.training.placement import Placement, chosen, place
from components.training.process import require_keras_3
from components.training.retrain import below, retrain
from components.training.task import Pairs, Task
from components.training.workers import on_all_workers

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


@dataclass(frozen=True)
class _Stages:
    """What the classifier stands behind, and how it is built."""

    settings: ClassifierSettings
    data: DataSettings
    transform: TransformGraph
    autoencoder: FrozenAutoencoder | None
    placement: Placement

    def network(self) -> keras.Sequential:
        """Return the network as it is before training, the same at every call."""
        seed_everything(self.settings)
        with self.placement.scope():
            return build_classifier(self.settings, self.data)

    def seen(self, rows: Pairs) -> Pairs:
        """Return what the classifier is given of scaled images, and their labels."""
        if self.autoencoder is None:
            return rows
        reconstruct = self.autoencoder.reconstruct
        # The autoencoder is frozen, so one pass through it serves every epoch.
        return materialised(rows.map(lambda images, labels: (reconstruct(images), labels)), self.data)

    def served(self, trained: keras.Sequential) -> ServedClassifier:
        """Return all stages as one module."""
        layers = FrozenLayers(trained.layers) if self.settings.build is None else FrozenNetwork(trained)
        if self.autoencoder is None:
            return ServedClassifier(self.transform, layers, self.settings, self.data)
        return ServedReconstructions(self.transform, self.autoencoder, layers, self.settings, self.data)

    def as_keras(self, trained: keras.Sequential) -> keras.Model:
        """Return all stages as one network of Keras' own layers."""
        before = [] if self.autoencoder is None else self.autoencoder.layers()
        return exports.keras_model(self.transform, [*before, *trained.layers], self.data)


@on_all_workers
def run_fn(fn_args: FnArgs) -> None:
    """Train a classifier, and exports it with the stages before it as one SavedModel.

    Args:
      fn_args: from TFX's Trainer; `base_model` is the autoencoder whose reconstructions are learned from, None where
        the recipe has none and the classifier sees the scaled images; `custom_config` has `settings`, a
        `ClassifierSettings`, and `data`, a `DataSettings`, both as JSON.
    """
    require_keras_3()
    settings = ClassifierSettings.from_json(fn_args.custom_config["settings"])
    data = DataSettings.from_json(fn_args.custom_config["data"])
    choice = chosen(settings, data, fn_args.train_files)
    placement = place(settings, choice)
    transform = TransformGraph.load(fn_args.transform_graph_path)
    autoencoder = FrozenAutoencoder.load(fn_args.base_model, data.pixels) if fn_args.base_model else None
    stages = _Stages(settings, data, transform, autoencoder, placement)
    checkpoint = Checkpoint.from_environment()
    task = _task(stages, fn_args)
    as_keras = exports.KERAS_FILES.keys() & set(settings.exports)
    if settings.build is not None and as_keras:
        exports.require_possible(settings.exports, stages.as_keras(task.model), settings.build)
    trained, training, retrained = _trained(stages, task, checkpoint, fn_args.model_run_dir)
    served = stages.served(trained)
    save(served, fn_args.serving_model_dir, served.signatures())
    if settings.exports:
        folder = Path(fn_args.model_run_dir) / exports.FOLDER
        model = stages.as_keras(trained) if as_keras else None
        exports.write_exports(folder, settings.exports, model, served)
    training.write(fn_args.model_run_dir, settings, retrained=retrained, choice=choice)
    # In this order: a retraining's alone would be taken up by the next choice, whatever it comes to.
    below(checkpoint).discard()
    checkpoint.discard()


def _task(stages: _Stages, fn_args: FnArgs) -> Task:
    splits = read_splits(fn_args.train_files, fn_args.eval_files, stages.transform, stages.data, stages.placement)
    train, validation = map(stages.seen, splits)
    return Task(
        name="classifier",
        model=stages.network(),
        loss=build_loss(stages.settings),
        train=train,
        validation=validation,
        metrics={"val_accuracy": is_right},
    )


def _trained(
    stages: _Stages, task: Task, checkpoint: Checkpoint, log_folder: str
) -> tuple[keras.Sequential, Training, Training | None]:
    """Return the trained network, its training, and with `retrain` the one after the choice."""
    training = fit(task, stages.settings, checkpoint=checkpoint, log_folder=log_folder)
    if not stages.settings.retrain:
        return task.model, training, None
    model = stages.network()
    retrained = retrain(task, model, training, stages.settings, checkpoint=checkpoint, log_folder=log_folder)
    return model, training, retrained
