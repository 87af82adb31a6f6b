"""`mnist-tfx schema propose|diff|approve|withdraw`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from components.errors import BadInput, printable
from components.schema_files import schema_file
from components.settings import DataSettings
from components.wording import refusal
from pipeline.cli import options, person_options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import FolderToFill, InputData, InputFile, InputFolder, Integer, Recipe, Text
from pipeline.cli.parsing import Group
from pipeline.config.recipe import load_recipe
from pipeline.config.request import reading_overrides
from pipeline.process.signals import PROCESS

if TYPE_CHECKING:
    from components.ingest.data_files import DataFiles

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
@click.option("--data", required=True, multiple=True, type=InputData(), metavar="PATH", help="Clean IDX or CSV files.")
@click.option(
    "--recipe",
    type=Recipe(),
    metavar="NAME|FILE",
    help="Recipe whose `data` says shape, pixel maximum and labels, in place of the options that do.",
)
@click.option("--shape", nargs=2, type=Integer(1, 1024), help="Height and width.  [default: from the data]")
@click.option(
    "--pixel-max", type=Integer(1, 255), help="The largest value a pixel may have; required without --recipe."
)
@click.option("--labels", type=Integer(2, 1000), help="Number of classes.  [default: of the names, or 10]")
@options.form_and_label
@options.reading
@click.option(
    "--to", default=DRAFTS, show_default=True, type=FolderToFill(), metavar="FOLDER", help="Folder for the draft."
)
@options.as_json
def propose(data: tuple[Path, ...], to: Path, as_json: bool, **given: Any) -> None:
    """Draft a schema and a reference profile from clean data, thresholds calibrated by bootstraps.

    A class without a row is declared empty, and names of classes are kept.

    \b
    Example:
      mnist-tfx schema propose --data letters/ --pixel-max 255 --labels 26
      mnist-tfx schema propose --data letters/ --recipe letters.yaml
    """
    from components.ingest import recognition
    from pipeline.datasets import schema_review
    from pipeline.datasets.imports.sources import discover

    files = discover(data, form=given["form"])
    settings = _data_settings(files, given)
    recognised = recognition.recognise(files, settings)
    settings = recognised.settings(settings)
    draft = schema_review.propose(schema_review.read_sources(files, settings), settings, to)
    said = [*recognised.says, *schema_review.describe(draft, offset=settings.label_offset)]
    if as_json:
        print_answer(Answer(data={"draft": str(draft), "says": said}))
        return
    for sentence in said:
        click.echo(sentence)
    click.echo(f"{draft}\nlook at it, then: mnist-tfx schema approve {draft}")


def _data_settings(files: DataFiles, given: Mapping[str, Any]) -> DataSettings:
    """Return how the data is to be read: as the recipe says, and over it the options."""
    values: dict[str, Any] = {}
    if given["recipe"] is not None:
        values = load_recipe(given["recipe"]).data.model_dump(exclude_unset=True)
    elif given["pixel_max"] is None:
        hint = "`mnist-tfx data inspect` says which it has"
        raise BadInput("the largest pixel value is not known", where="--pixel-max", wanted="it, or --recipe", hint=hint)
    said = {
        "shape": given["shape"],
        "pixel_max": given["pixel_max"],
        "label_count": given["labels"],
        "label": given["label"],
    }
    for override in reading_overrides(given):
        key, _, text = override.removeprefix("data.").partition("=")
        values[key] = json.loads(text)
    values |= {key: value for key, value in said.items() if value is not None}
    if "shape" not in values:
        values["shape"] = _shape(files, transposed=bool(values.get("transpose")))
    try:
        return DataSettings.model_validate(values)
    except ValidationError as err:
        raise refusal(DataSettings, values, err.errors(), where="--data") from err


def _shape(files: DataFiles, *, transposed: bool) -> tuple[int, int]:
    from components.ingest import recognition

    shape = recognition.shape_of(files)
    if shape is None:
        raise BadInput("the shape cannot be told from the data", where="--data", hint="give --shape HEIGHT WIDTH")
    return (shape[1], shape[0]) if transposed else shape


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
@click.option("--schema", "folder", type=FolderToFill(), metavar="FOLDER", default=MINE, show_default=True, help=HELP)
@person_options.by(required=False)
@person_options.reason
@person_options.signing_key
@options.as_json
def approve(  # noqa: PLR0913  # one argument to each option
    draft: Path, folder: Path, by: str | None, reason: str | None, key: Path | None, as_json: bool
) -> None:
    """Put a draft you have looked at into force, and pin its digest.

    With --by, who approved it lies beside it and goes into the ledger of each root whose runs read it; with --key that is
    signed, unless the ledger of a root below ./runs says that the key was rotated or revoked.

    \b
    Example:
      mnist-tfx schema approve schema-drafts/28x28-max255-labels26.pbtxt
      mnist-tfx schema approve letters.pbtxt --by Ada --reason 'checked against the scans' --key private.pem
    """
    from pipeline.datasets import schema_review
    from pipeline.provenance import ended_keys, schema_approvals

    person = person_options.person(by, reason, key)
    private_key = person_options.private_key(key)
    if private_key is not None:
        ended_keys.require_not_ended_here(private_key.public)
    with PROCESS.held_back():  # a schema is approved with who approved it
        digest = schema_review.approve(
            draft,
            folder,
            lambda schema, digest: (
                {} if person is None else schema_approvals.approval(schema, digest, person, private_key)
            ),
        )
    if as_json:
        print_answer(Answer(data={"digest": digest, "folder": str(folder), "by": by}))
        return
    click.echo(f"approved {draft.stem} in {folder}, sha256 {digest}{'' if by is None else printable(f', by {by}')}")


@schema.command()
@click.argument("geometry", type=Text("geometry"))
@person_options.by(required=True)
@person_options.reason
@person_options.signing_key
@person_options.of
@options.changed_root
@options.as_json
def withdraw(  # noqa: PLR0913  # one argument to each option
    geometry: str, by: str, reason: str | None, key: Path | None, of: str | None, root: Path, as_json: bool
) -> None:
    """Take the approvals of a schema back in the ledger of a root: they do not count any more, and stay on record.

    The schema stays in force where its folder pins it, and each run that reads it warns. `schema approve` approves it again.

    \b
    Example:
      mnist-tfx schema withdraw 28x28-max255-labels26 --by Ada --reason 'scans were turned' --root runs/letters
    """
    from pipeline.provenance import schema_approvals
    from pipeline.provenance.approval_writer import Person
    from pipeline.provenance.ledger_writer import Ledger
    from pipeline.root.paths import RunPaths

    private_key = person_options.private_key(key)
    ledger = Ledger.open(RunPaths(root.absolute()).ledger)
    with PROCESS.held_back():
        withdrawn = schema_approvals.withdraw_approval(ledger, geometry, Person(by=by, reason=reason), private_key, of)
    if as_json:
        print_answer(Answer(data={"geometry": geometry, "approvals": [dataclasses.asdict(one) for one in withdrawn]}))
        return
    for one in withdrawn:
        click.echo(printable(f"schema {geometry}, approved {one}"))


def _in_force(draft: Path, folder: Path) -> Path | None:
    """Return the schema that a run with or without this folder takes now; None where there is none."""
    for place in (folder, None):
        with contextlib.suppress(BadInput):
            return schema_file(draft.stem, place)
    return None
