"""`mnist-tfx lineage impact`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import BadInput, CannotTell, MnistTfxError
from pipeline.cli import options, progress
from pipeline.cli.lineage import named_image
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import FileOrDigest
from pipeline.lineage import impact as impacts
from pipeline.lineage import impact_text
from pipeline.lineage.impact import CANNOT_TELL, NO, YES
from pipeline.lineage.index import LineageIndex, open_lineage
from pipeline.lineage.rows import usage

LONG: Final = 100_000
"""Rows or bytes from which on progress is shown."""

_STYLES: Final = {YES: "bold green", NO: "bold", CANNOT_TELL: "bold yellow"}


@options.command()
@click.argument("given", nargs=-1, metavar="[FILE|FOLDER|DIGEST]...", type=FileOrDigest())
@named_image.row
@named_image.version
@options.root
@options.as_json
def impact(  # noqa: PLR0913  # one argument to each option
    given: tuple[str, ...],
    index: int | None,
    data: tuple[Path, ...],
    version: int | None,
    root: Path,
    as_json: bool,
) -> int:
    """Say which models something went into, and in which role: yes, no, or that it cannot be told (exit code 5).

    What is given is recognised by its content. A data file (IDX, CSV, npz; raw or gzip) is found renamed, packed, in
    another form, in other pieces, or in part. An IDX file of images is compared by its pixels; name its labels file as
    well to compare labels too. A picture is looked up by its pixels, with a proof. A digest can be that of a data file
    (packed or not), a row, a record, an artifact or a file in it, a model, a schema or a code file.

    The answer is no only where everything that could hold it was compared.

    \b
    Example:
      mnist-tfx lineage impact train-images-idx3-ubyte.gz --root runs/mnist
      mnist-tfx lineage impact images.idx labels.idx --root runs/mnist
      mnist-tfx lineage impact seven.png --root runs/mnist
      mnist-tfx lineage impact --index 0 --root runs/mnist          # the first row of the train part
      mnist-tfx lineage impact --index 0 --data other.csv --root runs/mnist
      mnist-tfx lineage impact components/classifier/model.py --root runs/mnist
    """
    if bool(given) == (index is not None):
        raise BadInput("which one is meant?", wanted="either files, a folder or a digest, or --index")
    if index is None and (data or version is not None):
        raise BadInput("--data and --version say where --index counts", wanted="--index with them")
    history = open_lineage(root.absolute())
    found = _row(history, index, data, version) if index is not None else _given(history, given)
    answer = Answer(data=found.to_dict(), error=_unknown(found) if found.answer == CANNOT_TELL else None)
    if as_json:
        print_answer(answer)
    else:
        _print(found)
    return answer.exit_code


def _unknown(found: impacts.Impact) -> MnistTfxError:
    error = CannotTell.of_several([CannotTell(reason) for reason in found.unknown])
    error.hint = found.hint
    return error


def _given(history: LineageIndex, given: tuple[str, ...]) -> impacts.Impact:
    with progress.bars(LONG) as show:
        return impacts.impact(history, given, show)


def _row(history: LineageIndex, index: int, data: tuple[Path, ...], version: int | None) -> impacts.Impact:
    asked = usage.ImageQuery(index=index, data=data, version=version)
    picture = usage.find_picture(history, asked)
    place = " and ".join(path.name for path in data) or "the train part"
    return impacts.impact_of_picture(history, picture, f"row {index} of {place}")


def _print(found: impacts.Impact) -> None:
    console = Console(markup=False, highlight=False)

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True)

    say(impact_text.heading(found), "bold")
    say(impact_text.answer(found), _STYLES[found.answer])
    if found.models:
        console.print(_models(found))
    for line in impact_text.evidence(found):
        say(line)
    for line in (*(found.unknown if found.answer == YES else ()), *found.notes):
        say(line, "yellow")
    say(f"{found.nodes_visited} nodes visited")


def _models(found: impacts.Impact) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    # Of one picture it matters what it was used for, of a file how much of it.
    last = "use" if found.picture is not None else "rows"
    for heading in ("version", "", "digest", "role", last):
        table.add_column(heading, no_wrap=heading != "use")
    for model in found.models:
        version = "never pushed" if model.version is None else str(model.version)
        served = Text("served", "green") if model.served else Text("")
        uses = ", ".join(usage.USES[split] for split in model.uses or ())
        rows = "" if model.shared is None else f"{'all ' if model.whole else ''}{model.shared.total}"
        role, amount = ", ".join(model.role), uses if found.picture is not None else rows
        table.add_row(version, served, model.digest[:12], role, amount)
    return table
