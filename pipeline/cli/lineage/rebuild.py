"""`mnist-tfx lineage rebuild`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import OutputFile
from pipeline.maintenance import rebuild as making


@options.command()
@options.changed_root
@click.option(
    "--to",
    "target",
    type=OutputFile(),
    metavar="FILE",
    help="File to write; by default the root's own metadata.db.",
)
@options.as_json
def rebuild(root: Path, target: Path | None, as_json: bool) -> None:
    """Make a metadata store again from records and ledger; never in place of one that opens.

    \b
    Example:
      mnist-tfx lineage rebuild --root runs/mnist
    """
    made = making.rebuild(root.absolute(), target)
    if as_json:
        print_answer(Answer(data=made.to_dict()))
        return
    if made.kept is not None:
        click.echo(printable(f"{made.kept}: the unreadable file that was there"))
    counts = f"{made.runs} runs, {made.executions} executions, {made.artifacts} artifacts, {made.events} events"
    click.echo(printable(f"{made.path}: {counts}"))
