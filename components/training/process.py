"""The environment that a Trainer's process starts with, and the check that it has the Keras our models are written for.

`tf.keras` is Keras 2 or 3, by TF_USE_LEGACY_KERAS at its first use; `import keras` is Keras 3 whatever that says. TFX's
own libraries use the former and are tested with Keras 2, so the process that Trainers are forked from has the variable
at 1 and tensorflow_transform imported for other stages. That is harmless here: our code takes Keras by its own name and
never touches `tf.keras`, which a test holds it to. What is decided before Keras is first imported, and cannot be changed
by a variable set after the fork, is its backend; so what is loaded is looked at, not the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from components.errors import EnvironmentProblem

TRAINER_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"KERAS_BACKEND": "tensorflow"})
"""For whoever starts a Trainer's process, or the process that it is forked from."""

CHECKPOINTS: Final = "MNIST_TFX_CHECKPOINTS"
"""Environment variable: folder for the checkpoints of exactly this work; unset, none are kept."""

OWN_CODE: Final = "MNIST_TFX_OWN_CODE"
"""Environment variable: folder with the user's own code, as it was digested; unset, Python's path has it."""

DEVICE: Final = "MNIST_TFX_DEVICE"
"""Environment variable: `--device`; a Trainer that was promised a GPU refuses to train without one."""

WORKERS: Final = "MNIST_TFX_WORKERS"
"""Environment variable: how many processes a multiworker training starts on this machine; unset, TF_CONFIG names them."""


def require_keras_3() -> None:
    """Check that the `keras` which is loaded, or now gets loaded, is Keras 3 on TensorFlow.

    Raises:
      EnvironmentProblem: on another Keras or another backend.
    """
    import keras  # heavy: the runner imports this module for its constants alone

    version, backend = keras.__version__, keras.backend.backend()
    if not version.startswith("3.") or backend != "tensorflow":
        raise EnvironmentProblem(
            "wrong Keras in a Trainer's process",
            wanted="Keras 3 on tensorflow",
            got=f"Keras {version} on {backend}",
            hint="KERAS_BACKEND and ~/.keras/keras.json choose the backend; `mnist-tfx doctor` looks at the versions",
        )
