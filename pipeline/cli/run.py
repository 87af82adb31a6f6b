"""`mnist-tfx run`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import BadInput, ExitCode
from components.settings import Export
from pipeline.cli import options, person_options, progress
from pipeline.cli.main import leave
from pipeline.cli.output import (
    Answer,
    below_here,
    print_answer,
    print_error,
    print_line,
    print_results,
    print_time,
    say,
)
from pipeline.cli.parameters import (
    Checked,
    Data,
    InputFile,
    InputFolder,
    Integer,
    MetadataStore,
    NewRoot,
    OneOf,
    OutputFile,
    Recipe,
)
from pipeline.cli.parsing import checked_by
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request, check
from pipeline.config.sweep import MOST, check_points, parse, points
from pipeline.process.output import own_console
from pipeline.process.signals import PROCESS
from pipeline.runner.progress import STYLES, RunView
from pipeline.stages import STAGES

if TYPE_CHECKING:
    from pipeline.provenance.keys import PrivateKey
    from pipeline.runner import local
    from pipeline.runner.dry_run import DryRun  # brings TFX


def _kinds(text: str) -> None:
    for kind in text.split(","):
        OneOf(get_args(Export)).read(kind.strip(), "--export")


def _consistent(given: Mapping[str, Any]) -> None:
    """Check the recipe with everything that changes it, and what has to go together."""
    sweeps = given.get("sweep") or ()
    if given.get("jobs") is not None and not sweeps:
        raise BadInput("is the number of candidates at a time", where="--jobs", wanted="--sweep as well")
    if sweeps:
        check_points(points(_request(given), sweeps, given.get("sweep_limit") or MOST), given["force"] or ())
    else:
        check(_request(given), given["force"] or ())


def _request(given: Mapping[str, Any]) -> Request:
    """Return the request of the options that there are values for."""
    values = {field.name: given.get(field.name) for field in dataclasses.fields(Request)}
    if given.get("export") is not None:
        values["overrides"] = (*(values["overrides"] or ()), f"classifier.exports=[{given['export']}]")
    return Request(**{name: value for name, value in values.items() if value is not None})


@options.command()
@click.option(
    "--data",
    multiple=True,
    type=Data(),
    metavar="PATH",
    help="Folder or file with IDX or CSV images, here or at s3://, gs:// or hdfs://; may be repeated. With {SPAN}, or "
    "{YYYY}, {MM} and {DD}, in it: the newest span.  [default: the embedded UCI digits]",
)
@click.option(
    "--spans",
    type=Integer(1, 1_000_000),
    default=1,
    metavar="N",
    help="Take the newest N spans as one data set.  [default: 1]",
)
@click.option(
    "--recipe",
    type=Recipe(),
    metavar="NAME|FILE",
    help="Name of a recipe, or a YAML file.  [default: by the images' shape]",
)
@options.profile
@options.form_and_label
@options.reading
@options.exclude
@click.option("--schema", type=InputFolder(), metavar="FOLDER", help="Folder with your reviewed schemas.")
@click.option(
    "--root",
    type=NewRoot(),
    metavar="FOLDER",
    help="Folder for everything the run leaves.  [default: runs/<recipe>]",
)
@click.option(
    "--metadata",
    type=MetadataStore(new=True),
    metavar="URL|FILE",
    help="Metadata store: mysql://user@host:port/database, grpc://host:port or a file; a password is better kept in "
    "MNIST_TFX_METADATA_PASSWORD.  [default: SQLite, in the root]",
)
@options.overrides
@click.option(
    "--export",
    type=Checked(_kinds, name="kind", as_given=True),
    metavar="KIND,...",
    help="Write the trained model in further forms: keras, h5 (Keras' own files) and frozen (a graph without variables).",
)
@options.seed
@click.option(
    "--sweep",
    multiple=True,
    type=Checked(parse, name="sweep", as_given=True),
    metavar="KEY=[VALUE,...]",
    help="Train a candidate with each value, and with each combination where it is repeated; push the best by validation.",
)
@click.option(
    "--sweep-limit",
    type=Integer(1, 10_000),
    default=MOST,
    metavar="N",
    help=f"The most combinations of a sweep.  [default: {MOST}]",
)
@click.option(
    "--jobs",
    type=Integer(1, 1_000),
    metavar="N",
    help="Candidates of a sweep to train at a time.  [default: as many as memory and cores allow]",
)
@options.device
@options.beam
@click.option(
    "--resume/--rebuild",
    default=True,
    help="Go on from the checkpoint of an interrupted training, or train anew, whatever there is.  [default: --resume]",
)
@click.option("--no-cache", is_flag=True, help="Execute every node.")
@click.option(
    "--force", multiple=True, type=OneOf(STAGES), metavar="NODE", help="Execute this node, and what depends on it."
)
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe, what would execute, and why.")
@click.option(
    "--sign-key",
    type=InputFile(),
    metavar="FILE",
    help="Private key to sign the served version's provenance with; see `lineage keygen`.",
)
@click.option("--stage", is_flag=True, help="Push to staged/, where no server looks; `serving promote` serves it.")
@person_options.by(required=False, help="Who starts the run, to be kept on record; @git takes Git's user.name.")
@click.option("-v", "--verbose", is_flag=True, help="Say where the log is.")
@click.option(
    "--trace",
    type=OutputFile(),
    metavar="FILE",
    help="Write what each process did when, for ui.perfetto.dev, and print where the most time went.",
)
@options.on_failure
@options.as_json
@checked_by(_consistent)
def run(  # noqa: PLR0913  # one argument to each option that is no part of the request
    resume: bool,
    no_cache: bool,
    force: tuple[str, ...],
    dry_run: bool,
    sign_key: Path | None,
    verbose: bool,
    trace: Path | None,
    as_json: bool,
    export: str | None,
    sweep: tuple[str, ...],
    sweep_limit: int,
    jobs: int | None,
    **request: Any,
) -> int:
    """Run the whole pipeline: ingest, check, train, evaluate and push.

    \b
    Example:
      mnist-tfx run                                    # the embedded UCI digits
      mnist-tfx run --data ~/mnist --root runs/mnist
      mnist-tfx run --data s3://bucket/mnist --root runs/mnist  # fetched once, and again what has changed
      mnist-tfx run --data 'daily/span-{SPAN}/' --spans 7  # a rolling week; does nothing if nothing is new
      mnist-tfx run --set classifier.epochs=3 --seed 1
      mnist-tfx run --sweep 'classifier.layers=[[64],[128,64]]' --sweep 'seed=[0,1,2]'  # six; the best is pushed
      mnist-tfx run --recipe optdigits-cnn --data ~/optdigits --export keras,frozen
      mnist-tfx run --stage                            # `serving promote` puts it into service
      mnist-tfx run --dry-run                          # what would execute, and why
      mnist-tfx run --on-failure 'mail -s "$MNIST_TFX_ERROR" ops < /dev/null'  # from cron, say
      mnist-tfx run --trace trace.json                 # where the time went
      mnist-tfx run --device gpu --strategy mirrored   # all GPUs, or exit 4
      mnist-tfx run --beam portable                    # worker processes, as on a Beam cluster
      mnist-tfx run --beam flink --beam-option help    # what there is to say about Flink
    """
    from pipeline.runner import (
        local,  # brings what a run works with: 0.2 s that no refusal of an option should wait for
    )

    asked = _request({**request, "export": export})
    reuse = Reuse(none=no_cache, except_for=frozenset(force), trainings=resume)
    # With --json standard output carries the answer alone.
    console = own_console(stderr=as_json)

    if trace is not None:
        # Ends with the command, in whatever way that ends.
        click.get_current_context().with_resource(_traced(trace, console))
    if sweep:
        from pipeline.cli import sweep as sweeping

        key = None if dry_run or sign_key is None else _private_key(sign_key)
        found = points(asked, sweep, sweep_limit)
        if dry_run:
            return sweeping.plan(found, reuse, console, as_json=as_json)
        return sweeping.run(found, reuse, console, jobs=jobs, sign_key=key, verbose=verbose, as_json=as_json)
    if dry_run:
        with progress.bars() as show:
            planned = local.plan(asked, reuse, say, show, leave=leave)
        _print_plan(planned, console, as_json=as_json)
        return ExitCode.OK
    key = None if sign_key is None else _private_key(sign_key)
    finished = local.run(asked, reuse, RunView(console), sign_key=key, verbose=verbose, leave=leave)
    with PROCESS.held_back():
        answer = Answer(data=finished.to_dict(), error=finished.outcome.error)
        _print_end(finished, answer, console, as_json=as_json)
    return answer.exit_code


@contextlib.contextmanager
def _traced(path: Path, console: Console) -> Iterator[None]:
    from pipeline.process import trace
    from pipeline.runner.local import process_age

    age = process_age()
    with trace.traced(path, "mnist-tfx run", trace.now() - age) as written:
        yield
    for whole in written:
        print_line(console, f"trace     {below_here(path)}")
        for share in whole.largest():
            print_line(console, f"{share.seconds:9.2f} s  {share.process}: {share.name}")


def _private_key(path: Path) -> PrivateKey:
    from pipeline.provenance import keys
    from pipeline.provenance.keys import passphrase

    return keys.load_private(path, passphrase)


def _print_plan(plan: DryRun, console: Console, *, as_json: bool) -> None:
    data = plan.to_dict()
    if as_json:
        print_answer(Answer(data=data))
        return
    console.print(Text(yaml.safe_dump(data["settings"], sort_keys=False)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "would be", "why"):
        table.add_column(heading)
    for node in data["nodes"]:
        shown = "cached" if node["state"] == "cached" else "executed"
        table.add_row(node["id"], Text(shown, STYLES[shown]), Text(node["why"], "dim"))
    console.print(table)
    if data["rows"] is not None:
        print_line(console, "\ndata      " + ", ".join(f"{split} {rows} rows" for split, rows in data["rows"].items()))


def _print_end(finished: local.Finished, answer: Answer, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_answer(answer)
    elif finished.nothing_to_do is not None:
        print_line(console, finished.nothing_to_do)
    else:
        data = finished.to_dict()
        print_results(data, finished.root, console)
        if answer.error is not None and finished.log is not None:
            print_line(console, f"log       {below_here(finished.log)}")
        print_time(data, console)
    if answer.error is not None:
        print_error(answer.error)
