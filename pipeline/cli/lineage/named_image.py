"""Options that name an image: a picture file, or a row by its number; `impact` and `prove` share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.cli.parameters import InputFile, Integer, Version

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = InputFile()


def image(command: Command) -> Command:
    """Add IMAGE, `--index` and `--data`."""
    return click.argument("image", required=False, type=_FILE)(row(command))


def row(command: Command) -> Command:
    """Add `--index` and `--data`."""
    command = click.option(
        "--data",
        multiple=True,
        type=_FILE,
        metavar="FILE",
        help="File that --index counts in; an IDX pair is two of them.",
    )(command)
    return click.option(
        "--index",
        type=Integer(0, 1 << 40),
        help="Number of a row, from 0, in the train part as it was ingested, or in --data.",
    )(command)


def version(command: Command) -> Command:
    """Add `--version`."""
    return click.option("--version", type=Version(), help="Served version whose data is meant.  [default: the newest]")(
        command
    )
