"""Progress bars on standard error, for what takes long and only where somebody is watching."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]


@contextlib.contextmanager
def bars(least: int) -> Iterator[Progress]:
    """Give a function that shows one bar for each thing that is being done.

    The function takes what is being done, how much of it is done, and how much there is; 0 stands for what is not
    known, and then it shows a count.

    Args:
      least: what there is less of is done before anybody could read it, and is not shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    console = Console(markup=False, stderr=True)
    # Without a terminal it would still write an empty line.
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        tasks: dict[str, TaskID] = {}

        def show(doing: str, done: int, total: int) -> None:
            if max(done, total) >= least:
                if doing not in tasks:
                    tasks[doing] = shown.add_task(doing, total=total or None)
                shown.update(tasks[doing], completed=done)

        yield show
