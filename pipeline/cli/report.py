"""`mnist-tfx report`."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from components.errors import BadInput
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import OutputFile, Text
from pipeline.cli.parsing import checked_by
from pipeline.provenance import runs


def _one_thing(given: Mapping[str, Any]) -> None:
    if given["compare"] and given["run_id"]:
        raise BadInput("names both runs itself", where="--compare", got=f"{given['run_id']} as well")


def _are_there(given: Mapping[str, Any]) -> None:
    """Refuse runs that are not there, before Matplotlib is imported."""
    names = given["compare"] or filter(None, [given["run_id"]])
    if given["root"] is not None:
        runs.require(given["root"], names)


@options.command()
@click.argument("run_id", required=False, metavar="[RUN]", type=Text("run id"))
@options.root
@click.option("--compare", nargs=2, metavar="RUN RUN", type=Text("run id"), help="One page for two runs side by side.")
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", help="File to write.")
@options.as_json
@checked_by(_one_thing, _are_there)
def report(  # noqa: PLR0913  # one argument to each option
    run_id: str | None,
    root: Path,
    compare: tuple[str, str] | None,
    open_: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the report on a run, by default the newest: one page with everything in it, for a browser or for print.

    Every run writes it when it ends; this does so again. RUN may be cut short where that is unambiguous.

    \b
    Example:
      mnist-tfx report --open
      mnist-tfx report 20260101T1200 --root runs/mnist -o report.html
      mnist-tfx report --compare 20260101 20260102 --root runs/mnist
    """
    answer = _compared(root, compare, output) if compare else _written(root, run_id, output)
    if open_:
        webbrowser.open(Path(answer["path"]).absolute().as_uri())
    if as_json:
        print_answer(Answer(data=answer))
        return
    if answer["unanswered"]:
        say(f"warning: without what the models answer: {answer['unanswered']}")
    click.echo(answer["path"])


def _written(root: Path, run_id: str | None, output: Path | None) -> dict[str, Any]:
    from pipeline.report import write  # matplotlib and jinja2: not for --help

    made = write.write(root.absolute(), run_id, output=output)
    return {"runs": [made.run_id], "path": str(made.path), "bytes": made.bytes, "unanswered": made.unanswered or None}


def _compared(root: Path, names: tuple[str, str], output: Path | None) -> dict[str, Any]:
    from pipeline.report import compare as comparing

    made = comparing.write(root.absolute(), names, output=output)
    return {"runs": made.run_ids, "path": str(made.path), "bytes": made.bytes, "unanswered": made.unanswered or None}
