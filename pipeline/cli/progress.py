"""Progress on standard error of what takes long: bars on a terminal, elsewhere a line whenever there was none for a while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.process.output import own_console
from pipeline.process.silence import SILENCE_S, SilenceBreaker

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

Progress = Callable[[str, int, int], None]


@contextlib.contextmanager
def bars(least: int = 0, *, in_bytes: bool = False, silence_s: float = SILENCE_S) -> Iterator[Progress]:
    """Give a function that shows one bar for each thing that is being done.

    The function takes what is being done, how much of it is done, and how much there is; 0 stands for what is not
    known, and then it shows a count. Any thread may call it.

    Args:
      least: what there is less of is done before anybody could read it, and gets no bar.
      in_bytes: whether what is counted are bytes.
      silence_s: without a terminal, seconds after which a line says how far it is.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    # What the libraries print may be on its way to nowhere meanwhile.
    console = own_console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
    )
    if console.is_terminal:
        with Progress(*columns, console=console, transient=True) as drawn:
            yield _Drawn(drawn, least, in_bytes=in_bytes).show
        return
    lines = _Lines(in_bytes=in_bytes)
    breaker = SilenceBreaker(lines.line, lambda line: console.print(line, soft_wrap=True), silence_s)
    breaker.start()
    try:
        yield lines.show
    finally:
        breaker.close()


class _Drawn:
    def __init__(self, bars: Bars, least: int, *, in_bytes: bool) -> None:
        self._bars = bars
        self._least = least
        self._in_bytes = in_bytes
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def show(self, doing: str, done: int, total: int) -> None:
        if max(done, total) < self._least:
            return
        count = _count(done, total, in_bytes=self._in_bytes)
        with self._lock:
            if doing not in self._tasks:
                self._tasks[doing] = self._bars.add_task(doing, total=None, count=count)
        self._bars.update(self._tasks[doing], completed=done, total=total or None, count=count)


class _Lines:
    def __init__(self, *, in_bytes: bool) -> None:
        self._in_bytes = in_bytes
        self._last: tuple[str, int, int] | None = None

    def show(self, doing: str, done: int, total: int) -> None:
        self._last = doing, done, total

    def line(self) -> str | None:
        if self._last is None:
            return None
        doing, done, total = self._last
        return f"{doing}: {_count(done, total, in_bytes=self._in_bytes)}".rstrip(": ")


def _count(done: int, total: int, *, in_bytes: bool) -> str:
    from rich.filesize import decimal

    shown = decimal if in_bytes else str
    if total:
        return f"{shown(done)} of {shown(total)}"
    return shown(done) if done else ""
