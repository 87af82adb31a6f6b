"""`mnist-tfx lineage reproduce`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from components.errors import CannotTell
from pipeline.cli import options
from pipeline.cli.lineage.diff_text import section_lines
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputData, NewRoot, Version
from pipeline.process.output import own_console
from pipeline.runner.progress import RunView
from pipeline.runner.reproduce.reproduce import Options, Reproduction
from pipeline.runner.reproduce.reproduce import reproduce as run_again


@options.command()
@click.argument("version", type=Version())
@options.root
@click.option(
    "--to",
    type=NewRoot(),
    metavar="FOLDER",
    help="Folder for the new run, which is kept.  [default: a temporary one]",
)
@click.option(
    "--data", multiple=True, type=InputData(), metavar="PATH", help="The data, where the root's copies of it are gone."
)
@click.option("--checkout", "at_commit", is_flag=True, help="Run the code of the recorded commit in place of this one.")
@options.as_json
def reproduce(version: int, root: Path, as_json: bool, **how: object) -> int:
    """Run a version again from its recorded recipe, code and data, and compare weights and metrics.

    Exit code 0 if it came out as it had to, 1 if not: bit for bit where both trainings were deterministic and nothing
    else was used than what is recorded, otherwise with metrics within a tolerance. 5 if the metrics are not on record
    any more and the weights do not settle it.

    \b
    Example:
      mnist-tfx lineage reproduce 2 --root runs/mnist
      mnist-tfx lineage reproduce 2 --root runs/mnist --checkout --to /tmp/again
    """
    # With --json standard output carries the answer alone.
    console = own_console(stderr=as_json)
    asked = Options(**how)  # type: ignore[arg-type]  # click has checked the types
    found = run_again(root.absolute(), version, asked, RunView(console))
    unknown = None if found.unknown is None else CannotTell(found.unknown)
    answer = Answer(data=found.to_dict(), error=unknown, findings=not found.reproduced)
    if as_json:
        print_answer(answer)
    else:
        _print(found, console)
    return answer.exit_code


def _print(found: Reproduction, console: Console) -> None:
    style = "bold green" if found.reproduced else "bold red" if found.unknown is None else "bold yellow"
    console.print(Text.assemble("\n", (f"version {found.version.version}  ", "bold"), (found.verdict, style)))
    sections = [line for section in found.unpinned for line in section_lines(section)]
    for line in (*map(Text, _lines(found)), *sections):
        console.print(line, soft_wrap=True)  # paths are for copying: never broken


def _lines(found: Reproduction) -> list[str]:
    lines = [f"found     {finding}" for finding in found.findings]
    if found.tensors is not None:
        lines.append(f"tensors   {len(found.tensors) - len(found.differing)} of {len(found.tensors)} are equal")
        lines += [f"          {name} differs" for name in found.differing[:3]]
    for figure in found.metrics:
        sides = " -> ".join("unknown" if side is None else f"{side:.4f}" for side in (figure.recorded, figure.found))
        lines.append(
            f"metric    {figure.name} {sides}{_judged(figure.equal, figure.within_tolerance) if figure.is_known else ''}"
        )
    lines.append(f"promise   {_promise(found)}")
    lines += [] if found.unknown is None else [f"unknown   {found.unknown}"]
    return lines + [f"note      {note}" for note in found.notes]


def _judged(equal: bool, within_tolerance: bool) -> str:
    if equal:
        return ", equal"
    return ", within tolerance" if within_tolerance else ", beyond tolerance"


def _promise(found: Reproduction) -> str:
    if found.bits_promised:
        return "the same bits: both trainings are deterministic, and everything is as recorded"
    reasons = [] if found.deterministic else ["training was not set to be deterministic"]
    reasons += [f"{section.kind} could not be pinned ({section.causes})" for section in found.unpinned]
    return f"no equal bits, metrics alone: {'; '.join(reasons)}"
