"""`mnist-tfx predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from components.errors import BadInput, MnistTfxError, Refused, printable
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, figure, print_answer, print_error, say
from pipeline.cli.parameters import Checked, InputData, OneOf, OutputFile, Version
from pipeline.cli.parsing import checked_by
from pipeline.root.paths import require_no_pattern

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.predict.files import Labels
    from pipeline.predict.prediction import Prediction, Predictions  # bring NumPy, Pillow and SciPy
    from pipeline.predict.tables import AnsweredTable

DARK: Final = {"auto": None, "yes": True, "no": False}
MANY: Final = 20
"""Files from which on there is a progress bar."""

NONE: Final = "none"

_WIDE: Final = 10_000


def _columns(header: str) -> tuple[str, str] | None:
    """Return the names of the two columns; None for none.

    Raises:
      BadInput: if they are not two.
    """
    if header == NONE:
        return None
    first, comma, second = header.partition(",")
    if not comma or "," in second:
        raise BadInput("not two names", where="--header", wanted=f"NAME,NAME or {NONE}", got=header)
    return first.strip(), second.strip()


def _can_be_loaded(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be loaded, and what cannot be meant.

    TensorFlow looks for a model's variables by a pattern that begins with its folder.
    """
    if given["root"] is not None:
        require_no_pattern(given["root"])
    if given["labels_from_names"] and given["labels_from_folders"]:
        raise BadInput("two places for the true class", wanted="--labels-from-names or --labels-from-folders")


@options.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=InputData())
@click.option("--version", type=Version(), help="Served version to ask.  [default: the newest]")
@options.root
@click.option(
    "--sheet",
    type=OutputFile(),
    metavar="OUT.png",
    help="Draw each photograph, what the model saw, its reconstruction and the answer.",
)
@click.option(
    "-o",
    "--output",
    "answers",
    type=OutputFile(),
    metavar="OUT.csv",
    help="Write the answers as CSV: the number of each row, or the path of each picture, and its class.",
)
@click.option(
    "--header",
    type=Checked(_columns, name="NAME,NAME", as_given=True),
    metavar="NAME,NAME",
    default="ImageId,Label",
    show_default=True,
    help="First line of that CSV; none leaves it out.",
)
@click.option("--labels-from-names", is_flag=True, help="The first character of a picture's name is its true class.")
@click.option("--labels-from-folders", is_flag=True, help="The folder that a picture lies in is its true class.")
@click.option("--many", is_flag=True, help="Read every digit of a picture, in reading order.")
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
    answers: Path | None,
    header: str,
    labels_from_names: bool,
    labels_from_folders: bool,
    many: bool,
    invert: str,
    as_json: bool,
) -> int:
    """Read handwritten digits from pictures, and rows of CSV and IDX files.

    Takes PNG, JPEG, BMP, TIFF, GIF and WebP, on whatever paper, in whatever light: one digit to a picture, or several
    with --many. A picture with nothing on it is said to be empty; one with several digits is refused with exit code 3,
    and a file that cannot be read with exit code 2, after all others were read. Of rows, labelled or not, it prints how
    many got which class, and the accuracy where there are labels; -o writes the answer to each.

    An answer is doubted where it is less sure than nearly all answers to rows held out from training, where training
    rows of another class are as near, where none is near at all, or where it would be another one without a frame's
    removal or the joining of loose strokes. Pictures are turned as the model's data are stored; rows are taken as they
    are.

    \b
    Example:
      mnist-tfx predict seven.png --root runs/mnist
      mnist-tfx predict photographs/ --labels-from-names --sheet sheet.png
      mnist-tfx predict test.csv --root runs/mnist -o submission.csv
    """
    from pipeline.predict import sheet as sheets
    from pipeline.predict import tables
    from pipeline.predict.prediction import Request
    from pipeline.predict.prediction import predict as ask

    written = [path for path in (sheet, answers) if path is not None]
    if sheet is not None:
        sheets.require_writable(sheet, files)
    if answers is not None:
        tables.require_writable(answers, files)
    labels: Labels | None = "names" if labels_from_names else "folders" if labels_from_folders else None
    asked = Request(
        named=files,
        root=root.absolute(),
        version=version,
        dark=DARK[invert],
        labels=labels,
        many=many,
        besides=tuple(path.resolve() for path in written),
        answers=answers,
        header=_columns(header),
    )
    if version is None:
        options.warn_of_foreign(root)
    with progress.bars(MANY) as show:
        found = ask(asked, say, show)
    if sheet is not None:
        sheets.write(sheet, found)
    return _told(found, sheet, answers, as_json=as_json)


