"""`mnist-tfx lineage erase-request`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components import disk
from components.errors import BadInput, CannotTell, MnistTfxError, printable
from components.files import replacing
from pipeline.cli import options, progress
from pipeline.cli.again import program
from pipeline.cli.output import Answer, below_here, print_answer
from pipeline.cli.parameters import FileOrDigest, OutputFile, Version
from pipeline.config.exclusions import exclusions_text
from pipeline.lineage import erasure
from pipeline.lineage.erasure import COPY, PICTURE, REPORT, ROWS, SOURCE, AbsenceCheck, Erasure, Holder
from pipeline.lineage.impact import CANNOT_TELL
from pipeline.lineage.index import LineageIndex, open_lineage

LONG: Final = 100_000
"""Rows or bytes from which on progress is shown."""

SHOWN: Final = 10
"""Rows and paths that are printed; --json has them all."""

LIST: Final = "exclude.txt"

STAYS: Final = (
    "what models learned from it stays in versions that were made with it, until they are removed; so do answers they gave",
    "ledger and records stay for ever: they hold digests, of files, of all rows together, and those of rows that were left out",
    "the file that you give to a run is copied whole: `data exclude` writes it without the row, `run --exclude` only leaves it out",
    "backups, copies of the root or of a model elsewhere, and reference statistics of a schema are beyond what a root knows",
)
"""What a list of digests cannot take away."""


@options.command("erase-request")
@click.argument("given", nargs=-1, required=True, metavar="FILE|FOLDER|DIGEST...", type=FileOrDigest())
@click.option(
    "-o", "--output", type=OutputFile(), metavar="FILE", help="Write the list of row digests for `run --exclude`."
)
@click.option(
    "--check", "version", type=Version(), metavar="VERSION", help="Is it gone from this version, and from what is kept?"
)
@options.root
@options.as_json
def erase_request(given: tuple[str, ...], output: Path | None, version: int | None, root: Path, as_json: bool) -> int:
    """Answer a request to delete an image: where it is, what learned from it, what to do; nothing is removed here.

    What is given is a picture, data files, or the digest of a row, recognised as `lineage impact` does. Printed are the
    rows with its pixels, whatever their label; the models that learned from them; files on this disk that hold them; and
    the commands that train without them and remove what was made with them. The list that -o writes keeps what the newest
    version left out already.

    With --check it says whether a version was made without them, proven by the Merkle roots of its rows, and what still
    holds them. The exit code is 1 if the version or anything else that is kept does.

    \b
    Example:
      mnist-tfx lineage erase-request seven.png -o exclude.txt --root runs/mnist
      mnist-tfx data exclude mnist/ --rows exclude.txt --to data-2
      mnist-tfx run --data data-2 --root runs/mnist
      mnist-tfx lineage erase-request seven.png --check 2 --root runs/mnist
    """
    if version is not None and output is not None:
        raise BadInput("--check writes no list", where="-o", wanted="one of the two")
    lineage = open_lineage(root.absolute())
    if version is not None:
        return _check(lineage, given, version, as_json=as_json)
    with progress.bars(LONG) as show:
        asked = erasure.erasure(lineage, given, show)
    if output is not None:
        _write(output, asked)
    steps = list(_steps(lineage, asked, given, output))
    path = None if output is None else str(output)
    error = erasure.cannot_tell(asked.found) if asked.found.answer == CANNOT_TELL else None
    answer = Answer(data={**asked.to_dict(), "path": path, "commands": steps, "stays": list(STAYS)}, error=error)
    if as_json:
        print_answer(answer)
    else:
        _print(asked, steps, output)
    return answer.exit_code


def _check(lineage: LineageIndex, given: Sequence[str], version: int, *, as_json: bool) -> int:
    with progress.bars(LONG) as show:
        checked = erasure.check_absence(lineage, given, version, show)
    findings = not checked.absent or bool(checked.kept)
    unknown = None if findings else _unknown(checked)
    answer = Answer(data=checked.to_dict(), findings=findings, error=unknown)
    if as_json:
        print_answer(answer)
    else:
        _print_check(checked, lineage.root)
    return answer.exit_code


def _unknown(checked: AbsenceCheck) -> MnistTfxError | None:
    reasons = [CannotTell(reason) for reason in checked.unknown]
    return CannotTell.of_several(reasons) if reasons else None


def _write(path: Path, asked: Erasure) -> None:
    if not asked.rows and not asked.left_out:
        raise BadInput("there is nothing to leave out", where=path, got="no row of this root has these pixels")
    name = asked.found.given.name
    groups = {f"for {name}": asked.digests, "left out before, and still": asked.left_out}
    text = exclusions_text(["rows to leave out: mnist-tfx run --exclude FILE"], groups)
    data = text.encode()
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot write the list", where=path, need=len(data)) from err


def _steps(
    lineage: LineageIndex, asked: Erasure, given: Sequence[str], output: Path | None
) -> Iterator[dict[str, str]]:
    """Yield the commands that follow, each with what it is for."""
    if not asked.rows:
        return
    root, what = ["--root", str(below_here(lineage.root))], [str(below_here(Path(one))) for one in given]
    name = LIST if output is None else str(below_here(output))
    following = max((push.version for push in lineage.pushes), default=0) + 1

    def step(words: Sequence[str], why: str) -> dict[str, str]:
        return {"command": f"{program()} {shlex.join(words)}", "why": why}

    if output is None:
        yield step(["lineage", "erase-request", *what, "-o", name, *root], "writes the list")
    yield from (step(*words) for words in _training(lineage, asked, name, following))
    if asked.versions:
        yield step(["serving", "prune", "--keep", "1", *root], "removes the older versions, once the new one is good")
    yield step(["lineage", "gc", "--keep-runs", "0", *root], "removes what was kept of their making")
    for report in [one.path for one in asked.holders if one.kind == REPORT]:
        yield {
            "command": shlex.join(["rm", "-f", str(below_here(lineage.root / report))]),
            "why": "a page with pictures",
        }
    for path in dict.fromkeys(one.path for one in asked.holders if (one.kind, one.what) == (PICTURE, ROWS)):
        yield {"command": shlex.join(["rm", str(below_here(Path(path)))]), "why": "the picture that was imported"}
    for path in dict.fromkeys(one.path for one in asked.holders if one.kind == SOURCE):
        yield {"command": shlex.join(["rm", str(below_here(Path(path)))]), "why": "the data with it, which was given"}
    yield step(["lineage", "erase-request", *what, "--check", str(following), *root], "shows that it is gone")


def _training(lineage: LineageIndex, asked: Erasure, name: str, following: int) -> Iterator[tuple[list[str], str]]:
    """Yield the commands, without the program, that train without the rows: of files without them, where those are written."""
    from pipeline.datasets.exclusion import writes

    root = ["--root", str(below_here(lineage.root))]
    given = [str(below_here(Path(path))) for path in _data(asked)]
    usual = "with whatever other options you run with"
    if given and writes(list(map(Path, given))):
        to = f"data-{following}"
        yield ["data", "exclude", *given, "--rows", name, "--to", to], "writes the data without it"
        yield ["run", "--data", to, *root], f"trains without it; {usual}"
        return
    data = [word for path in given for word in ("--data", path)]
    yield ["run", *data, "--exclude", name, *root], f"trains without it; {usual}"


def _data(asked: Erasure) -> list[str]:
    """Return the data files, or their one folder, as they were given; none where the root wrote them itself."""
    paths = [Path(one.path) for one in asked.holders if one.kind == SOURCE]
    folders = list(dict.fromkeys(path.parent for path in paths))
    if any(folder.name == "embedded-digits" for folder in folders):
        return []
    return [str(folders[0])] if len(folders) == 1 else [str(path) for path in paths]


def _print(asked: Erasure, steps: Sequence[dict[str, str]], output: Path | None) -> None:
    console = Console(markup=False, highlight=False)
    if not asked.rows:
        known = "no row that can be read here" if asked.found.answer == CANNOT_TELL else "no row of this root"
        _say(console, [f"{asked.found.given.name}: {known} has these pixels", *asked.found.basis, *asked.found.unknown])
        if asked.holders:
            _say(console, ["held by", *map(_holder, asked.holders)])
        return
    counts = f"{_counted(len(asked.rows), 'row')}, {_counted(len(asked.learned), 'model')} learned"
    rows = [f"{r.split}, label {r.label}, row digest {r.row_digest}, data set {r.data_set[:12]}" for r in asked.rows]
    more = [f"and {len(rows) - SHOWN} more: --json lists them"] if len(rows) > SHOWN else []
    _say(console, [f"{asked.found.given.name}: {counts}", *rows[:SHOWN], *more])
    if asked.found.models:
        console.print(_models(asked))
    _say(console, ["held by", *map(_holder, asked.holders)])
    for line in (*asked.found.unknown, *asked.found.notes):
        console.print(Text(printable(line), "yellow"), soft_wrap=True)
    if output is not None:
        kept = f", {len(asked.left_out)} of them left out before" if asked.left_out else ""
        digests = _counted(len({*asked.digests, *asked.left_out}), "digest")
        _say(console, [f"{below_here(output)}: {digests}{kept}"])
    _say(console, ["what to do", *(f"{step['command']}   # {step['why']}" for step in steps)])
    _say(console, ["what stays", *STAYS])


def _say(console: Console, lines: Sequence[str]) -> None:
    """Print a heading and the lines below it; each is for copying, so it is never broken."""
    heading, *others = lines
    console.print(Text(printable(heading), "bold"), soft_wrap=True)
    for line in others:
        console.print(Text(f"  {printable(line)}"), soft_wrap=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _models(asked: Erasure) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "", "digest", "its part in it"):
        table.add_column(heading, no_wrap=True)
    for model in asked.found.models:
        version = "never pushed" if model.version is None else str(model.version)
        table.add_row(
            version, Text("served", "green") if model.served else "", model.digest[:12], ", ".join(model.role)
        )
    return table


def _holder(one: Holder) -> str:
    of = (
        f", of version{'' if len(one.versions) == 1 else 's'} {', '.join(map(str, one.versions))}"
        if one.versions
        else ""
    )
    whose = {SOURCE: "the file that was given", PICTURE: "what was imported"}.get(one.kind, one.kind)
    return f"{one.path}  {whose}{of}: {one.what}"


def _print_check(checked: AbsenceCheck, root: Path) -> None:
    console = Console(markup=False, highlight=False)
    name = f"version {checked.version}"
    if checked.absent:
        against = f"none of its {checked.rows} rows has these pixels: row index against root {', '.join(checked.roots)}"
        _say(console, [f"{name}: made without it", against, "and nothing that learned from it is in its weights"])
    else:
        learned = ["its weights come from what learned from it"] if checked.learned else []
        present = [f"among its rows: {digest}" for digest in checked.present[:SHOWN]]
        _say(console, [f"{name}: NOT made without it", *present, *learned])
    for line in checked.unknown:
        console.print(Text(printable(line), "yellow"), soft_wrap=True)
    if not checked.kept:
        if checked.unknown:
            return
        _say(console, ["nothing else that this root knows of holds it"])
        return
    mine = any(one.kind == COPY and checked.version in one.versions for one in checked.kept)
    way = f"write the data without it (data exclude), and run again with that: {below_here(root)} keeps whole what it reads"
    _say(console, ["still held by", *map(_holder, checked.kept), *([way] if mine else [])])
