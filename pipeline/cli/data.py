"""`mnist-tfx data fetch`."""

from __future__ import annotations

from pathlib import Path

import click

from components.digest import sha256_file
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import NewFolder, OneOf
from pipeline.cli.parsing import Group
from pipeline.datasets import fetch as fetching


@click.group(cls=Group)
def data() -> None:
    """Fetch the UCI digits or MNIST.

    \b
    Example:
      mnist-tfx data fetch mnist --to ~/mnist
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
