"""Runs on a server, newest first, or one of them by its id or name."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from components.errors import BadInput, EnvironmentProblem
from pipeline.kubeflow.client import run_tasks
from pipeline.kubeflow.client.connection import Connection, equals
from pipeline.kubeflow.client.run_tasks import RunTask
from pipeline.kubeflow.client.transport import OTHER_VERSION, NotFound

SUCCEEDED: Final = "SUCCEEDED"
OVER: Final = (SUCCEEDED, "FAILED", "SKIPPED", "CANCELED")
"""States that nothing follows; kfp's own list lacks the last, so that it waits for a canceled run for ever."""

STATES: Final = ("PENDING", "RUNNING", "PAUSED", "CANCELING", *OVER)

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterRun:
    """One run, as the server tells it.

    Attributes:
      id: its id.
      name: its name, which several runs may have.
      state: one of `STATES`, or another of a newer server.
      created: UTC time, ISO 8601; None if the server does not say.
      seconds: from then to its end, or to now while it goes on; None if that is not known.
      experiment_id: the experiment that it belongs to.
      schedule: name of the schedule that started it, its id if the schedule is gone; None for a single run.
      error: what the server says went wrong.
      tasks: those that were asked for.
    """

    id: str
    name: str
    state: str
    created: str | None
    seconds: float | None
    experiment_id: str | None
    schedule: str | None = None
    error: str | None = None
    tasks: tuple[RunTask, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether it will not change any more."""
        return self.state in OVER

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return dataclasses.asdict(self)


def listed(
    connection: Connection, *, experiment: str | None = None, state: str | None = None, limit: int = 20
) -> tuple[ClusterRun, ...]:
    """Return runs, newest first.

    Args:
      connection: the server.
      experiment: name of the one that they belong to; by default any.
      state: one of `STATES`; by default any.
      limit: how many at most.

    Raises:
      BadInput: if there is no such experiment.
      MnistTfxError: as `Connection.call`.
    """
    chosen: dict[str, Any] = {} if experiment is None else {"experiment_id": experiment_named(connection, experiment)}
    if state is not None:
        chosen["filter"] = equals(state=state)
    answers = connection.paginate(connection.kfp.list_runs, "runs", sort_by="created_at desc", **chosen)
    runs = [from_answer(one) for one in itertools.islice(answers, limit)]
    names = _schedule_names(connection) if any(run.schedule for run in runs) else {}
    return tuple(dataclasses.replace(run, schedule=names.get(run.schedule or "", run.schedule)) for run in runs)


def find(connection: Connection, wanted: str) -> ClusterRun:
    """Return the run with this id or this name.

    Raises:
      BadInput: if there is none, or several have the name.
      MnistTfxError: as `Connection.call`.
    """
    if _ID.fullmatch(wanted):
        try:
            return get(connection, wanted)
        except NotFound as err:
            raise _no_such(connection, wanted) from err
    result = list(with_name(connection, wanted))
    if not result:
        raise _no_such(connection, wanted)
    if len(result) > 1:
        ids = ", ".join(run.id for run in result[:5])
        raise BadInput(f"{len(result)} runs have this name", where=wanted, wanted=f"an id: {ids}")
    return result[0]


def get(connection: Connection, run_id: str, tasks: Iterable[str] = ()) -> ClusterRun:
    """Return a run as it stands now, with these of its tasks.

    Raises:
      NotFound: if there is none.
      MnistTfxError: as `Connection.call`.
    """
    answer = connection.call(connection.kfp.get_run, run_id=run_id)
    return dataclasses.replace(from_answer(answer), tasks=run_tasks.of_run(answer, tasks))


def task_names(connection: Connection, run_id: str) -> tuple[str, ...]:
    """Return the names of a run's tasks, as far as the server tells; raises as `get`."""
    return run_tasks.names(connection.call(connection.kfp.get_run, run_id=run_id))


def with_name(connection: Connection, name: str, experiment_id: str | None = None) -> Iterator[ClusterRun]:
    """Yield the runs with a name, of one experiment or of all; raises as `Connection.call`."""
    chosen = {} if experiment_id is None else {"experiment_id": experiment_id}
    ours = equals(display_name=name)
    return map(from_answer, connection.paginate(connection.kfp.list_runs, "runs", filter=ours, **chosen))


def experiment_named(connection: Connection, name: str) -> str:
    """Return the id of an experiment.

    Raises:
      BadInput: if there is none.
      MnistTfxError: as `Connection.call`.
    """
    experiment = experiment_id(connection, name)
    if experiment is None:
        experiments = connection.paginate(connection.kfp.list_experiments, "experiments")
        names = ", ".join(str(one.display_name) for one in itertools.islice(experiments, 10))
        raise BadInput("no such experiment", where=connection.address.api, wanted=f"one of {names or 'none'}", got=name)
    return experiment


def experiment_id(connection: Connection, name: str) -> str | None:
    """Return the id of an experiment; None if there is none. Raises as `Connection.call`."""
    experiments = connection.paginate(connection.kfp.list_experiments, "experiments", filter=equals(display_name=name))
    first = next(experiments, None)
    return None if first is None else str(first.experiment_id)


def from_answer(run: Any) -> ClusterRun:
    """Return what the server said about a run.

    Raises:
      EnvironmentProblem: if that has no id.
    """
    if not run.run_id:
        raise EnvironmentProblem("an answer about a run that has no id", hint=OTHER_VERSION)
    return ClusterRun(
        id=str(run.run_id),
        name=str(run.display_name or ""),
        state=str(run.state or "PENDING"),
        created=None if run.created_at is None else _utc(run.created_at).isoformat().replace("+00:00", "Z"),
        seconds=_seconds(run),
        experiment_id=run.experiment_id,
        schedule=run.recurring_run_id or None,
        error=None if run.error is None else run.error.message,
    )


def _seconds(run: Any) -> float | None:
    if run.created_at is None:
        return None
    began = _utc(run.created_at)
    if run.state in OVER:
        # The server's zero is 1970.
        ended = None if run.finished_at is None or _utc(run.finished_at) < began else _utc(run.finished_at)
    else:
        ended = max(began, datetime.datetime.now(datetime.timezone.utc))
    return None if ended is None else round((ended - began).total_seconds(), 1)


def _utc(moment: datetime.datetime) -> datetime.datetime:
    zone = datetime.timezone.utc
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _schedule_names(connection: Connection) -> dict[str, str]:
    namespace = connection.address.namespace
    schedules = connection.paginate(connection.kfp.list_recurring_runs, "recurring_runs", namespace=namespace)
    return {str(one.recurring_run_id): str(one.display_name) for one in schedules}


def _no_such(connection: Connection, wanted: str) -> BadInput:
    return BadInput("no such run", where=connection.address.api, got=wanted, hint="mnist-tfx kubeflow runs lists them")
