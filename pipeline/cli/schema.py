"""`mnist-tfx schema propose|diff|approve`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from components.errors import BadInput
from components.ingest import discovery
from components.schema_files import schema_file
from components.settings import DataSettings
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, InputFolder, InputPath, Integer, NewFolder, Text
from pipeline.cli.parsing import Group

DRAFTS = Path("schema-drafts")
MINE = Path("schemas")

HELP = "Folder with your reviewed schemas; give it to `run` as well."


@click.group(cls=Group)
def schema() -> None:
    """Propose, compare and approve schemas for new geometries.

    A run only takes data that a reviewed schema describes. For a new geometry: propose a draft from clean data, look
    at it, approve it, and name its folder to `run --schema`.

    \b
    Example:
      mnist-tfx schema propose --data letters/ --pixel-max 255 --labels 26
      mnist-tfx schema approve schema-drafts/28x28-max255-labels26.pbtxt
      mnist-tfx run --data letters/ --recipe letters.yaml --schema schemas
    """


@schema.command()
@click.option("--data", required=True, multiple=True, type=InputPath(), metavar="PATH", help="Clean IDX or CSV files.")
@click.option("--shape", nargs=2, type=Integer(1, 1024), help="Height and width.  [default: from the data]")
@click.option("--pixel-max", required=True, type=Integer(1, 255), help="The largest value a pixel may have.")
@click.option("--labels", default=10, show_default=True, type=Integer(2, 1000), help="Number of classes.")
@click.option(
    "--label", type=Text(), metavar="COLUMN", default="auto", show_default=True, help="Label column of a CSV."
)
@click.option(
    "--to", default=DRAFTS, show_default=True, type=NewFolder(), metavar="FOLDER", help="Folder for the draft."
)
@options.as_json
def propose(  # noqa: PLR0913  # one argument to each option
    data: tuple[Path, ...],
    shape: tuple[int, int] | None,
    pixel_max: int,
    labels: int,
    label: str,
    to: Path,
    as_json: bool,
) -> None:
    """Draft a schema and a reference profile from clean data, thresholds calibrated by bootstraps.

    \b
    Example:
      mnist-tfx schema propose --data letters/ --pixel-max 255 --labels 26
    """
    from pipeline.datasets import schema_review
    from pipeline.datasets.imports.sources import discover

    files = discover(data)
    found = shape or discovery.geometry(files)
    if found is None:
        raise BadInput("the shape cannot be told from the data", where="--data", hint="give --shape HEIGHT WIDTH")
    settings = DataSettings(shape=found, pixel_max=pixel_max, label_count=labels, label=label)
    draft = schema_review.propose(schema_review.read_sources(files, settings), settings, to)
    if as_json:
        print_answer(Answer(data={"draft": str(draft), "says": schema_review.describe(draft)}))
        return
    for sentence in schema_review.describe(draft):
        click.echo(sentence)
    click.echo(f"{draft}\nlook at it, then: mnist-tfx schema approve {draft}")


@schema.command()
@click.argument("draft", type=InputFile())
@click.option("--schema", "folder", type=InputFolder(), metavar="FOLDER", help=f"{HELP}  [default: {MINE}]")
@options.as_json
def diff(draft: Path, folder: Path | None, as_json: bool) -> None:
    """Say in words what approving a draft would change.

    \b
    Example:
      mnist-tfx schema diff schema-drafts/28x28-max255-labels26.pbtxt
    """
    from pipeline.datasets import schema_review

    changes = schema_review.diff(draft, _in_force(draft, folder or MINE))
    if as_json:
        print_answer(Answer(data={"changes": changes}))
        return
    for change in changes or ["no change"]:
        click.echo(change)


@schema.command()
@click.argument("draft", type=InputFile())
@click.option("--schema", "folder", type=NewFolder(), metavar="FOLDER", default=MINE, show_default=True, help=HELP)
@options.as_json
def approve(draft: Path, folder: Path, as_json: bool) -> None:
    """Put a draft you have looked at into force, and pin its digest.

    \b
    Example:
      mnist-tfx schema approve schema-drafts/28x28-max255-labels26.pbtxt
    """
    from pipeline.datasets import schema_review

    digest = schema_review.approve(draft, folder)
    if as_json:
        print_answer(Answer(data={"digest": digest, "folder": str(folder)}))
        return
    click.echo(f"approved {draft.stem} in {folder}, sha256 {digest}")


def _in_force(draft: Path, folder: Path) -> Path | None:
    """Return the schema that a run with or without this folder takes now; None where there is none."""
    for place in (folder, None):
        with contextlib.suppress(BadInput):
            return schema_file(draft.stem, place)
    return None
