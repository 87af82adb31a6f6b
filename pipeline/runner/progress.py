"""Progress of a run: the live table on a terminal, or one line per node elsewhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

STYLES: Final = {
    "waiting": "dim",
    "running": "bold",
    "executed": "green",
    "cached": "cyan",
    "failed": "bold red",
    "skipped": "dim",
}


@dataclasses.dataclass
class Row:
    """One node's line.

    Attributes:
      state: waiting, running, executed, cached, failed or skipped.
      seconds: how long it took; while it runs, None.
      note: why it was executed or not, or what is under way.
      done: work done so far, of `total`; total 0 shows no bar.
      total: all of the work.
      started: when it began, by the monotonic clock.
      spinner: turns while it runs.
    """

    state: str = "waiting"
    seconds: float | None = None
    note: str = ""
    done: float = 0
    total: float = 0
    started: float = 0.0
    spinner: Spinner = dataclasses.field(default_factory=lambda: Spinner("dots", "running"))


class RunView:
    """The table of nodes; safe to use without a terminal.

    Args:
      console: where to draw; a console that is no terminal gets one line per finished node.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._live = Live(
            console=console,
            get_renderable=self._table,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self, nodes: Sequence[str]) -> None:
        """Show the nodes, all of them waiting."""
        self._rows = {node: Row() for node in nodes}
        if self._console.is_terminal:
            self._live.start()

    def started(self, node: str) -> None:
        """Mark a node as under way."""
        self._rows[node] = Row(state="running", started=time.monotonic())

    def progress(self, node: str, line: Mapping[str, Any]) -> None:
        """Show one progress line of a Trainer: `done`, `total`, and figures such as `loss`."""
        row = self._rows[node]
        row.done, row.total = float(line.get("done", 0)), float(line.get("total", 0))
        figures = [f"{k} {v:.4f}" for k, v in line.items() if isinstance(v, float) and k not in ("done", "total")]
        row.note = f"{line.get('stage', '')} {row.done:g}/{row.total:g}  {'  '.join(figures)}"

    def finished(self, node: str, state: str, seconds: float | None, why: str) -> None:
        """Show how a node ended."""
        self._rows[node] = Row(state=state, seconds=seconds, note=why)
        if not self._console.is_terminal:
            took = "" if seconds is None else f"{seconds:6.1f} s"
            self.say(f"{node:<16} {state:<9} {took:>8}  {why}".rstrip())

    def say(self, message: str) -> None:
        """Print a line that stays, such as a warning."""
        self._console.print(Text(message), soft_wrap=True)

    def close(self) -> None:
        """Draw the table a last time and releases the terminal."""
        if self._live.is_started:
            self._live.stop()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("node", no_wrap=True, min_width=16)
        table.add_column("state", no_wrap=True, min_width=9)
        table.add_column("s", justify="right", no_wrap=True, min_width=5)
        table.add_column("", no_wrap=True, overflow="ellipsis")
        for node, row in self._rows.items():
            seconds = time.monotonic() - row.started if row.state == "running" else row.seconds
            table.add_row(
                Text(node),
                row.spinner if row.state == "running" else Text(row.state, STYLES[row.state]),
                "" if seconds is None else f"{seconds:.1f}",
                _note(row),
            )
        return table


def _note(row: Row) -> Table | Text:
    if row.state != "running" or not row.total:
        return Text(row.note, "dim")
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(total=row.total, completed=row.done, width=24), Text(row.note, "dim"))
    return line
