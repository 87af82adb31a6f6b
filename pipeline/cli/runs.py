"""`mnist-tfx runs list|show|stop`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import BadInput, CannotTell, MnistTfxError, printable
from components.layout import STAGED
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, below_here, figure, print_answer
from pipeline.cli.parameters import Integer
from pipeline.cli.parameters import Text as Name
from pipeline.cli.parsing import Group
from pipeline.provenance import runs as run_records
from pipeline.provenance.choice import part_of
from pipeline.provenance.records import RunRecord
from pipeline.provenance.runs import RUNNING, Unrecorded
from pipeline.root.paths import RunPaths
from pipeline.runner.progress import STYLES

_WIDE: Final = 10_000
"""Columns; rich cuts cells off where its console ends."""


@click.group(cls=Group)
def runs() -> None:
    """List the runs of a root, show one, or end one at work.

    \b
    Example:
      mnist-tfx runs list --root runs/mnist
      mnist-tfx runs show 20260101T1200 --root runs/mnist
      mnist-tfx runs stop --root runs/mnist
    """


@runs.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List all runs, oldest first; the one at work is the last, with what it is doing and since when.

    \b
    Example:
      mnist-tfx runs list
    """
    found, others, by = run_records.runs(root), run_records.unrecorded(root), run_records.starters(root)
    if as_json:
        shown = {"runs": [run.to_dict() for run in found], "unrecorded": [run.to_dict() for run in others]}
        print_answer(Answer(data={**shown, "by": by}))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    parts = {run.run_id: part for run in found if (part := part_of(run))}
    for heading in (
        "run",
        "status",
        "accuracy",
        "version",
        "executed",
        *(["by"] if by else []),
        *(["sweep"] if parts else []),
    ):
        table.add_column(heading)
    for run in found:
        executed = sum(node.state == "executed" for node in run.nodes)
        accuracy = "" if run.metrics is None else figure(run.metrics["accuracy"])
        version = "" if run.version is None else str(run.version)
        cells = (run.run_id, run.status, accuracy, version, f"{executed} of {len(run.nodes)}")
        more = [Text(printable(column.get(run.run_id, ""))) for column in (by, parts) if column]
        table.add_row(*cells, *more)
    for other in others:
        table.add_row(Text(other.run_id), other.state, "", "", Text(_doing(other)))
    # Where the terminal is too narrow, it breaks the line.
    Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE).print(table)


@runs.command("show")
@click.argument("run_id", required=False, type=Name("run id"))
@options.root
@options.as_json
def show(run_id: str | None, root: Path, as_json: bool) -> None:
    """Show one run, by default the one at work or the last: what became of each node, and what came out.

    \b
    Example:
      mnist-tfx runs show
    """
    run = run_records.look_up(root, run_id)
    console = Console(markup=False, highlight=False)
    if isinstance(run, Unrecorded):
        _show_unrecorded(run, RunPaths(root), console, as_json=as_json)
        return
    if as_json:
        print_answer(Answer(data={"run": run.to_dict(), "unrecorded": None}))
        return
    console.print(Text(f"run {run.run_id} of {run.recipe}: {run.status}", "bold"))
    console.print(_nodes(run))
    for source in run.sources:
        console.print(Text(f"data      {source.name}  sha256 {source.payload_digest}"))
    if run.metrics is not None:
        accuracy = figure(run.metrics["accuracy"])
        console.print(Text(f"test      accuracy {accuracy}   baseline {run.baseline}"))
    if run.sweep is not None:
        console.print(Text(f"sweep     {part_of(run)}"))
    if run.version is not None:
        verb = STAGED if str(run.serving_path).startswith(f"{STAGED}/") else "served"
        console.print(Text(f"{verb:<9} version {run.version} at {run.serving_path}"))
    if (by := run_records.starters(root).get(run.run_id)) is not None:
        console.print(Text(f"by        {printable(by)}"))
    if run.error is not None:
        console.print(Text(f"stopped   {_error_of(run.error)}", "red"), soft_wrap=True)
    if (log := RunPaths(root).log(run.run_id)).is_file():
        console.print(Text(f"log       {below_here(log)}"), soft_wrap=True)


@runs.command("stop")
@click.argument("run_id", required=False, type=Name("run id"))
@options.changed_root
@click.option(
    "--timeout",
    type=Integer(0, 86_400),
    default=120,
    metavar="SECONDS",
    help="How long to wait for its end.  [default: 120]",
)
@options.as_json
def stop(run_id: str | None, root: Path, timeout: int, as_json: bool) -> None:
    """End the run at work as Ctrl-C would, and wait until it has recorded what is done; the next run goes on from there.

    \b
    Example:
      mnist-tfx runs stop
    """
    from pipeline.maintenance import stop as stopping

    with progress.bars() as show:
        stopped = stopping.stop(root, run_id, timeout, lambda phase: show(phase, 0, 0))
    ended = _status_of(root, stopped.run_id)
    if as_json:
        print_answer(Answer(data={**dataclasses.asdict(stopped), "status": ended}))
        return
    became = "without a record" if ended is None else ended
    click.echo(f"{stopped.run_id} ended after {stopped.seconds:.1f} s: {became}; it was at: {printable(stopped.phase)}")


def _status_of(root: Path, run_id: str) -> str | None:
    """Return how a run ended, by its record; None for a sweep, whose candidates have records instead."""
    try:
        return run_records.find(root, run_id).status
    except (BadInput, CannotTell):
        return None


def _error_of(fields: Mapping[str, Any]) -> MnistTfxError:
    """Return what stopped a run as it was printed then."""
    parts: Mapping[str, Any] = {part: fields.get(part) for part in ("where", "wanted", "got", "hint")}
    facts, commands = (fields.get(name) or () for name in ("facts", "commands"))
    return MnistTfxError(str(fields["what"]), **parts, facts=facts, commands=commands)


def _show_unrecorded(run: Unrecorded, paths: RunPaths, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_answer(Answer(data={"run": None, "unrecorded": run.to_dict()}))
        return
    recipe = "" if run.presence is None else f" of {run.presence.recipe}"
    console.print(Text(f"run {run.run_id}{recipe}: {run.state}", "bold"))
    if run.presence is not None:
        console.print(Text(f"{'doing' if run.state == RUNNING else 'at':<9} {_doing(run)}"))
        console.print(Text(f"started   {run.presence.started}, process {run.presence.pid} on {run.presence.host}"))
    if (log := paths.log(run.run_id)).is_file():
        console.print(Text(f"log       {below_here(log)}"), soft_wrap=True)


def _doing(run: Unrecorded) -> str:
    """Return the phase of a run, and since when it is in it."""
    return "" if run.presence is None else f"{run.presence.phase}, since {run.presence.since}"


def _nodes(run: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "state", "s", "record", ""):
        table.add_column(heading, justify="right" if heading == "s" else "left", no_wrap=heading != "")
    for node in run.nodes:
        record = "" if node.record is None else node.record[:12]
        state = Text(node.state, STYLES[node.state])
        table.add_row(node.id, state, f"{node.seconds:.1f}", record, Text(node.why, "dim"))
    return table
