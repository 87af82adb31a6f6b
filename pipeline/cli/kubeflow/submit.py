"""`mnist-tfx kubeflow submit`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from components.errors import ExitCode, printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
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
    cluster_options.checked(asked, run_name, skip_lint=skip_lint)
    connection = connect(address)
    with cluster_options.changing() as (begun, untold):
        run = submission.submit(connection, asked, run_name, begun=begun)
        link = connection.link("runs/details", run.id)
        if not as_json:
            click.echo(printable(f"{run.name}  {run.id}"))
            click.echo(printable(link))
        run, interrupted = _waited(connection, run, untold) if wait else (run, False)
        status, error, code = _outcome(run, waited=wait, interrupted=interrupted)
        if as_json:
            answer = {"experiment": asked.experiment_name, "parameters": dict(asked.parameters), "link": link}
            options.print_json({"status": status, "error": error, "run": run.to_dict(), **answer})
    if as_json:
        return code
    if error is not None:
        options.say(error)
    elif wait:
        click.echo(f"{run.state} after {run.seconds or 0:.0f} s")
    return code


def _waited(connection: Connection, run: ClusterRun, untold: contextlib.ExitStack) -> tuple[ClusterRun, bool]:
    """Returns the run as it was last seen, and whether the wait was broken off, as by a signal that was held back."""
    last = run
    with Console(markup=False, stderr=True, highlight=False).status(f"{run.name}: {run.state}") as line:

        def seen(now: ClusterRun) -> None:
            nonlocal last
            if now.state != last.state:
                options.say(f"{now.name}: {now.state}")
            line.update(f"{now.name}: {now.state}, {now.seconds or 0:.0f} s")
            last = now

        try:
            untold.close()
            PROCESS.check()
            return submission.wait(connection, run, seen), False
        except (KeyboardInterrupt, Interrupted):
            return last, True


def _outcome(run: ClusterRun, *, waited: bool, interrupted: bool) -> tuple[str, str | None, int]:
    if interrupted:
        code = ExitCode.INTERRUPTED if PROCESS.arrived is None else PROCESS.arrived.exit_code
        return "interrupted", "no longer waited for, but the run goes on: mnist-tfx kubeflow runs shows it", code
    if waited and run.state != SUCCEEDED:
        return "failed", f"the run ended {run.state}{f': {run.error}' if run.error else ''}", ExitCode.ENVIRONMENT
    return "ok", None, 0
