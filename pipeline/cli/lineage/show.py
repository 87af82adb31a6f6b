"""`mnist-tfx lineage show`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from pipeline.cli import options
from pipeline.cli.lineage.tree import lineage_tree
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Version
from pipeline.lineage import show as served


@options.command()
@click.argument("version", required=False, type=Version())
@options.root
@options.as_json
def show(version: int | None, root: Path, as_json: bool) -> None:
    """Draw the tree from a served version, by default the newest, back to its data files.

    \b
    Example:
      mnist-tfx lineage show 2 --root runs/mnist
    """
    found = served.show(root.absolute(), version)
    if version is None:
        options.warn_of_foreign(root)
    if as_json:
        print_answer(Answer(data=found.to_dict()))
        return
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(lineage_tree(found, console.width if console.is_terminal else None))
