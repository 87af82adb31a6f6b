"""`--on-failure`: a shell command that tells somebody of a run that did not end well, for schedulers that cannot.

It learns what happened from its environment: `MNIST_TFX_EXIT_CODE` and `MNIST_TFX_STATUS`, as
docs/reference/exit-codes.md has them, and `MNIST_TFX_ERROR`, the line on standard error. The option is read before all
others, so that a folder of data that is not there is told of as well.
"""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
from typing import Final

import click

from components.errors import ExitCode, printable
from pipeline.cli.again import PROGRAM

LONGEST_S: Final = 60
"""Seconds that the command may take: a scheduler that ends a run gives it little longer."""

WANTED: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("on_failure", default=None)
"""The command, once the option was read; every command ends here, so this module imports nothing for it."""


def run(exit_code: int, error: str | None) -> None:
    """Run the command that was asked for, if any was and the exit code is not 0; whatever becomes of it changes nothing else.

    Args:
      exit_code: that the process is about to end with.
      error: what was printed on standard error about it.
    """
    command = WANTED.get()
    if command is None or exit_code == ExitCode.OK:
        return
    told = {
        "MNIST_TFX_EXIT_CODE": str(int(exit_code)),
        # A signal other than the two of the table has no row in it.
        "MNIST_TFX_STATUS": next((code.status for code in ExitCode if code == exit_code), ExitCode.INTERRUPTED.status),
        "MNIST_TFX_ERROR": error or "",
    }
    try:
        # Standard output is for the answer alone, which --json prints.
        done = subprocess.run(  # noqa: S602  # the command is the user's own, as in a crontab
            command,
            shell=True,
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            timeout=LONGEST_S,
            check=False,
        )
        became = f"ended with {done.returncode}" if done.returncode else None
    except subprocess.TimeoutExpired:
        became = f"did not end within {LONGEST_S} s, and was ended"
    except OSError as err:
        became = f"could not be started: {err.strerror}"
    if became is not None:
        # Not the command: it may hold a password of whoever is told.
        click.echo(f"{PROGRAM}: --on-failure: the command {printable(became)}", err=True)
