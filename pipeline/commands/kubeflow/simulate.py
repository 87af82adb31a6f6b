"""`mnist-tfx kubeflow simulate`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.text import Text

from components.digest import sha256_file
from components.errors import BadInput, MnistTfxError, printable
from pipeline.commands import options
from pipeline.interruption import Interrupted
from pipeline.kubeflow import document
from pipeline.lineage.audit.findings import VERDICTS, Audit
from pipeline.quiet import own_console
from pipeline.view import RunView

if TYPE_CHECKING:
    from pipeline.kubeflow.simulate.outcome import Simulated

DEFAULT_ROOT: Final = "runs/simulated"


def _pairs(
    convert: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, Any]]:
    def parse(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for pair in given:
            name, separator, value = pair.partition("=")
            if not name or not separator:
                raise BadInput("not understood", where=parameter.opts[0], wanted=parameter.metavar, got=pair)
            found[name] = convert(value)
        return found

    return parse


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_ROOT,
    show_default=True,
    help="Folder that stands for the pipeline root; `lineage` takes it afterwards.",
)
@click.option(
    "--param", "parameters", multiple=True, metavar="NAME=VALUE", callback=_pairs(str), help="Runtime parameter."
)
@click.option(
    "--bucket",
    "buckets",
    multiple=True,
    metavar="URI=DIR",
    callback=_pairs(_folder),
    help="Folder that stands for another place in a bucket, such as the data's.",
)
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    metavar="CLAIM=DIR",
    callback=_pairs(_folder),
    help="Folder that stands for a volume; the one that models are served from is serving/ in the root.",
)
@click.option("--target", type=click.Choice(document.TARGETS), help="Platform.  [default: by the file's form]")
@click.option("--no-cache", is_flag=True, help="Execute every task.")
@click.option("--run-id", hidden=True, help="Id of the run, instead of a new one.")
@click.option("-v", "--verbose", is_flag=True, help="Say where the log is.")
@options.as_json
def simulate(  # noqa: PLR0913  # one argument to each option
    file: Path,
    root: Path,
    parameters: dict[str, str],
    buckets: dict[str, Path],
    volumes: dict[str, Path],
    target: str | None,
    no_cache: bool,
    run_id: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Execute a compiled file here, each task in a process, under the rules that a cluster applies.

    A task gets what Kubeflow Pipelines or Vertex AI would send it, and its outputs are kept or refused as they would be.
    The root can be audited afterwards. Nothing is downloaded, and no image is used: containers run this installation.

    \b
    Example:
      mnist-tfx kubeflow simulate p.yaml
      mnist-tfx kubeflow simulate p.yaml --root runs/sim --param source=embedded
      mnist-tfx kubeflow simulate p.yaml --bucket minio://data/mnist=~/mnist
    """
    from pipeline.kubeflow.simulate import outcome, run

    # With --json standard output carries the answer alone.
    console = own_console(stderr=as_json)
    known: dict[str, Any] = {"file_sha256": None}
    try:
        compiled = document.read(file)
        known = {"file_sha256": sha256_file(file)}
        target = target or compiled.target
        asked = run.Options(
            root=root.expanduser().absolute(),
            parameters=parameters,
            buckets=buckets,
            volumes=volumes,
            reuse=not no_cache,
            run_id=run_id,
            target=target,
        )
        finished = run.simulate(compiled, asked, RunView(console))
    except (MnistTfxError, Interrupted) as err:
        if as_json:
            options.print_json({**outcome.not_simulated(err, target), **known})
        click.echo(f"mnist-tfx: {err}", err=True)
        return err.exit_code
    if verbose:
        _line(console, f"log: {finished.log}")
    if as_json:
        options.print_json({**finished.to_dict(), **known})
    else:
        _print_summary(finished, console)
    if finished.error is not None:
        click.echo(f"mnist-tfx: {finished.error}", err=True)
    return finished.exit_code


def _print_summary(finished: Simulated, console: Console) -> None:
    answer = finished.to_dict()
    metrics = answer["metrics"]
    if answer["blessed"] is not None:
        figures = options.figures(metrics, answer["nodes"])
        _line(console, f"\ntest      {figures}   baseline {answer['baseline']}")
    if answer["version"] is not None:
        _line(console, f"served    version {answer['version']} at {answer['serving_path']}")
    if finished.audit is not None:
        _print_audit(finished.audit, console)
        _line(console, f"lineage   mnist-tfx lineage show --root {shlex.quote(str(finished.root))}")
    _line(console, f"time      {answer['total_s']:.1f} s, of which {answer['train_s']:.1f} s training")


def _print_audit(audit: Audit, console: Console) -> None:
    for verdict in VERDICTS:
        first = audit.first(verdict)
        _line(
            console, f"{verdict:<13} {audit.verdicts[verdict]}{'' if first is None else f'  {printable(first.where)}'}"
        )
    for finding in audit.findings:
        _line(console, f"  {finding}")


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)  # paths are for copying: never broken
