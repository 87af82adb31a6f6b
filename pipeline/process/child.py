"""Child processes of the project: each runs one module's `main`, from our folder, and ends with the process that started it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.training.device import VISIBLE
from pipeline.process import lifeline

ENGINE_ENV: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # tf.keras is what TFX's own libraries use, and they are tested with Keras 2 there; our models use `import keras`.
    "TF_USE_LEGACY_KERAS": "1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning",
}
"""What a process needs in its environment before it imports TensorFlow or TFX."""

CPU_ONLY: Final = {VISIBLE: "-1"}

PROJECT: Final = str(Path(__file__).resolve().parents[2])
"""The folder of our packages. `-m` puts the working folder first on the path: it must be ours, not the user's."""


def start(module: str, *arguments: str, env: Mapping[str, str], **streams: Any) -> subprocess.Popen[Any]:
    """Start a child; from a thread that lives as long as the child may (see `lifeline`).

    Args:
      module: with a `main` that takes nothing; it finds itself and `arguments` in `sys.argv`.
      arguments: of its command line; secrets go over standard input instead.
      env: variables beside those of this process.
      streams: further arguments of `subprocess.Popen`.
    """
    return subprocess.Popen(_command(module, arguments), env=_environment(env), cwd=PROJECT, **streams)


def run(module: str, *arguments: str, env: Mapping[str, str], **streams: Any) -> subprocess.CompletedProcess[Any]:
    """Run a child to its end, as `start` starts it, and return its exit code and what it printed."""
    command, surroundings = _command(module, arguments), _environment(env)
    return subprocess.run(command, env=surroundings, cwd=PROJECT, capture_output=True, check=False, **streams)


def main() -> None:
    """Run the `main` of the module that the command line names."""
    lifeline.die_with_parent()
    del sys.argv[0]
    importlib.import_module(sys.argv[0]).main()


def _command(module: str, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", __spec__.name, module, *arguments]


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **env, **lifeline.environment()}


if __name__ == "__main__":
    main()
