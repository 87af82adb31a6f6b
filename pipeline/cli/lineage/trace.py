"""`mnist-tfx lineage trace`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Version
from pipeline.lineage import trace as tracing
from pipeline.lineage.index import open_lineage

MOST_ROWS = 500
"""In the table; --json has all of them."""


@options.command()
@click.argument("version", required=False, type=Version())
@options.root
@options.as_json
def trace(version: int | None, root: Path, as_json: bool) -> None:
    """List everything upstream of a version, by default the newest that is served.

    Executions come nearest first, with what each made; then the data files. The walk has no limit, and the number of
    nodes visited is printed last.

    \b
    Example:
      mnist-tfx lineage trace 2 --root runs/mnist
    """
    if version is None:
        options.warn_of_foreign(root)
    found = tracing.trace(open_lineage(root.absolute()), version)
    if as_json:
        print_answer(Answer(data=found.to_dict()))
        return
    console = Console(markup=False, highlight=False)
    push = found.push
    state = "served" if push.served else "not served"
    console.print(Text(f"version {push.version}  {push.digest}  {state}  run {push.run_id}", "bold"))
    console.print(_executions(found))
    if len(found.steps) > MOST_ROWS:
        console.print(Text(f"and {len(found.steps) - MOST_ROWS} more executions: --json lists them", "dim"))
    for told in dict.fromkeys(file.imported_from for file in found.data if file.imported_from is not None):
        console.print(Text(f"imported  from {told}"), soft_wrap=True)
    for file in found.data[:MOST_ROWS]:
        rows = "" if file.rows is None else f"  {file.rows} rows"
        console.print(Text(f"data      {file.name}  sha256 {file.payload_digest}{rows}"), soft_wrap=True)
    if len(found.data) > MOST_ROWS:
        console.print(Text(f"and {len(found.data) - MOST_ROWS} more data files: --json lists them", "dim"))
    console.print(Text(f"{found.nodes_visited} nodes visited, {found.edges} edges, {found.depth} deep"))


def _executions(found: tracing.Trace) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("depth", "node", "record", "started", "made"):
        table.add_column(heading, justify="right" if heading == "depth" else "left", no_wrap=heading != "made")
    for depth, step in found.steps[:MOST_ROWS]:
        made = ", ".join(f"{made.type} {made.sha256[:12]}" for made in step.makes)
        table.add_row(str(depth), Text(step.node), step.record[:12], f"{step.started[:19]}Z", Text(made, "dim"))
    return table
