"""`mnist-tfx run --sweep`: several candidates, one table, and the best of them served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import ExitCode
from pipeline.cli.main import leave
from pipeline.cli.output import Answer, figure, print_answer, print_error, print_line, print_results, say
from pipeline.config.pipeline_config import Reuse
from pipeline.config.sweep import Point
from pipeline.process.signals import PROCESS
from pipeline.runner.progress import RunView

if TYPE_CHECKING:
    from pipeline.provenance.keys import PrivateKey
    from pipeline.runner.sweep import Swept


def run(  # noqa: PLR0913  # what `run` was given
    points: Sequence[Point],
    reuse: Reuse,
    console: Console,
    *,
    jobs: int | None,
    sign_key: PrivateKey | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Run a sweep and print its table; return the exit code."""
    from pipeline.runner import sweep

    view = RunView(console)
    swept = sweep.run(points, reuse, view, jobs=jobs, sign_key=sign_key, verbose=verbose, leave=leave)
    answer = Answer(data=swept.to_dict(), error=swept.error)
    with PROCESS.held_back():
        if as_json:
            print_answer(answer)
        else:
            _print_end(swept, console)
        if answer.error is not None:
            print_error(answer.error)
    return answer.exit_code


def plan(points: Sequence[Point], reuse: Reuse, console: Console, *, as_json: bool) -> int:
    """Print what each candidate would execute; return the exit code."""
    from pipeline.runner import sweep

    plans = sweep.plan(points, reuse, say, leave=leave)
    if as_json:
        print_answer(Answer(data={"candidates": [one.to_dict() for one in plans]}))
        return ExitCode.OK
    table = _table("candidate", "would execute", "from the cache", "shared")
    for number, one in enumerate(plans, start=1):
        of = {state: [n["id"] for n in one.nodes if n["state"] == state] for state in ("execute", "cached", "shared")}
        table.add_row(
            f"{number}  {one.point}", ", ".join(of["execute"]), str(len(of["cached"])), str(len(of["shared"]))
        )
    console.print(table)
    print_line(console, f"then the best of {len(plans)} by validation is checked and pushed")
    return ExitCode.OK


def _print_end(swept: Swept, console: Console) -> None:
    data = swept.to_dict()
    table = _table("candidate", "validation", "test", "s", "")
    for number, row in enumerate(data["candidates"], start=1):
        state = row["state"] if row["version"] is None else f"version {row['version']}"
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(
            f"{number}  {swept.points[number - 1]}",
            _accuracy(row["validation_accuracy"]),
            _accuracy(row["test_accuracy"]),
            seconds,
            Text(state, "bold green" if row["version"] is not None else "dim"),
        )
    print_line(console, "")
    console.print(table)
    if swept.finished is not None:
        print_results(swept.finished.to_dict(), swept.root, console)
    print_line(console, f"time      {swept.total_s:.1f} s")


def _accuracy(value: Any) -> str:
    return "" if value is None else figure(value)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("validation", "test", "s") else "left")
    return table
