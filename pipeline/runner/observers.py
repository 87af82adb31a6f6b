"""Observers of a run: the events in its log, and the file that says what it is doing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.errors import printable
from pipeline.process.output import MARK
from pipeline.provenance import at_work
from pipeline.provenance.at_work import Announcement
from pipeline.provenance.records import utc
from pipeline.root.paths import RunPaths
from pipeline.runner.progress import RunView

RUN: Final = "run"
"""What stands in place of a node where the event is the run's."""


class EventLog:
    """Our own events, each a line of the log: time, mark, node, what happened.

    Args:
      log: the file.
    """

    def __init__(self, log: Path) -> None:
        self._log = log

    def began(self, node: str | None, what: str) -> None:
        """Write that a node or a phase has begun."""
        self.happened(node, f"start, {what}" if node else what)

    def advanced(self, node: str | None, what: str) -> None:
        """Write how far a node is."""
        self.happened(node, what)

    def happened(self, node: str | None, what: str) -> None:
        """Write a line; a disk that is full is told of where it matters."""
        line = f"{utc(time.time())} {MARK} {node or RUN}: {printable(what)}\n"
        with contextlib.suppress(OSError), self._log.open("a") as log:
            log.write(line)


class Status:
    """What the run does now, for others to read.

    Args:
      announcement: of the run.
    """

    def __init__(self, announcement: Announcement) -> None:
        self._announcement = announcement

    def began(self, node: str | None, what: str) -> None:
        """Say what has begun."""
        self._announcement.phase(node or what)

    def advanced(self, node: str | None, what: str) -> None:
        """Say how far it is."""
        self._announcement.phase(f"{node}, {what}", began=False)

    def happened(self, node: str | None, what: str) -> None:
        """Say nothing: it is over."""


@contextlib.contextmanager
def observed(view: RunView, paths: RunPaths, run_id: str, recipe: str) -> Iterator[None]:
    """Keep the events of a run in its log, and say what it is doing, for the duration."""
    with contextlib.ExitStack() as told:
        announcement = told.enter_context(at_work.announced(paths, run_id, recipe))
        # After it, so that nobody writes to its file once that is closed: a view may serve several runs.
        told.enter_context(view.observed_by(EventLog(paths.log(run_id))))
        told.enter_context(view.observed_by(Status(announcement)))
        told.callback(view.close)
        view.note(None, f"{run_id} begins, recipe {recipe}")
        yield
