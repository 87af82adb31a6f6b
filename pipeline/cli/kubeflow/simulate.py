"""`mnist-tfx kubeflow simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from components.digest import sha256_file
from pipeline.cli import options
from pipeline.cli.output import (
    Answer,
    audit_answer,
    below_here,
    print_answer,
    print_error,
    print_line,
    print_results,
    print_time,
    verdict_lines,
)
from pipeline.cli.parameters import InputFile, NewRoot, OneOf, Pair, PairWithFolder, Text
from pipeline.kubeflow import document, run_parameters
from pipeline.process.output import own_console
from pipeline.runner.progress import RunView

if TYPE_CHECKING:
    from pipeline.kubeflow.simulate.outcome import Simulated

DEFAULT_ROOT: Final = "runs/simulated"


def _folders(_: click.Context, __: click.Parameter, given: tuple[tuple[str, Path], ...]) -> dict[str, Path]:
    return dict(given)


@options.command()
@click.argument("file", type=InputFile())
@click.option(
    "--root",
    type=NewRoot(),
    metavar="FOLDER",
    default=DEFAULT_ROOT,
    show_default=True,
    help="Folder that stands for the pipeline root; `lineage` takes it afterwards.",
)
@click.option(
    "--param", "params", multiple=True, type=Pair(), metavar="NAME=VALUE", help="Runtime parameter; repeatable."
)
@click.option(
    "--bucket",
    "buckets",
    multiple=True,
    type=PairWithFolder("URI=DIR"),
    metavar="URI=DIR",
    callback=_folders,
    help="Folder that stands for another place in a bucket, such as the data's.",
)
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    type=PairWithFolder("CLAIM=DIR"),
    metavar="CLAIM=DIR",
    callback=_folders,
    help="Folder that stands for a volume; the one that models are served from is serving/ in the root.",
)
@click.option("--target", type=OneOf(document.TARGETS), help="Platform.  [default: by the file's form]")
@click.option(
    "--image",
    type=Text("image"),
    metavar="IMAGE",
    help="Run each task in a container of this image by podman, under the restricted Pod Security Standard.",
)
@click.option("--no-cache", is_flag=True, help="Execute every task.")
@click.option("--run-id", type=Text("run id"), hidden=True, help="Id of the run, instead of a new one.")
@click.option("-v", "--verbose", is_flag=True, help="Say where the log is.")
@options.as_json
def simulate(  # noqa: PLR0913  # one argument to each option
    file: Path,
    root: Path,
    params: tuple[str, ...],
    buckets: dict[str, Path],
    volumes: dict[str, Path],
    target: str | None,
    image: str | None,
    no_cache: bool,
    run_id: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Execute a compiled file here, each task in a process, under the rules that a cluster applies.

    A task gets what Kubeflow Pipelines or Vertex AI would send it, and its outputs are kept or refused as they would be.
    A task that fails is retried as often as the file says, whatever it failed of; the exit code is that of the kind
    which its message tells, since a cluster shows 1 for all. The root can be audited afterwards. Nothing is downloaded. Containers run this installation, or with --image what is in that image, whichever the file names:
    as another user, with no capability, no network and a root that cannot be written to.

    \b
    Example:
      mnist-tfx kubeflow simulate p.yaml
      mnist-tfx kubeflow simulate p.yaml --root runs/sim --param source=embedded
      mnist-tfx kubeflow simulate p.yaml --image localhost/mnist-tfx:dev
      mnist-tfx kubeflow simulate p.yaml --bucket minio://mlpipeline/data/mnist=~/mnist
    """
    from pipeline.kubeflow.lint.check import require_accepted
    from pipeline.kubeflow.simulate import run
    from pipeline.kubeflow.simulate.container import Container

    # With --json standard output carries the answer alone.
    console = own_console(stderr=as_json)
    compiled = document.read(file)
    sha256 = sha256_file(file)
    parameters = run_parameters.values(compiled, params, macros=())
    require_accepted(compiled.submitted(None, parameters), target)
    request = run.Options(
        root=root,
        parameters=parameters,
        buckets=buckets,
        volumes=volumes,
        reuse=not no_cache,
        run_id=run_id,
        target=target or compiled.target,
        container=None if image is None else Container(image=image),
    )
    finished = run.simulate(compiled, request, RunView(console))
    if verbose:
        print_line(console, f"log: {finished.log}")
    answer = _answer(finished, sha256)
    if as_json:
        print_answer(answer)
    else:
        _print_summary(finished, console)
    if finished.error is not None:
        if not as_json:
            print_line(console, f"log       {below_here(finished.log)}")
        print_error(finished.error)
    return answer.exit_code


def _answer(finished: Simulated, sha256: str) -> Answer:
    """Return the answer: the audit's, where nothing went wrong before it."""
    data = {**finished.to_dict(), "file_sha256": sha256}
    if finished.error is not None:
        return Answer(data=data, error=finished.error)
    return audit_answer([] if finished.audit is None else [finished.audit], data)


def _print_summary(finished: Simulated, console: Console) -> None:
    data = finished.to_dict()
    print_results(data, finished.root, console)
    if finished.nothing_to_do is not None:
        print_line(console, f"\n{finished.nothing_to_do}")
    if finished.audit is not None:
        for line in verdict_lines(finished.audit):
            print_line(console, line)
    print_time(data, console)
