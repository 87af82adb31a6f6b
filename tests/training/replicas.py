"""A training's settings as JSON -> its history as JSON lines, in a process of its own; a script for the tests of replicas.

Devices have to be divided before TensorFlow starts, and a worker is a process. Arguments: settings, and how many logical
CPUs there are to be, the folder of the log,
and `stored` for rows in files. 41 rows in batches of 8 leave one row for the last batch, and one replica without any of its own.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from components.settings import TrainingSettings
from components.training.checkpoint import Checkpoint
from components.training.fit import fit, seed_everything
from components.training.placement import place
from components.training.resident import ResidentPairs
from components.training.stored import StoredPairs, store
from components.training.task import Task

ROWS = 41


def seeds(placement, model):
    """What each replica of this process draws its noise from, by layer."""
    states = [variable.value for variable in model.variables if variable.name == "seed_generator_state"]
    return [[int(one[0]) for one in placement.strategy.experimental_local_results(state)] for state in states]


def _stored(placement, *columns):
    """Returns this process's share of the rows, in files."""
    own = slice(placement.worker, None, placement.workers)
    part = store([[tf.constant(column[own]) for column in columns]])
    return StoredPairs((part,), ROWS, worker=placement.worker, workers=placement.workers)


def main():
    settings = TrainingSettings.model_validate(json.loads(sys.argv[1]))
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2]))
    placement = place(settings)
    seed_everything(settings)
    with placement.scope():
        noise = [keras.layers.GaussianNoise(settings.noise, seed=1)] if settings.noise else []
        # The kernels of convolution and pooling are those that fail on no rows at all.
        convolution = keras.layers.Conv2D(4, 2, padding="same", activation="tanh")
        images = [keras.layers.Reshape((3, 2, 1)), convolution, keras.layers.MaxPooling2D(2, padding="same")]
        dense = [keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((6,)), *noise, *images, *dense])
    inputs = np.random.default_rng(5).normal(size=(ROWS, 6)).astype(np.float32)
    targets = inputs.sum(axis=1, keepdims=True)
    rows = (
        _stored(placement, inputs, targets)
        if "stored" in sys.argv
        else ResidentPairs(*map(tf.constant, (inputs, targets)))
    )
    task = Task("toy", model, keras.losses.MeanSquaredError(reduction=None), rows, rows)
    training = fit(task, settings, checkpoint=Checkpoint.from_environment(), log_folder=sys.argv[3])
    print(  # noqa: T201  # the answer itself
        json.dumps(
            {
                "losses": [epoch.loss for epoch in training.epochs],
                "val_losses": [epoch.val_loss for epoch in training.epochs],
                "resumed_from_epoch": training.resumed_from_epoch,
                "seeds": seeds(placement, model),
                "weights": [weight.ravel().tolist() for weight in model.get_weights()],
                **training.facts,
            }
        )
    )


if __name__ == "__main__":
    main()
