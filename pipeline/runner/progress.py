"""Progress of a run: a live table on a terminal; elsewhere a line per node, and one whenever nothing was printed for long.

Whatever else wants to know how a run goes is told through the same view: its log, and the file that says what it is doing
(`pipeline.runner.observers`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.ingest.copy_paths import readable
from pipeline.process import trace
from pipeline.process.silence import SILENCE_S, SilenceBreaker

FIGURES: Final = ("done", "total", "stage")

STYLES: Final = {
    "waiting": "dim",
    "running": "bold",
    "executed": "green",
    "cached": "cyan",
    "failed": "bold red",
    "skipped": "dim",
    "killed": "bold red",
    "succeeded": "green",
    "canceled": "yellow",
}


class Observer(Protocol):
    """Something that is told how a run goes."""

    def began(self, node: str | None, what: str) -> None:
        """Hear that a node, or a phase of the run itself, has begun."""

    def advanced(self, node: str | None, what: str) -> None:
        """Hear how far it is."""

    def happened(self, node: str | None, what: str) -> None:
        """Hear of something that is worth keeping, such as how a node ended."""


@dataclasses.dataclass
class Row:
    """One node's line.

    Attributes:
      state: waiting, running, executed, cached, failed or skipped; on a server that does not tell whether a task was
        cached, succeeded.
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
    """The progress of a run; safe to use without a terminal.

    Args:
      console: where to draw; a console that is no terminal gets one line per finished node, and no silence.
      silence_s: how long that may be silent.

    Attributes:
      console: where it draws.
    """

    def __init__(self, console: Console, *, silence_s: float = SILENCE_S) -> None:
        self.console = console
        self._silence = SilenceBreaker(self.under_way, self._print, silence_s)
        self._rows: dict[str, Row] = {}
        self._phase: tuple[str, float] | None = None
        self._drawing = False
        self._observers: list[Observer] = []
        self._live: Live | None = None

    @contextlib.contextmanager
    def observed_by(self, observer: Observer) -> Iterator[None]:
        """Tell an observer for the duration."""
        self._observers.append(observer)
        try:
            yield
        finally:
            self._observers.remove(observer)

    @contextlib.contextmanager
    def phase(self, what: str) -> Iterator[None]:
        """Show for the duration what is done beside the nodes, such as an import."""
        self.tell(lambda observer: observer.began(None, what))
        self._phase = what, time.monotonic()
        self._begin(transient=True)
        try:
            with trace.span(what):
                yield
        finally:
            self._phase = None
            if not self._rows:
                self.close()

    def open(self, nodes: Sequence[str]) -> None:
        """Show the nodes, all of them waiting."""
        self.close()
        self._rows = {node: Row() for node in nodes}
        self._begin(transient=False)

    def started(self, node: str) -> None:
        """Mark a node as under way."""
        self._rows[node] = Row(state="running", started=time.monotonic())
        place = list(self._rows).index(node) + 1
        self.tell(lambda observer: observer.began(node, f"node {place} of {len(self._rows)}"))

    def progress(self, node: str, line: Mapping[str, Any]) -> None:
        """Show one progress line of a node: `done`, `total`, and figures such as `loss`; what was `said` stays."""
        if "said" in line:
            self.say(f"{node}: {line['said']}")
            return
        row = self._rows[node]
        row.done, row.total = float(line.get("done", 0)), float(line.get("total", 0))
        figures = [f"{k} {v:.4f}" for k, v in line.items() if isinstance(v, float) and k not in FIGURES]
        row.note = f"{line.get('stage', '')} {_count(row)}  {'  '.join(figures)}".strip()
        self.tell(lambda observer: observer.advanced(node, row.note))

    def finished(self, node: str, state: str, seconds: float | None, why: str) -> None:
        """Show how a node ended."""
        self._rows[node] = Row(state=state, seconds=seconds, note=why)
        took = "" if seconds is None else f"{seconds:6.1f} s"
        if not self.console.is_terminal:
            self._print(f"{node:<16} {state:<9} {took:>8}  {why}".rstrip())
        self.tell(lambda observer: observer.happened(node, f"{state} {took.strip()}  {why}".rstrip()))

    def note(self, node: str | None, what: str) -> None:
        """Tell the observers of something that is not shown by itself."""
        self.tell(lambda observer: observer.happened(node, what))

    def say(self, message: str) -> None:
        """Print a line that stays, such as a warning."""
        message = readable(message)
        self.tell(lambda observer: observer.happened(None, message))
        self._print(message)

    def wait(self, message: str) -> None:
        """Print what is waited for."""
        self.tell(lambda observer: observer.began(None, message))
        self._print(message)

    def close(self) -> None:
        """Draw the table a last time, release the terminal, and let it be silent."""
        self._silence.close()
        self._drawing = False
        if self._live is not None:
            self._live.stop()
        self._live, self._rows = None, {}

    def under_way(self) -> str | None:
        """Return what is being done, since when and how far, in a line."""
        now = time.monotonic()
        if (running := self._running()) is not None:
            node, row = running
            return f"{node:<16} {'running':<9} {now - row.started:6.1f} s  {row.note}".rstrip()
        return None if self._phase is None else f"{self._phase[0]}: {now - self._phase[1]:.0f} s"

    def _running(self) -> tuple[str, Row] | None:
        return next(((node, row) for node, row in list(self._rows.items()) if row.state == "running"), None)

    def _print(self, line: str) -> None:
        self._silence.printed()
        self.console.print(Text(line), soft_wrap=True)

    def tell(self, told: Callable[[Observer], None]) -> None:
        """Tell the observers."""
        for observer in self._observers:
            told(observer)

    def _begin(self, *, transient: bool) -> None:
        if not self.console.is_terminal:
            self._silence.start()
        elif self._live is None:
            self._drawing = True
            self._live = Live(
                console=self.console,
                get_renderable=self._drawn,
                refresh_per_second=8,
                transient=transient,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = [self._table(), self._total()] if self._rows else []
        if self._phase is not None:
            what, since = self._phase
            parts.append(Spinner("dots", Text(f"{what}  {time.monotonic() - since:.0f} s", "dim")))
        return Group(*parts)

    def _total(self) -> Table:
        """Return how many of the nodes are done, while any is to be; nothing afterwards."""
        done = sum(row.state not in ("waiting", "running") for row in self._rows.values())
        line = Table.grid(padding=(0, 1))
        if not self._drawing or done == len(self._rows):
            return line
        line.add_row(
            ProgressBar(total=len(self._rows), completed=done, width=24), Text(f"{done}/{len(self._rows)} nodes")
        )
        return line

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
                drawn_note(row),
            )
        return table


def _count(row: Row) -> str:
    if row.total:
        return f"{row.done:.0f}/{row.total:.0f}"
    return f"{row.done:.0f}" if row.done else ""


def drawn_note(row: Row) -> Table | Text:
    """Return what is said about a node, with a bar where it is known how much of its work there is."""
    if row.state != "running" or not row.total:
        return Text(row.note, "dim")
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(total=row.total, completed=row.done, width=24), Text(row.note, "dim"))
    return line
