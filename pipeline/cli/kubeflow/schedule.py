"""`mnist-tfx kubeflow schedule`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from components.errors import BadInput, printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Checked, InputFile, Integer, Text
from pipeline.kubeflow import document, run_parameters
from pipeline.kubeflow.client import schedules, submission, timetable
from pipeline.kubeflow.client.connection import Address, connect
from pipeline.kubeflow.client.schedules import Schedule

_MOMENT = Checked(lambda text: timetable.read(None, "1d", text), name="time", as_given=True)


@options.command()
@click.argument("file", required=False, type=InputFile())
@cluster_options.server()
@click.option(
    "--cron",
    type=Checked(timetable.six_fields, name="cron expression", as_given=True),
    metavar='"S M H D M W"',
    help="When to run: six fields, seconds first, in the cluster's time zone.",
)
@click.option(
    "--every",
    type=Checked(timetable.seconds, name="interval", as_given=True),
    metavar="INTERVAL",
    help="Or how often: a number with s, m, h or d, such as 6h.",
)
@click.option("--start", type=_MOMENT, metavar="TIME", help="No run before this, such as 2026-03-01T02:00:00Z.")
@click.option("--end", type=_MOMENT, metavar="TIME", help="No run after this.")
@click.option("--name", type=Text(), metavar="NAME", help="Name of the schedule.  [default: the pipeline's name]")
@click.option(
    "--max-concurrency",
    type=Integer(1, 10),
    default=1,
    show_default=True,
    help="How many of its runs may go on at a time.",
)
@click.option("--catch-up", is_flag=True, help="Make up for runs that were missed.")
@click.option("--replace", is_flag=True, help="Take the place of the experiment's schedule of this name.")
@cluster_options.work
@click.option("--list", "list_", is_flag=True, help="Show the schedules that are there instead.")
@click.option(
    "--delete",
    type=Text(),
    metavar="NAME",
    help="Remove a schedule of the experiment NAME, or of --experiment, instead.",
)
@options.as_json
def schedule(file: Path | None, address: Address, list_: bool, delete: str | None, as_json: bool, **how: Any) -> None:
    """Have a cluster run a compiled file again and again.

    A name counts within an experiment: what another one has under it is neither replaced nor removed.

    A parameter may hold what the server fills in: [[ScheduledTime]], [[CurrentTime]], [[Index]] or [[RunUUID]].

    \b
    Example:
      mnist-tfx kubeflow schedule p.yaml --host http://localhost:8080 --cron "0 0 2 * * *"
      mnist-tfx kubeflow schedule p.yaml --host http://localhost:8080 --every 6h --replace
      mnist-tfx kubeflow schedule --host http://localhost:8080 --list
    """
    if sum((file is not None, list_, delete is not None)) != 1:
        raise BadInput("what to do", where="schedule", wanted="exactly one of FILE, --list and --delete NAME")
    with cluster_options.changing() as (begun, _):
        if file is not None:
            action, found, replaced = "created", *_created(file, address, begun, **how)
        elif delete is not None:
            gone = schedules.delete(connect(address), delete, how["experiment"], begun=begun)
            action, found, replaced = "deleted", gone, ()
        else:
            action, found, replaced = "listed", schedules.listed(connect(address)), ()
        _tell(action, found, replaced, as_json=as_json)


def _tell(action: str, found: tuple[Schedule, ...], replaced: tuple[Schedule, ...], *, as_json: bool) -> None:
    if as_json:
        shown = {"schedules": [one.to_dict() for one in found], "replaced": [one.to_dict() for one in replaced]}
        print_answer(Answer(data={"action": action, **shown}))
    elif action == "listed":
        _print(found)
    else:
        for verb, one in [(action, one) for one in found] + [("replaced", one) for one in replaced]:
            click.echo(printable(f"{verb} {one.name}  {one.id}  {one.due}"))


def _created(  # noqa: PLR0913  # one argument to each option
    file: Path,
    address: Address,
    begun: Callable[[], None],
    *,
    cron: str | None,
    every: str | None,
    start: str | None,
    end: str | None,
    name: str | None,
    params: tuple[str, ...],
    no_cache: bool,
    skip_lint: bool,
    max_concurrency: int,
    catch_up: bool,
    replace: bool,
    **work: Any,
) -> tuple[tuple[Schedule, ...], tuple[Schedule, ...]]:
    due = timetable.read(cron, every, start, end)
    compiled = document.read(file)
    parameters = run_parameters.values(compiled, params, run_parameters.SCHEDULE_MACROS)
    asked = submission.Work(document=compiled, parameters=parameters, cache=not no_cache, **work)
    cluster_options.checked(asked, name, skip_lint=skip_lint, namespace=address.namespace)
    plan = schedules.Plan(
        name=name or compiled.name,
        work=asked,
        timetable=due,
        max_concurrency=max_concurrency,
        catch_up=catch_up,
        replace=replace,
    )
    new, replaced = schedules.create(connect(address), plan, begun=begun)
    return (new,), replaced


def _print(found: tuple[Schedule, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "name", "due", "", "at a time", "catch-up"):
        table.add_column(heading, no_wrap=heading == "id")
    for one in found:
        state = "enabled" if one.enabled else "disabled"
        concurrency = "" if one.max_concurrency is None else str(one.max_concurrency)
        table.add_row(one.id, printable(one.name), one.due, state, concurrency, "yes" if one.catch_up else "no")
    cluster_options.table_console().print(table)
