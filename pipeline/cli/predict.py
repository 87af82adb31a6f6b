"""`mnist-tfx predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from components.errors import BadInput, MnistTfxError, Refused, printable
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, figure, print_answer, print_error, say
from pipeline.cli.parameters import InputPath, OneOf, OutputFile, Version
from pipeline.cli.parsing import checked_by
from pipeline.root.paths import require_no_pattern

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.predict.prediction import Prediction, Predictions  # bring NumPy, Pillow and SciPy

DARK: Final = {"auto": None, "yes": True, "no": False}
MANY: Final = 20
"""Files from which on there is a progress bar."""

_WIDE: Final = 10_000


def _can_be_loaded(given: Mapping[str, Any]) -> None:
    """TensorFlow looks for a model's variables by a pattern that begins with its folder."""
    if given["root"] is not None:
        require_no_pattern(given["root"])


@options.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=InputPath())
@click.option("--version", type=Version(), help="Served version to ask.  [default: the newest]")
@options.root
@click.option(
    "--sheet",
    type=OutputFile(),
    metavar="OUT.png",
    help="Draw each photograph, what the model saw, its reconstruction and the answer.",
)
@click.option(
    "--labels-from-names", "labelled", is_flag=True, help="The first character of a file's name is its true digit."
)
@click.option(
    "--invert",
    type=OneOf(DARK),
    default="auto",
    show_default=True,
    help="Whether the ink is darker than the paper, which the models' images are not.",
)
@options.as_json
@checked_by(_can_be_loaded)
def predict(  # noqa: PLR0913  # one argument to each option
    files: tuple[Path, ...],
    version: int | None,
    root: Path,
    sheet: Path | None,
    labelled: bool,
    invert: str,
    as_json: bool,
) -> int:
    """Read handwritten digits from image files: one digit to a file, on whatever paper, in whatever light.

    Takes PNG, JPEG, BMP and TIFF. A photograph with nothing on it is said to be empty; one with several digits is
    refused with exit code 3, and a file that cannot be read with exit code 2, after all others were read.

    An answer is doubted where it is less sure than nearly all answers to rows held out from training, where training
    rows of another class are as near, or where none is near at all. Pictures are turned as the model's data are stored.

    \b
    Example:
      mnist-tfx predict seven.png --root runs/mnist
      mnist-tfx predict photographs/ --labels-from-names --sheet sheet.png
    """
    from pipeline.predict import sheet as sheets
    from pipeline.predict.prediction import Request
    from pipeline.predict.prediction import predict as ask

    if sheet is not None:
        sheets.require_writable(sheet, files)
    besides = None if sheet is None else sheet.resolve()
    asked = Request(
        named=files, root=root.absolute(), version=version, dark=DARK[invert], labelled=labelled, besides=besides
    )
    if version is None:
        options.warn_of_foreign(root)
    with progress.bars(MANY) as show:
        found = ask(asked, say, show)
    if sheet is not None:
        sheets.write(sheet, found)
    return _told(found, sheet, as_json=as_json)


def _told(found: Predictions, sheet: Path | None, *, as_json: bool) -> int:
    """Print what was found, what was not on standard error, and return the exit code."""
    problems: list[MnistTfxError] = [BadInput(one.why, where=one.path) for one in found.unreadable]
    if found.refusal is not None:
        problems.append(Refused(found.refusal))
    # The worse of the two kinds decides how it ends.
    error = type(problems[0]).of_several(problems) if problems else None
    answer = Answer(data={**found.to_dict(), "sheet": None if sheet is None else str(sheet)}, error=error)
    if as_json:
        print_answer(answer)
    else:
        _print(found, sheet)
    for problem in problems:
        print_error(problem)
    return answer.exit_code


def _print(found: Predictions, sheet: Path | None) -> None:
    from rich.console import Console
    from rich.text import Text

    # Paths are for copying: a terminal that is too narrow breaks the line by itself, and nothing is cut off.
    console = Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE)
    console.print(_table(found))
    if found.accuracy is not None:
        right = len(found.files) - len(found.wrong)
        console.print(Text(f"\naccuracy  {found.accuracy:.4f}, {right} of {len(found.files)}", "bold"))
    for note in found.notes:
        console.print(Text(f"note      {printable(note)}", "yellow"))
    if found.doubted:
        console.print(Text(f"doubted   {len(found.doubted)} of {len(found.files)}{_rates(found)}", "yellow"))
    for one in found.wrong:
        console.print(Text(f"wrong     {printable(one.source.path)}: {_said(one)}, not {one.source.truth}", "red"))
    for left_out in found.ignored:
        console.print(Text(f"ignored   {printable(left_out.path)}: {left_out.why}", "yellow"))
    if sheet is not None:
        console.print(Text(f"sheet     {printable(sheet)}"))


def _table(found: Predictions) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("file", "class", "probability", "second", "probability", "doubted as"):
        table.add_column(heading, no_wrap=True)
    for one in found.files:
        style = "red" if one.right is False else ""
        table.add_row(Text(printable(one.source.path)), Text(_said(one), style), *_figures(one))
    return table


def _said(one: Prediction) -> str:
    if one.answer is not None:
        return str(one.answer.label)
    return "empty" if one.count == 0 else f"{one.count} digits"


def _figures(one: Prediction) -> tuple[str, ...]:
    if one.answer is None:
        return ()
    answer = one.answer
    figures = figure(answer.probability), str(answer.second), figure(answer.second_probability)
    return *figures, ", ".join(one.doubts)


def _rates(found: Predictions) -> str:
    """Say how often rows are doubted that are like those the model was trained on."""
    held_out = found.calibration
    if held_out is None:
        return ""
    wrong = f", {held_out.wrong_doubted} of the {held_out.wrong} among them that it reads wrongly"
    return f"; of {held_out.rows} rows held out from its training {held_out.doubted:.1%} are{wrong}"
