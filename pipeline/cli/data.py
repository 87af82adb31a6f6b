"""`mnist-tfx data fetch|import|inspect|exclude`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from components.digest import sha256_file
from components.errors import BadInput, ExitCode, printable
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import Checked, InputData, InputFile, InputFolder, NewFolder, OneOf
from pipeline.cli.parsing import Group, checked_by
from pipeline.datasets import fetch as fetching

if TYPE_CHECKING:
    from pipeline.datasets.exclusion import Excluded
    from pipeline.datasets.imports.importing import Imported
    from pipeline.datasets.imports.opening import Tools
    from pipeline.datasets.inspection_result import Inspection

LONG: Final = 100_000
"""Rows from which on progress is shown: fewer take less than a second."""

FEW: Final = 1_000
"""Pictures from which on progress is shown: a thousand take a second."""

_SHOWN: Final = 5
_SIZE: Final = re.compile(r"([1-9][0-9]{0,3})[xX]([1-9][0-9]{0,3})")
_LARGEST: Final = 1024


@click.group(cls=Group)
def data() -> None:
    """Fetch data, import pictures and arrays, look at what you have, write it without some rows.

    \b
    Example:
      mnist-tfx data fetch mnist --to ~/mnist
      mnist-tfx data import pictures/ --to letters --fit 28x28
      mnist-tfx data inspect letters
      mnist-tfx data exclude letters --rows exclude.txt --to letters-2
    """


@data.command()
@click.argument("name", type=OneOf(["digits", "mnist"]))
@click.option("--to", required=True, type=NewFolder(), metavar="FOLDER", help="Folder to write into.")
@click.option("--form", type=OneOf(["idx", "csv"]), default="idx", show_default=True, help="Form of the digits.")
@options.as_json
def fetch(name: str, to: Path, form: str, as_json: bool) -> None:
    """Write the UCI digits that come with scikit-learn, or download MNIST from its public mirrors.

    \b
    Example:
      mnist-tfx data fetch digits --to digits --form csv
    """
    files = _downloaded(to) if name == "mnist" else fetching.fetch_digits(to, form)  # type: ignore[arg-type]  # click has checked the choice
    if as_json:
        print_answer(Answer(data={"files": [{"path": str(f), "sha256": sha256_file(f)} for f in files]}))
        return
    for file in files:
        click.echo(file)


def _downloaded(to: Path) -> tuple[Path, ...]:
    with progress.bars(in_bytes=True) as show:
        return fetching.fetch_mnist(to, show=show)


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > _LARGEST:
        raise BadInput("no size of images", wanted=f"HEIGHTxWIDTH, such as 28x28, at most {_LARGEST}", got=text)
    return int(match[1]), int(match[2])


def _one_size(given: Mapping[str, Any]) -> None:
    if given["fit"] is not None and given["resize"] is not None:
        raise BadInput("two ways to one size", where="--resize", got="--fit as well", hint="name one of the two")


_size_option = Checked(_size, name="HxW", usual=("28x28",))


@data.command("import")
@click.argument("source", type=InputData(), metavar="SOURCE")
@click.option("--to", required=True, type=NewFolder(), metavar="FOLDER", help="New folder for the data files.")
@click.option("--fit", type=_size_option, metavar="HxW", help="Fit the digit on each picture, as `predict` does.")
@click.option("--resize", type=_size_option, metavar="HxW", help="Stretch each picture to this size.")
@click.option("--shape", type=_size_option, metavar="HxW", help="Size of images that come as rows of numbers.")
@click.option(
    "--invert/--no-invert",
    default=None,
    help="Whether ink is dark on light paper.  [default: by the pictures' borders]",
)
@click.option("--skip-unreadable", is_flag=True, help="Leave out pictures that cannot be read, or fitted.")
@options.as_json
@checked_by(_one_size)
def import_(  # noqa: PLR0913  # one argument to each option
    source: Path,
    to: Path,
    fit: tuple[int, int] | None,
    resize: tuple[int, int] | None,
    shape: tuple[int, int] | None,
    invert: bool | None,
    skip_unreadable: bool,
    as_json: bool,
) -> None:
    """Make IDX files of pictures in folders by class, npz, Parquet, ARFF, svmlight, or a zip archive of any of these.

    So it does of a CSV with colours, or with all pixels of a row in one column (FER2013).

    Folders such as train and test, training and testing, or val make the parts; the folder that a picture lies in is its
    class. Each row's origin is recorded in import.json beside the files, so that the lineage of a model goes back to the
    pictures.

    \b
    Example:
      mnist-tfx data import pictures/ --to letters --fit 28x28
      mnist-tfx data import mnist.npz --to mnist-idx
    """
    from pipeline.datasets import inspection, next_commands
    from pipeline.datasets.imports import importing, sources
    from pipeline.datasets.imports.contents import Options

    found = sources.recognise(source)
    if found is None:
        wanted = (
            "pictures in folders by class, npz, Parquet, ARFF, svmlight, a CSV with colours, or a zip archive of these"
        )
        command = f"mnist-tfx data inspect {next_commands.shown(source)}"
        raise BadInput("nothing that can be imported", where=source, wanted=wanted, commands=(command,))
    asked = Options(fit=fit, resize=resize, shape=shape, invert=invert, skip_unreadable=skip_unreadable)
    with progress.bars(FEW) as show:
        imported = importing.import_source(found, to, asked, _tools(), show)
    after = inspection.inspect(imported.folder)
    for note in imported.notes:
        say(f"note: {note}")
    if as_json:
        print_answer(Answer(data=_import_fields(imported, after)))
        return
    for line in _import_lines(imported, after):
        click.echo(printable(line))


def _tools() -> Tools:
    """Return what makes images of pictures, which `predict` has."""
    import numpy as np

    from components.settings import DataSettings
    from pipeline.datasets.imports.opening import Tools
    from pipeline.predict import photograph
    from pipeline.predict.digit import Frame, find_digit

    def fit(grey: Any, shape: tuple[int, int], dark: bool | None) -> Any:
        frame = Frame.of(DataSettings(shape=shape, pixel_max=255))
        return find_digit(grey.astype(np.float32), frame, dark=dark).image

    return Tools(read=lambda path: photograph.read(path).grey, fit=fit)


def _import_fields(imported: Imported, after: Inspection) -> dict[str, Any]:
    fields = imported.record.fields
    return {
        "folder": str(imported.folder),
        "form": fields["form"],
        "record": imported.record.digest,
        "again": imported.again,
        "rows": imported.rows,
        "shape": list(after.shape),
        "class_names": list(fields["class_names"]),
        "files": [{"path": str(imported.folder / one["name"]), "sha256": one["sha256"]} for one in fields["written"]],
        "skipped": list(fields["skipped"]),
        "notes": list(imported.notes),
        "commands": list(after.commands),
    }


def _import_lines(imported: Imported, after: Inspection) -> Iterator[str]:
    fields = imported.record.fields
    rows = ", ".join(f"{split} {count}" for split, count in imported.rows.items())
    yield f"{'imported' if not imported.again else 'there already'}  {rows}, {after.shape[0]}x{after.shape[1]}"
    if fields["class_names"]:
        yield f"classes   {_first(list(fields['class_names']))}"
    yield from (f"{imported.folder / one['name']}" for one in fields["written"])
    yield from (f"problem   {problem}" for problem in after.problems)
    yield from (f"note      {note}" for note in after.notes)
    if after.commands:
        yield "next"
    yield from (f"  {command}" for command in after.commands)


@data.command()
@click.argument("path", type=InputData(), metavar="PATH")
@options.form_and_label
@options.reading
@click.option("--schema", type=InputFolder(), metavar="FOLDER", help="Folder with your reviewed schemas.")
@options.as_json
def inspect(path: Path, schema: Path | None, as_json: bool, **given: Any) -> int:
    """Say what would be read of a file or folder, whether a reviewed schema fits, and which commands to use.

    All rows are read, and nothing is written. It takes the options of `run` that say how data is to be read. The exit
    code is 1 where nothing can be learnt from the data or measured by it, and 2 where it cannot be read.

    \b
    Example:
      mnist-tfx data inspect ~/mnist
      mnist-tfx data inspect s3://bucket/mnist
      mnist-tfx data inspect letters/ --schema schemas --json
    """
    from pipeline.datasets import inspection
    from pipeline.datasets.readings import Given

    with progress.bars(LONG) as show:
        found = inspection.inspect(path, Given.of(given), schema=schema, show=show, tools=_tools())
    if as_json:
        print_answer(Answer(data=found.to_dict(), findings=bool(found.problems)))
    else:
        for line in _inspection_lines(found):
            click.echo(printable(line))
    return ExitCode.FINDINGS if found.problems else ExitCode.OK


def _inspection_lines(found: Inspection) -> Iterator[str]:
    """Yield what was seen, a line to a thing, and the commands at the end."""
    names = [file.name for file in found.files]
    yield f"form         {found.form}: {_first(names)}"
    if found.ignored:
        yield f"ignored      {_first([file.name for file in found.ignored])}"
    yield f"rows         {', '.join(f'{split} {rows}' for split, rows in found.rows.items())}"
    yield f"images       {found.shape[0]}x{found.shape[1]}, pixels 0 to {found.highest}"
    yield f"orientation  {_orientation(found)}"
    column = "" if found.label is None else f", in the column {found.label}"
    last = found.label_offset + found.label_count - 1
    yield f"labels       {found.label_offset} to {last}{column}"
    yield from _class_lines(found)
    yield f"duplicates   {_duplicates(found)}"
    yield f"schema       {_schema(found)}"
    yield from (f"problem      {problem}" for problem in found.problems)
    yield from (f"note         {note}" for note in found.notes)
    if found.commands:
        yield "next"
    yield from (f"  {command}" for command in found.commands)


def _first(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _orientation(found: Inspection) -> str:
    if found.orientation is None:
        return "cannot be told from these images" + (": taken for transposed, by their name" if found.transpose else "")
    return found.orientation + (", dark on light" if found.inverted else ", light on dark")


def _class_lines(found: Inspection) -> Iterator[str]:
    width = max(len(found.name_of(label)) for label in range(found.label_count))
    for label in range(found.label_count):
        counts = "  ".join(f"{split} {counts[label]:>6}" for split, counts in found.counts.items())
        heading = "classes" if not label else ""
        yield f"{heading:<13}{found.name_of(label):<{width}}  {counts}"


def _duplicates(found: Inspection) -> str:
    within = ", ".join(f"{rows} in {split}" for split, rows in found.duplicates.within.items() if rows)
    between = f"{found.duplicates.between} images of test in train" if found.duplicates.between else ""
    return "; ".join(filter(None, (within, between))) or "none"


def _schema(found: Inspection) -> str:
    if found.schema is not None:
        return f"{found.geometry} is reviewed, and fits"
    return (
        f"{found.geometry} is reviewed, and does not fit" if found.reviewed else f"{found.geometry} is not reviewed yet"
    )


@data.command()
@click.argument("given", nargs=-1, required=True, type=InputData(), metavar="DATA...")
@click.option(
    "--rows",
    "listed",
    required=True,
    type=InputFile(),
    metavar="FILE",
    help="Row digests, one to a line, as lineage erase-request writes them.",
)
@click.option("--to", required=True, type=NewFolder(), metavar="FOLDER", help="New folder for the data files.")
@options.form_and_label
@options.reading
@options.as_json
def exclude(given: tuple[Path, ...], listed: Path, to: Path, as_json: bool, **said: Any) -> int:
    """Write data files again without some of their rows, such as those of a deletion request.

    DATA is a folder or files. IDX pairs and CSVs are written under their own names and in their own form, gzip or not; the
    other rows stay as they are, in their order. For Parquet, and for pixels and labels in files of their own, it says which
    rows they are. It takes the options of `run` that say how data is to be read. The data that is given stays as it is.

    The exit code is 1, and nothing is written, where no row has one of the digests.

    \b
    Example:
      mnist-tfx data exclude letters --rows exclude.txt --to letters-2
    """
    from pipeline.config.exclusions import read_exclusions
    from pipeline.datasets.exclusion import exclude_rows
    from pipeline.datasets.readings import Given

    digests = read_exclusions(listed, most=None)
    with progress.bars(LONG) as show:
        result = exclude_rows(given, digests, to, Given.of(said), show)
    if as_json:
        print_answer(Answer(data=_exclusion_fields(result), findings=not result.files))
    else:
        for line in _exclusion_lines(result, len(digests)):
            click.echo(printable(line))
    return ExitCode.OK if result.files else ExitCode.FINDINGS


def _exclusion_fields(result: Excluded) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "form": result.form,
        "rows": dict(result.rows),
        "left_out": dict(result.left_out),
        "unmatched": list(result.unmatched),
        "files": [{"path": str(path), "sha256": digest} for path, digest in result.files.items()],
        "not_copied": list(map(str, result.not_copied)),
    }


def _exclusion_lines(result: Excluded, listed: int) -> Iterator[str]:
    gone = ", ".join(f"{split} {rows}" for split, rows in result.left_out.items())
    stay = ", ".join(f"{split} {rows}" for split, rows in result.rows.items())
    if result.files:
        yield f"left out    {gone}"
        yield f"stay        {stay}"
    else:
        yield f"nothing is written: none of {stay} rows has one of the digests"
    if result.unmatched:
        shown = _first([digest[:12] for digest in result.unmatched])
        yield f"no row      {len(result.unmatched)} of {listed} digests: {shown}"
    if result.not_copied:
        yield f"not copied  {_first([path.name for path in result.not_copied])}"
    yield from (f"{path}  sha256 {digest}" for path, digest in result.files.items())
