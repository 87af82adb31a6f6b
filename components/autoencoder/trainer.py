"""The autoencoder's training, whose `run_fn` TFX calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras

from components.autoencoder.model import build_autoencoder
from components.settings import AutoencoderSettings, DataSettings
from components.training.checkpoint import Checkpoint
from components.training.export import LAYERS_FILE, save
from components.training.fit import fit, seed_everything
from components.training.input import TransformGraph, read_splits
from components.training.placement import chosen, place
from components.training.process import require_keras_3
from components.training.task import PerRow, Task
from components.training.workers import on_all_workers

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


@on_all_workers
def run_fn(fn_args: FnArgs) -> None:
    """Train an autoencoder to give back its input, and exports it.

    Args:
      fn_args: from TFX's Trainer; `custom_config` has `settings`, an `AutoencoderSettings`, and `data`, a
        `DataSettings`, both as JSON.
    """
    require_keras_3()
    settings = AutoencoderSettings.from_json(fn_args.custom_config["settings"])
    data = DataSettings.from_json(fn_args.custom_config["data"])
    choice = chosen(settings, data, fn_args.train_files)
    placement = place(settings, choice)
    seed_everything(settings)
    transform = TransformGraph.load(fn_args.transform_graph_path)
    splits = read_splits(fn_args.train_files, fn_args.eval_files, transform, data, placement)
    train, validation = (split.map(lambda images, _: (images, images)) for split in splits)
    with placement.scope():
        autoencoder = build_autoencoder(settings, data)
    task = Task(
        name="autoencoder",
        model=autoencoder.whole,
        loss=_loss(settings),
        train=train,
        validation=validation,
    )
    checkpoint = Checkpoint.from_environment()
    training = fit(task, settings, checkpoint=checkpoint, log_folder=fn_args.model_run_dir)
    exported = autoencoder.exported()
    save(exported, fn_args.serving_model_dir, exported.signatures())
    if (described := autoencoder.described()) is not None:
        file = Path(fn_args.serving_model_dir) / LAYERS_FILE
        file.parent.mkdir()
        file.write_text(described)
    training.write(fn_args.model_run_dir, settings, choice=choice)
    checkpoint.discard()


def _loss(settings: AutoencoderSettings) -> PerRow:
    losses = {"mse": keras.losses.MeanSquaredError, "binary_crossentropy": keras.losses.BinaryCrossentropy}
    loss: PerRow = losses[settings.loss](reduction=None)
    return loss
