"""`mnist-tfx kubeflow submit`."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from components.errors import EnvironmentProblem, printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import Answer, print_answer, print_error, say
from pipeline.cli.parameters import InputFile, Text
from pipeline.kubeflow import document, run_parameters
from pipeline.kubeflow.client import submission
from pipeline.kubeflow.client.cluster_runs import SUCCEEDED, ClusterRun
from pipeline.kubeflow.client.connection import Address, Connection, connect
from pipeline.process.signals import PROCESS, Interrupted


@options.command()
@click.argument("file", type=InputFile())
@cluster_options.server()
@cluster_options.work
@click.option(
    "--run-name", type=Text(), metavar="NAME", help="Name of the run.  [default: the pipeline's, with the time]"
)
@click.option("--wait", is_flag=True, help="Stay until the run is over; exit with 4 unless it succeeded.")
@options.as_json
def submit(  # noqa: PLR0913  # one argument to each option that is no part of the work
    file: Path,
    address: Address,
    params: tuple[str, ...],
    run_name: str | None,
    no_cache: bool,
    skip_lint: bool,
    wait: bool,
    as_json: bool,
    **work: Any,
) -> int:
    """Start a run of a compiled file on a cluster.

    FILE is what `kubeflow compile --target oss` writes. It is linted first. If the server's answer gets lost, the run is
    looked for, and asked for again only where the server has turned it away. Where it cannot be told whether the run was
    started, that is said, with exit code 4: look for it before you submit again.

    Who uploads FILE by hand has to enter its pipeline root in the form as well: the server does not read it from the file.

    \b
    Example:
      mnist-tfx kubeflow submit p.yaml --host http://localhost:8080 --wait
      mnist-tfx kubeflow submit p.yaml --host https://kubeflow.example/pipeline --namespace me --token-file token \\
        --param source=minio://mlpipeline/data
    """
    compiled = document.read(file)
    asked = submission.Work(
        document=compiled,
        parameters=run_parameters.values(compiled, params, run_parameters.RUN_MACROS),
        cache=not no_cache,
        **work,
    )
    cluster_options.checked(asked, run_name, skip_lint=skip_lint, namespace=address.namespace)
    connection = connect(address)
    with cluster_options.changing() as (begun, untold):
        run = submission.submit(connection, asked, run_name, begun=begun)
        link = connection.link("runs/details", run.id)
        if not as_json:
            click.echo(printable(f"{run.name}  {run.id}"))
            click.echo(printable(link))
        run, interrupted = _waited(connection, run, untold) if wait else (run, None)
        what = {"experiment": asked.experiment_name, "parameters": dict(asked.parameters), "link": link}
        answer = Answer(data={"run": run.to_dict(), **what}, error=interrupted or (_failure(run) if wait else None))
        if as_json:
            print_answer(answer)
    if as_json:
        return answer.exit_code
    if interrupted is not None:
        print_error(f"{interrupted}: {interrupted.hint}")
    elif answer.error is not None:
        print_error(answer.error)
    elif wait:
        click.echo(f"{run.state} after {run.seconds or 0:.0f} s")
    return answer.exit_code


def _waited(
    connection: Connection, run: ClusterRun, untold: contextlib.ExitStack
) -> tuple[ClusterRun, Interrupted | None]:
    """Return the run as it was last seen, and what broke the wait off, such as a signal that was held back."""
    last = run
    with Console(markup=False, stderr=True, highlight=False).status(f"{run.name}: {run.state}") as line:

        def seen(now: ClusterRun) -> None:
            nonlocal last
            if now.state != last.state:
                say(f"{now.name}: {now.state}")
            line.update(f"{now.name}: {now.state}, {now.seconds or 0:.0f} s")
            last = now

        try:
            untold.close()
            PROCESS.check()
            return submission.wait(connection, run, seen), None
        except (KeyboardInterrupt, Interrupted):
            number = signal.SIGINT if PROCESS.arrived is None else PROCESS.arrived.number
            return last, Interrupted(number, hint="the run goes on, and `mnist-tfx kubeflow runs` shows it")


def _failure(run: ClusterRun) -> EnvironmentProblem | None:
    if run.state == SUCCEEDED:
        return None
    return EnvironmentProblem(f"the run ended {run.state}{f': {run.error}' if run.error else ''}")
