"""The environment that a Trainer's process starts with, and the check that it did.

The one place that decides between Keras 2 and 3. `tf.keras` is either, by what was imported first, and importing
tensorflow_transform asks for 2; so Trainers never touch `tf.keras` nor tensorflow_transform, and take Keras 3 by its own
name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from components.errors import EnvironmentProblem

TRAINER_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {"TF_USE_LEGACY_KERAS": "0", "KERAS_BACKEND": "tensorflow"}
)
"""For whoever starts a Trainer's process."""

CHECKPOINTS: Final = "MNIST_TFX_CHECKPOINTS"
"""Environment variable: folder for the checkpoints of exactly this work; unset, none are kept."""

PROGRESS_FD: Final = "MNIST_TFX_PROGRESS_FD"
"""Environment variable: file descriptor for progress as JSON lines; unset, nothing is written."""


def require_keras_3() -> None:
    """Checks that `keras` is Keras 3 on TensorFlow, and that nothing here would have chosen otherwise.

    Raises:
      EnvironmentProblem: on another Keras, another backend, or a process that was started for Keras 2.
    """
    import keras  # heavy: the runner imports this module for its constants alone

    found = f"Keras {keras.__version__} on {keras.backend.backend()}"
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "0")
    if not keras.__version__.startswith("3.") or keras.backend.backend() != "tensorflow" or legacy != "0":
        raise EnvironmentProblem(
            "wrong Keras in a Trainer's process",
            wanted="Keras 3 on tensorflow with TF_USE_LEGACY_KERAS=0",
            got=f"{found} with TF_USE_LEGACY_KERAS={legacy}",
            hint="start Trainers with components.training.process.TRAINER_ENVIRONMENT",
        )
