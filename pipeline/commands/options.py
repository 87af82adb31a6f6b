"""Options that several commands share, each defined once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from components.errors import printable
from pipeline.beam.choice import HELP, describe
from pipeline.beam.engines import DIRECT, ENGINES

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


def beam(command: Command) -> Command:
    """Adds `--beam` and `--beam-option`, which arrive as `beam` and `beam_options`."""
    engine = click.option(
        "--beam",
        metavar="ENGINE",
        default=DIRECT,
        show_default=True,
        is_eager=True,
        help=f"What ingest, statistics, transform and evaluation run on: {', '.join(ENGINES)}.",
    )
    given = click.option(
        "--beam-option",
        "beam_options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_beam_help,
        help="An option of the engine, by Beam's name; `help` lists them. May be repeated.",
    )
    return engine(given(command))


def _beam_help(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if HELP in given:
        said = context.get_parameter_source("beam") is not click.core.ParameterSource.DEFAULT
        click.echo(describe(context.params["beam"] if said else None))
        context.exit()
    return given


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