def _told(found: Predictions, sheet: Path | None, answers: Path | None, *, as_json: bool) -> int:
    """Print what was found, what was not on standard error, and return the exit code."""
    problems: list[MnistTfxError] = [BadInput(one.why, where=one.path) for one in found.unreadable]
    if found.refusal is not None:
        problems.append(Refused(found.refusal))
    # The worse of the two kinds decides how it ends.
    error = type(problems[0]).of_several(problems) if problems else None
    written = {"sheet": None if sheet is None else str(sheet), "answers": None if answers is None else str(answers)}
    answer = Answer(data={**found.to_dict(), **written}, error=error)
    if as_json:
        print_answer(answer)
    else:
        _print(found, sheet, answers)
    for problem in problems:
        print_error(problem)
    return answer.exit_code


def _print(found: Predictions, sheet: Path | None, answers: Path | None) -> None:
    from rich.console import Console
    from rich.text import Text

    # Paths are for copying: a terminal that is too narrow breaks the line by itself, and nothing is cut off.
    console = Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE)
    if found.files:
        console.print(_table(found))
    for table in found.tables:
        console.print(Text(_rows_said(table, found, answers)))
    if found.accuracy is not None:
        right = len(found.files) - len(found.wrong)
        console.print(Text(f"\naccuracy  {found.accuracy:.4f}, {right} of {len(found.files)}", "bold"))
    for note in found.notes:
        console.print(Text(f"note      {printable(note)}", "yellow"))
    if found.doubted:
        console.print(Text(f"doubted   {len(found.doubted)} of {len(found.files)}{_rates(found)}", "yellow"))
    for one in found.wrong:
        console.print(
            Text(
                f"wrong     {printable(one.source.path)}: {_said(one, found)}, not {found.names[one.source.truth or 0]}",
                "red",
            )
        )
    for left_out in found.ignored:
        console.print(Text(f"ignored   {printable(left_out.path)}: {left_out.why}", "yellow"))
    if answers is not None:
        console.print(Text(f"answers   {printable(answers)}"))
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
        table.add_row(Text(printable(one.source.path)), Text(_said(one, found), style), *_figures(one, found))
    return table


def _rows_said(table: AnsweredTable, found: Predictions, answers: Path | None) -> str:
    counts = ", ".join(f"{name}: {count:,}" for name, count in zip(found.names, table.counts, strict=True) if count)
    said = f"{printable(table.path)}  {table.rows:,} rows"
    if table.accuracy is not None:
        said += f", accuracy {table.accuracy:.4f}"
    if table.doubted is not None:
        said += f", {table.doubted:,} doubted"
    return f"{said}\n  {counts}" + ("" if answers is not None else "\n  -o answers.csv writes the answer to each row")


def _said(one: Prediction, found: Predictions) -> str:
    if one.answerable:
        return one.text(found.names)
    return "empty" if one.count == 0 else f"{one.count} digits"


def _figures(one: Prediction, found: Predictions) -> tuple[str, ...]:
    if one.answer is None:
        return ("", "", "", ", ".join(one.doubts)) if one.answerable else ()
    answer = one.answer
    figures = figure(answer.probability), found.names[answer.second], figure(answer.second_probability)
    return *figures, ", ".join(one.doubts)


def _rates(found: Predictions) -> str:
    """Say how often rows are doubted that are like those the model was trained on."""
    held_out = found.calibration
    if held_out is None:
        return ""
    wrong = f", {held_out.wrong_doubted} of the {held_out.wrong} among them that it reads wrongly"
    return f"; of {held_out.rows} rows held out from its training {held_out.doubted:.1%} are{wrong}"
