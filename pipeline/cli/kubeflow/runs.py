"""`mnist-tfx kubeflow runs`."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Integer, OneOf
from pipeline.cli.parameters import Text as Name
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.cluster_runs import ClusterRun
from pipeline.kubeflow.client.connection import Address, connect

COLORS = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "CANCELED": "yellow"}


@options.command()
@cluster_options.server()
@click.option("--experiment", type=Name(), metavar="NAME", help="Those of one experiment alone.")
@click.option("--state", type=OneOf(cluster_runs.STATES), help="Those in one state alone.")
@click.option("--limit", type=Integer(1, 1_000_000), default=20, show_default=True, help="How many to show at most.")
@options.as_json
def runs(address: Address, experiment: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List the runs on a cluster, newest first.

    \b
    Example:
      mnist-tfx kubeflow runs --host http://localhost:8080 --state RUNNING
    """
    connection = connect(address)
    found = cluster_runs.listed(connection, experiment=experiment, state=state, limit=limit)
    if as_json:
        pages = [{**run.to_dict(), "link": connection.run_page(run.id)} for run in found]
        print_answer(Answer(data={"runs": pages}))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "name", "state", "created", "duration", "schedule"):
        table.add_column(heading, no_wrap=heading == "id", justify="right" if heading == "duration" else "left")
    for run in found:
        table.add_row(*_cells(run))
    cluster_options.table_console().print(table)
    if found:
        click.echo(f"page of a run: {connection.run_page('ID')}")


def _cells(run: ClusterRun) -> tuple[Text, ...]:
    state = Text(printable(run.state), COLORS.get(run.state, ""))
    others = (run.created or "", _duration(run.seconds), printable(run.schedule or ""))
    return (Text(run.id), Text(printable(run.name)), state, *map(Text, others))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
