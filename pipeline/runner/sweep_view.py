"""Progress of candidates that are trained side by side: a line to each on a terminal, elsewhere lines that say whose they are."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.process.silence import SILENCE_S, SilenceBreaker
from pipeline.runner.progress import Observer, Row, RunView, drawn_note

LONGEST_LABEL: Final = 40


class Board:
    """What all candidates show.

    Args:
      view: of the sweep, whose observers hear of everything; where it draws on no terminal there are lines alone.
      labels: of the candidates.
      silence_s: how long nothing may be printed where there is no terminal.
    """

    def __init__(self, view: RunView, labels: tuple[str, ...], *, silence_s: float = SILENCE_S) -> None:
        self._console = view.console
        self._view = view
        self._labels = labels
        self._lock = threading.RLock()  # one candidate says something while another is drawn
        self._silence = SilenceBreaker(self._under_way, view.say, silence_s)
        self._at_work: dict[int, CandidateView] = {}

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the candidates that are at work, for the duration."""
        with contextlib.ExitStack() as drawing:
            if self._console.is_terminal:
                drawing.enter_context(
                    Live(
                        console=self._console,
                        get_renderable=self._drawn,
                        refresh_per_second=8,
                        transient=True,
                        redirect_stdout=False,
                        redirect_stderr=False,
                    )
                )
            else:
                self._silence.start()
                drawing.callback(self._silence.close)
            yield

    @contextlib.contextmanager
    def candidate(self, number: int) -> Iterator[CandidateView]:
        """Give the view of a candidate, which is shown for the duration."""
        view = CandidateView(self._console, number, self)
        with self._lock:
            self._at_work[number] = view
        try:
            yield view
        finally:
            with self._lock:
                del self._at_work[number]

    def print(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._silence.printed()
            self._console.print(Text(line), soft_wrap=True)

    def tell(self, told: Callable[[Observer], None]) -> None:
        """Tell those who observe the sweep."""
        with self._lock:
            self._view.tell(told)

    def _under_way(self) -> str | None:
        with self._lock:
            lines = [f"candidate {number}: {view.under_way()}" for number, view in sorted(self._at_work.items())]
        return "; ".join(" ".join(line.split()) for line in lines) or None

    def _drawn(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("candidate", "", "node", "s", ""):
            table.add_column(heading, no_wrap=True, overflow="ellipsis")
        with self._lock:
            for number, view in sorted(self._at_work.items()):
                node, row = view.now()
                seconds = f"{time.monotonic() - row.started:.1f}" if row.started else ""
                label = self._labels[number - 1]
                short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 3]}..."
                table.add_row(str(number), Text(short, "dim"), node, seconds, drawn_note(row))
        return table


class CandidateView(RunView):
    """The progress of one candidate, on the board of all."""

    def __init__(self, console: Console, number: int, board: Board) -> None:
        super().__init__(console)
        self._number = number
        self._board = board

    def now(self) -> tuple[str, Row]:
        """Return the node or the phase that it is at, and its line."""
        if self._phase is not None:
            return self._phase[0], Row(started=self._phase[1])
        return self._running() or ("waits for its turn", Row())

    def close(self) -> None:
        """Show no node any more."""
        self._rows = {}

    def tell(self, told: Callable[[Observer], None]) -> None:
        """Tell the observers of this candidate, and those of the sweep, which hear whose it is."""
        super().tell(told)
        self._board.tell(lambda observer: told(_Named(observer, self._number)))

    def _print(self, line: str) -> None:
        self._board.print(f"{self._number:>3}  {line}")

    def _begin(self, *, transient: bool) -> None:
        del transient


class _Named:
    """An observer of a sweep, as one candidate tells it."""

    def __init__(self, observer: Observer, number: int) -> None:
        self._observer = observer
        self._number = number

    def began(self, node: str | None, what: str) -> None:
        """Pass on that a node, or a phase of the run itself, has begun."""
        self._observer.began(self._name(node), what)

    def advanced(self, node: str | None, what: str) -> None:
        """Pass on how far it is."""
        self._observer.advanced(self._name(node), what)

    def happened(self, node: str | None, what: str) -> None:
        """Pass on something that is worth keeping."""
        self._observer.happened(self._name(node), what)

    def _name(self, node: str | None) -> str:
        return f"candidate {self._number}" + ("" if node is None else f", {node}")
