"""`mnist-tfx kubeflow watch`, and the wait of `submit --wait`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import click
from rich.console import Console

from components.errors import CannotTell, EnvironmentProblem, printable
from pipeline.cli import options
from pipeline.cli.again import PROGRAM
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import Answer, print_answer, print_error
from pipeline.cli.parameters import Text
from pipeline.kubeflow.client import cluster_runs, kubernetes_api, run_tasks, submission
from pipeline.kubeflow.client.cluster_runs import SUCCEEDED, ClusterRun
from pipeline.kubeflow.client.connection import Address, Connection, connect
from pipeline.kubeflow.client.run_tasks import RunTask
from pipeline.process.signals import PROCESS, Interrupted
from pipeline.runner.progress import RunView

UNDER_WAY = ("PENDING", "RUNNING")
CANCELED = "CANCELED"
OVER = ("SUCCEEDED", "FAILED", "SKIPPED", CANCELED)


@options.command()
@click.argument("run", type=Text("run"))
@cluster_options.server()
@options.as_json
def watch(run: str, address: Address, as_json: bool) -> int:
    """Show the tasks of a run on a cluster until it is over; exit with 4 unless it succeeded.

    RUN is its id or its name. Ctrl-C ends the watching and not the run.

    \b
    Example:
      mnist-tfx kubeflow watch digits-20260301T020000-1a2b3c --host http://localhost:8080
    """
    connection = connect(address)
    found = cluster_runs.find(connection, run)
    if not as_json:
        click.echo(printable(connection.run_page(found.id)))
    names = cluster_runs.task_names(connection, found.id)
    last, interrupted = watched(connection, cluster_runs.get(connection, found.id, names), names, lambda: None)
    answer = Answer(
        data={"run": last.to_dict(), "link": connection.run_page(last.id)},
        error=interrupted or failure(connection, last),
    )
    if as_json:
        print_answer(answer)
        return answer.exit_code
    return said(answer, last)


def said(answer: Answer, run: ClusterRun) -> int:
    """Say how a run that was waited for ended; return the exit code."""
    if isinstance(answer.error, Interrupted):
        print_error(f"{answer.error}: {answer.error.hint}")
    elif answer.error is not None:
        print_error(answer.error)
    else:
        click.echo(f"{run.state} after {run.seconds or 0:.0f} s")
    return answer.exit_code


def watched(
    connection: Connection, run: ClusterRun, names: Sequence[str], begin: Callable[[], None]
) -> tuple[ClusterRun, Interrupted | None]:
    """Show a run's tasks until it is over.

    Args:
      connection: the server.
      run: as it was last seen.
      names: of the tasks to show.
      begin: is called when signals may break the wait off.

    Returns:
      The run as it was last seen, and what broke the wait off, such as a signal that was held back.
    """
    shown = _Shown(RunView(Console(markup=False, stderr=True, highlight=False)), run)
    shown.view.open(names)
    try:
        begin()
        PROCESS.check()
        shown.update(run)
        return submission.wait(connection, run, shown.update, names), None
    except (KeyboardInterrupt, Interrupted):
        number = signal.SIGINT if PROCESS.arrived is None else PROCESS.arrived.number
        again = f"{PROGRAM} kubeflow watch {run.id} --host {connection.address.api}"
        return shown.run, Interrupted(number, hint=f"the run goes on: `{again}`, or {connection.run_page(run.id)}")
    finally:
        shown.view.close()


class _Shown:
    """What a view shows of a run.

    Attributes:
      view: where.
      run: as it was last seen.
    """

    def __init__(self, view: RunView, run: ClusterRun) -> None:
        self.view = view
        self.run = run
        self._states: dict[str, str] = {}

    def update(self, run: ClusterRun) -> None:
        """Show what has changed."""
        if run.state != self.run.state:
            self.view.say(printable(f"{run.name}: {run.state}"))
        self.run = run
        for task in run.tasks:
            if task.state != self._states.get(task.name):
                self._show(task)
        if run.is_finished and self._states:
            for task in run.tasks:
                if task.name not in self._states:
                    self.view.finished(task.name, "skipped", None, "")

    def _show(self, task: RunTask) -> None:
        if task.state in UNDER_WAY and self._states.get(task.name) not in UNDER_WAY:
            self.view.started(task.name)
        elif task.state in OVER:
            self.view.finished(task.name, task.state.lower(), task.seconds, printable(task.message or ""))
        if task.state in (*UNDER_WAY, *OVER):
            self._states[task.name] = task.state


def failure(connection: Connection, run: ClusterRun) -> EnvironmentProblem | None:
    """Return how a run failed, with what the pod of the first failed task said; None if it succeeded."""
    if run.state == SUCCEEDED:
        return None
    failed = [task for task in run.tasks if task.state == "FAILED"]
    messages = {task.name: task.message for task in failed if task.message} or _pod_messages(connection, run.id)
    task = next(iter(messages), failed[0].name if failed else None)
    command = run_tasks.command_for_messages(run.id, connection.address.namespace)
    return EnvironmentProblem(
        f"the run ended {run.state}{f': {run.error}' if run.error else ''}",
        where=task,
        got=messages.get(task or ""),
        hint=f"its page is {connection.run_page(run.id)}",
        commands=() if messages or run.state == CANCELED else (command,),
    )


def _pod_messages(connection: Connection, run_id: str) -> dict[str, str]:
    """Ask Kubernetes, if there is a kubeconfig; a cluster that is another one has no pods of this run."""
    try:
        kubernetes = kubernetes_api.connect(timeout=connection.address.retry.timeout)
    except CannotTell:
        return {}
    return run_tasks.pod_messages(kubernetes, run_id, connection.address.namespace)
