"""`mnist-tfx data fetch|inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from components.digest import sha256_file
from components.errors import ExitCode, printable
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFolder, InputPath, NewFolder, OneOf
from pipeline.cli.parsing import Group
from pipeline.datasets import fetch as fetching

if TYPE_CHECKING:
    from pipeline.datasets.inspection import Inspection

LONG: Final = 100_000
"""Rows from which on progress is shown: fewer take less than a second."""

_SHOWN: Final = 5


@click.group(cls=Group)
def data() -> None:
    """Fetch data, or look at what you have.

    \b
    Example:
      mnist-tfx data fetch mnist --to ~/mnist
      mnist-tfx data inspect ~/mnist
    """


@data.command()
@click.argument("name", type=OneOf(["digits", "mnist"]))
@click.option("--to", required=True, type=NewFolder(), metavar="FOLDER", help="Folder to write into.")
@click.option("--form", type=OneOf(["idx", "csv"]), default="idx", show_default=True, help="Form of the digits.")
@options.as_json
def fetch(name: str, to: Path, form: str, as_json: bool) -> None:
    """Write the UCI digits that come with scikit-learn, or download MNIST from its public mirrors.

    \b
    Example:
      mnist-tfx data fetch digits --to digits --form csv
    """
    files = fetching.fetch_mnist(to) if name == "mnist" else fetching.fetch_digits(to, form)  # type: ignore[arg-type]  # click has checked the choice
    if as_json:
        print_answer(Answer(data={"files": [{"path": str(f), "sha256": sha256_file(f)} for f in files]}))
        return
    for file in files:
        click.echo(file)


@data.command()
@click.argument("path", type=InputPath(), metavar="PATH")
@click.option("--schema", type=InputFolder(), metavar="FOLDER", help="Folder with your reviewed schemas.")
@options.as_json
def inspect(path: Path, schema: Path | None, as_json: bool) -> int:
    """Say what would be read of a file or folder, whether a reviewed schema fits, and which commands to use.

    All rows are read, and nothing is written. The exit code is 1 where a run would refuse the data before it trains
    anything, and 2 where it cannot be read.

    \b
    Example:
      mnist-tfx data inspect ~/mnist
      mnist-tfx data inspect letters/ --schema schemas --json
    """
    from pipeline.datasets import inspection

    with progress.bars(LONG) as show:
        found = inspection.inspect(path, schema=schema, show=show)
    if as_json:
        print_answer(Answer(data=found.to_dict(), findings=bool(found.problems)))
    else:
        for line in _inspection_lines(found):
            click.echo(printable(line))
    return ExitCode.FINDINGS if found.problems else ExitCode.OK


def _inspection_lines(found: Inspection) -> Iterator[str]:
    """Yield what was seen, a line to a thing, and the commands at the end."""
    names = [file.name for file in found.files]
    yield f"form         {found.form}: {_first(names)}"
    if found.ignored:
        yield f"ignored      {_first([file.name for file in found.ignored])}"
    yield f"rows         {', '.join(f'{split} {rows}' for split, rows in found.rows.items())}"
    yield f"images       {found.shape[0]}x{found.shape[1]}, pixels 0 to {found.highest}"
    yield f"orientation  {_orientation(found)}"
    column = "" if found.label is None else f", in the column {found.label}"
    last = found.label_offset + found.label_count - 1
    yield f"labels       {found.label_offset} to {last}{column}"
    yield from _class_lines(found)
    yield f"duplicates   {_duplicates(found)}"
    yield f"schema       {_schema(found)}"
    yield from (f"problem      {problem}" for problem in found.problems)
    yield from (f"note         {note}" for note in found.notes)
    if found.commands:
        yield "next"
    yield from (f"  {command}" for command in found.commands)


def _first(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _orientation(found: Inspection) -> str:
    if found.orientation is None:
        return "cannot be told from these images" + (": taken for transposed, by their name" if found.transpose else "")
    return found.orientation + (", dark on light" if found.inverted else ", light on dark")


def _class_lines(found: Inspection) -> Iterator[str]:
    width = max(len(found.name_of(label)) for label in range(found.label_count))
    for label in range(found.label_count):
        counts = "  ".join(f"{split} {counts[label]:>6}" for split, counts in found.counts.items())
        heading = "classes" if not label else ""
        yield f"{heading:<13}{found.name_of(label):<{width}}  {counts}"


def _duplicates(found: Inspection) -> str:
    within = ", ".join(f"{rows} in {split}" for split, rows in found.duplicates.within.items() if rows)
    between = f"{found.duplicates.between} images of test in train" if found.duplicates.between else ""
    return "; ".join(filter(None, (within, between))) or "none"


def _schema(found: Inspection) -> str:
    if found.schema is not None:
        return f"{found.geometry} is reviewed, and fits"
    return (
        f"{found.geometry} is reviewed, and does not fit" if found.reviewed else f"{found.geometry} is not reviewed yet"
    )
