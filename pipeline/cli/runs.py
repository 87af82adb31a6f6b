"""`mnist-tfx runs list|show`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import options
from pipeline.cli.output import Answer, figure, print_answer
from pipeline.cli.parameters import Text as Name
from pipeline.cli.parsing import Group
from pipeline.provenance import runs as run_records
from pipeline.provenance.records import RunRecord
from pipeline.runner.progress import STYLES


@click.group(cls=Group)
def runs() -> None:
    """List the runs of a root, or show one.

    \b
    Example:
      mnist-tfx runs list --root runs/mnist
      mnist-tfx runs show 20260101T1200 --root runs/mnist
    """


@runs.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List all runs, oldest first.

    \b
    Example:
      mnist-tfx runs list
    """
    found = run_records.runs(root)
    if as_json:
        print_answer(Answer(data={"runs": [run.to_dict() for run in found]}))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "status", "accuracy", "version", "executed"):
        table.add_column(heading)
    for run in found:
        executed = sum(node.state == "executed" for node in run.nodes)
        accuracy = "" if run.metrics is None else figure(run.metrics["accuracy"])
        version = "" if run.version is None else str(run.version)
        table.add_row(run.run_id, run.status, accuracy, version, f"{executed} of {len(run.nodes)}")
    Console(markup=False, highlight=False).print(table)


@runs.command("show")
@click.argument("run_id", required=False, type=Name("run id"))
@options.root
@options.as_json
def show(run_id: str | None, root: Path, as_json: bool) -> None:
    """Show one run, by default the last: what became of each node, and what came out.

    \b
    Example:
      mnist-tfx runs show
    """
    run = run_records.find(root, run_id)
    if as_json:
        print_answer(Answer(data={"run": run.to_dict()}))
        return
    console = Console(markup=False, highlight=False)
    console.print(Text(f"run {run.run_id} of {run.recipe}: {run.status}", "bold"))
    console.print(_nodes(run))
    for source in run.sources:
        console.print(Text(f"data      {source.name}  sha256 {source.payload_digest}"))
    if run.metrics is not None:
        accuracy = figure(run.metrics["accuracy"])
        console.print(Text(f"test      accuracy {accuracy}   baseline {run.baseline}"))
    if run.version is not None:
        console.print(Text(f"served    version {run.version} at {run.serving_path}"))
    if run.error is not None:
        console.print(Text(f"stopped   {run.error['what']}", "red"))


def _nodes(run: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "state", "s", "record", ""):
        table.add_column(heading, justify="right" if heading == "s" else "left", no_wrap=heading != "")
    for node in run.nodes:
        record = "" if node.record is None else node.record[:12]
        state = Text(node.state, STYLES[node.state])
        table.add_row(node.id, state, f"{node.seconds:.1f}", record, Text(node.why, "dim"))
    return table
