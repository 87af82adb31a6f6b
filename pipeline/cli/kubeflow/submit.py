"""`mnist-tfx kubeflow submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.kubeflow.watch import failure, said, watched
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, Text
from pipeline.kubeflow import document, run_parameters
from pipeline.kubeflow.client import submission
from pipeline.kubeflow.client.connection import Address, connect


@options.command()
@click.argument("file", type=InputFile())
@cluster_options.server()
@cluster_options.work
@click.option(
    "--run-name", type=Text(), metavar="NAME", help="Name of the run.  [default: the pipeline's, with the time]"
)
@click.option("--wait", is_flag=True, help="Show its tasks until the run is over; exit with 4 unless it succeeded.")
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
        link = connection.run_page(run.id)
        if not as_json:
            click.echo(printable(f"{run.name}  {run.id}"))
            click.echo(printable(link))
        names = [task.name for task in compiled.in_order()]
        run, interrupted = watched(connection, run, names, untold.close) if wait else (run, None)
        what = {"experiment": asked.experiment_name, "parameters": dict(asked.parameters), "link": link}
        error = interrupted or (failure(connection, run) if wait else None)
        answer = Answer(data={"run": run.to_dict(), **what}, error=error)
        if as_json:
            print_answer(answer)
    return said(answer, run) if wait and not as_json else answer.exit_code
