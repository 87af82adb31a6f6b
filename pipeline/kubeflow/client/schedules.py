"""Schedules (recurring runs) on a server: created, replaced, listed, deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.connection import Connection, create_once, equals
from pipeline.kubeflow.client.submission import Work, experiment_id, packed
from pipeline.kubeflow.client.timetable import Timetable
from pipeline.kubeflow.client.transport import OTHER_VERSION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A recurring run, as the server tells it.

    Attributes:
      id: its id.
      name: its name.
      due: `cron ...` or `every ... s`.
      enabled: whether it starts runs.
      max_concurrency: how many of its runs may go on at a time.
      catch_up: whether runs that were missed are made up for.
      experiment_id: the experiment that it belongs to.
    """

    id: str
    name: str
    due: str
    enabled: bool
    max_concurrency: int | None
    catch_up: bool
    experiment_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A schedule to be made.

    Attributes:
      name: its name.
      work: what it runs.
      timetable: when.
      max_concurrency: how many of its runs may go on at a time, 1 to 10.
      catch_up: whether to make up for runs that were missed.
      replace: whether it takes the place of a schedule of the same name in the same experiment.
    """

    name: str
    work: Work
    timetable: Timetable
    max_concurrency: int = 1
    catch_up: bool = False
    replace: bool = False


def create(
    connection: Connection, plan: Plan, *, begun: Callable[[], None] = lambda: None
) -> tuple[Schedule, tuple[Schedule, ...]]:
    """Make a schedule, and remove those that it replaces once it is there.

    Args:
      connection: the server.
      plan: what to make.
      begun: is called before the server is asked to change anything.

    Returns:
      The new one, and those that it replaced.

    Raises:
      BadInput: if the name is taken and `plan.replace` is not set, or it is and only another experiment has one to replace.
      MnistTfxError: as `create_once`; after a lost answer there is one new schedule or none, never two.
    """
    before, elsewhere = _by_experiment(connection, plan.name, plan.work.experiment_name)
    if before and not plan.replace:
        raise BadInput(
            "a schedule of this name is there already",
            where=plan.name,
            got=f"{before[0].due}, id {before[0].id}",
            hint="--replace puts this one in its place, --name gives it another name",
        )
    if elsewhere and not before and plan.replace:
        hint = "without --replace this one is put beside it"
        raise _in_another(connection, elsewhere[0], plan.work.experiment_name, hint)
    old = {schedule.id for schedule in before}
    experiment = experiment_id(connection, plan.work.experiment_name)

    def find() -> Schedule | None:
        ours = (candidate for candidate in listed(connection, plan.name) if candidate.experiment_id == experiment)
        return next((candidate for candidate in ours if candidate.id not in old), None)

    with packed(plan.work) as arguments:

        def make() -> Schedule:
            return _request(connection, plan, {"experiment_id": experiment, **arguments})

        begun()
        new = create_once(make, find, connection.address.retry, "schedule")
    for schedule in before:
        _remove_replaced(connection, schedule, new)
    return new, before


def listed(connection: Connection, name: str | None = None) -> tuple[Schedule, ...]:
    """Return the schedules, all or those with a name; raises as `Connection.call`."""
    chosen = {} if name is None else {"filter": equals(display_name=name)}
    namespace = connection.address.namespace
    answers = connection.paginate(connection.kfp.list_recurring_runs, "recurring_runs", namespace=namespace, **chosen)
    return tuple(_schedule(one) for one in answers)


def delete(
    connection: Connection, name: str, experiment: str | None = None, *, begun: Callable[[], None] = lambda: None
) -> tuple[Schedule, ...]:
    """Remove the schedules of an experiment that have a name, and return them; runs that they started go on.

    Args:
      connection: the server.
      name: theirs.
      experiment: name of the experiment; by default `name`, as both are by default the pipeline's.
      begun: is called before the server is asked to change anything.

    Raises:
      BadInput: if there is none, or only in another experiment.
      MnistTfxError: as `Connection.call`.
    """
    ours, elsewhere = _by_experiment(connection, name, experiment or name)
    if elsewhere and not ours:
        raise _in_another(connection, elsewhere[0], experiment or name)
    if not ours:
        names = ", ".join(sorted({schedule.name for schedule in listed(connection)})) or "none"
        raise BadInput("no such schedule", where=connection.address.api, wanted=f"one of {names}", got=name)
    begun()
    for schedule in ours:
        _remove(connection, schedule)
    return ours


def _by_experiment(
    connection: Connection, name: str, experiment: str
) -> tuple[tuple[Schedule, ...], tuple[Schedule, ...]]:
    """Return the schedules with a name: those of an experiment, and those of others."""
    same_name = listed(connection, name)
    wanted = cluster_runs.experiment_id(connection, experiment) if same_name else None
    ours = tuple(schedule for schedule in same_name if schedule.experiment_id == wanted)
    return ours, tuple(schedule for schedule in same_name if schedule not in ours)


def _in_another(connection: Connection, schedule: Schedule, wanted: str, hint: str | None = None) -> BadInput:
    owner = connection.call(connection.kfp.get_experiment, experiment_id=schedule.experiment_id).display_name
    meant = f"--experiment {owner} means that one"
    return BadInput(
        "a schedule of another experiment has this name",
        where=schedule.name,
        wanted=f"one in experiment {wanted}",
        got=f"{schedule.due}, id {schedule.id}, in experiment {owner}",
        hint=meant if hint is None else f"{meant}, {hint}",
    )


def _request(connection: Connection, plan: Plan, arguments: dict[str, Any]) -> Schedule:
    answer = connection.call(
        connection.kfp.create_recurring_run,
        job_name=plan.name,
        cron_expression=plan.timetable.cron,
        interval_second=plan.timetable.every,
        start_time=plan.timetable.start,
        end_time=plan.timetable.end,
        max_concurrency=plan.max_concurrency,
        no_catchup=not plan.catch_up,
        **arguments,
    )
    return _schedule(answer)


def _schedule(answer: Any) -> Schedule:
    if not answer.recurring_run_id:
        raise EnvironmentProblem("an answer about a schedule that has no id", hint=OTHER_VERSION)
    cron = getattr(answer.trigger, "cron_schedule", None)
    period = getattr(answer.trigger, "periodic_schedule", None)
    return Schedule(
        id=str(answer.recurring_run_id),
        name=str(answer.display_name or ""),
        due=f"cron {cron.cron}" if cron is not None else f"every {getattr(period, 'interval_second', '?')} s",
        enabled=answer.status == "ENABLED" or (answer.status is None and answer.mode == "ENABLE"),
        max_concurrency=None if answer.max_concurrency is None else int(answer.max_concurrency),
        catch_up=not answer.no_catchup,
        experiment_id=answer.experiment_id or None,
    )


def _remove_replaced(connection: Connection, old: Schedule, new: Schedule) -> None:
    try:
        _remove(connection, old)
    except MnistTfxError as err:
        hint = f"two are there now: remove {old.id}, or {new.id}, which is new ({err})"
        raise EnvironmentProblem("the replaced schedule could not be removed", where=new.name, hint=hint) from err


def _remove(connection: Connection, schedule: Schedule) -> None:
    # Disabled first: so it starts no run any more, even if the next request is lost.
    for method in (connection.kfp.disable_recurring_run, connection.kfp.delete_recurring_run):
        connection.call(method, recurring_run_id=schedule.id)
