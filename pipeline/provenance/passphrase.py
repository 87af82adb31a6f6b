"""The passphrase of a private key: from the environment, else asked for on the terminal, never from the command line."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from components.errors import BadInput

VARIABLE: Final = "MNIST_TFX_KEY_PASSPHRASE"


def passphrase() -> str:
    """Return the passphrase of a key that is encrypted.

    Raises:
      BadInput: if it is not in the environment and nobody can be asked.
    """
    return _asked(twice=False)


def new_passphrase() -> str:
    """Return the passphrase for a new key, typed twice if it is typed; raises as `passphrase` does."""
    return _asked(twice=True)


def _asked(*, twice: bool) -> str:
    if (known := os.environ.get(VARIABLE)) is not None:
        return known
    if not sys.stdin.isatty():
        raise BadInput("the key needs a passphrase", wanted=f"{VARIABLE} in the environment, or a terminal to ask on")
    entered: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return entered
