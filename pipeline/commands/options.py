"""Options that several commands share, each defined once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from components.errors import printable

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_ROOT: Final = "runs/digits"


def root(command: Command) -> Command:
    """Adds `--root`, a folder that must hold a pipeline."""
    return click.option(
        "--root",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_ROOT,
        show_default=True,
        help="Folder that holds the pipeline's records, artifacts and served versions.",
    )(command)


def as_json(command: Command) -> Command:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def dry_run(command: Command) -> Command:
    """Adds `--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)


def say(message: str) -> None:
    """Tells the user something that is no part of the answer, such as what is being waited for."""
    click.echo(printable(message), err=True)


def figure(value: float | None) -> str:
    """Returns a metric to four places; records hold null for what is no finite number."""
    return "not a number" if value is None else f"{value:.4f}"


def print_json(value: dict[str, Any]) -> None:
    """Prints a command's answer as JSON, with the schema's version first."""
    click.echo(json.dumps({"schema_version": 1, **value}, indent=2))
