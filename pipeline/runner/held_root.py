"""A root that is held for runs which go on side by side, one of them at a time at work in it.

Planning, the metadata store, the ledger, records, and all of TFX that is in this process belong to whoever has the turn. It
is let go of only while a process of its own works for a run, which is where the time goes: what is trained side by side is
recorded one after another, as it would have been by runs that came one after another.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from components.errors import MnistTfxError
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.process.forkserver_client import Progress
from pipeline.process.signals import Interruptions
from pipeline.provenance.ledger_writer import Ledger, require_ledger
from pipeline.root.identity import check_identity
from pipeline.root.lock import locked

POLL_S: Final = 0.1
"""Seconds after which a wait for another run looks whether it was interrupted."""


class Processes(Protocol):
    """Where executors that need the engines run."""

    def start(self) -> None:
        """Start importing the engines, unless they are there."""

    def run(self, node: str, request: Mapping[str, Any], env: Mapping[str, str], progress: Progress) -> bytes:
        """Run one executor, as `StageProcesses.run` does."""


class HeldRoot:
    """A root whose lock this process holds.

    Args:
      ledger: open for appending.
      before: where the root lay when it was last written; None for a new one.

    Attributes:
      is_settled: whether a run has settled what others left open, which it must not do beside another.
      fresh: keys of nodes that were executed since the lock was taken; what was forced once is shared from then on.
    """

    def __init__(self, ledger: Ledger, before: Path | None) -> None:
        self.ledger = ledger
        self.before = before
        self.is_settled = False
        self.fresh: set[str] = set()
        self._busy: set[str] = set()
        self._turn = threading.Condition(threading.Lock())
        self._owner: int | None = None

    @contextlib.contextmanager
    def turn(self, interruptions: Interruptions) -> Iterator[None]:
        """Have the turn for the duration, after those who wait for it already or have it."""
        try:
            self._take(interruptions)
            yield
        finally:
            self._give(interruptions)

    @contextlib.contextmanager
    def let_go(self, interruptions: Interruptions) -> Iterator[None]:
        """Leave the turn to others for the duration; it is had again afterwards, however that ends."""
        try:
            try:
                self._give(interruptions)
                yield
            finally:
                self._take(interruptions)
        except BaseException:
            self._take(interruptions)  # a signal may have come between the two lines above
            raise

    @contextlib.contextmanager
    def executing(self, key: str | None) -> Iterator[None]:
        """Have others wait for this work instead of doing it as well."""
        if key is None:
            yield
            return
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)

    def is_busy(self, key: str | None) -> bool:
        """Return whether another run executes this work."""
        return key in self._busy

    def await_others(self, key: str | None, interruptions: Interruptions) -> None:
        """Wait until nobody executes this work, while others have the turn."""
        while key in self._busy:
            with interruptions.held_back():
                self._owner = None
                self._turn.wait(POLL_S)
                self._owner = threading.get_ident()
            interruptions.check()

    def _take(self, interruptions: Interruptions) -> None:
        # A signal that was raised between the two lines would leave the turn to nobody.
        with interruptions.held_back():
            if self._owner != threading.get_ident():
                self._turn.acquire()
                self._owner = threading.get_ident()

    def _give(self, interruptions: Interruptions) -> None:
        with interruptions.held_back():
            if self._owner == threading.get_ident():
                self._owner = None
                self._turn.notify_all()
                self._turn.release()


class TurnTaking:
    """The processes of one of several runs: while one works for it, others have the turn.

    Args:
      processes: that all of them share.
      held: the root.
      interruptions: of the thread that the run is in.
      working: called with a node's id and whether its process has done its work, before and after it.
    """

    def __init__(
        self,
        processes: Processes,
        held: HeldRoot,
        interruptions: Interruptions,
        working: Callable[[str, bool], None],
    ) -> None:
        self._processes = processes
        self._held = held
        self._interruptions = interruptions
        self._working = working

    def start(self) -> None:
        """Start importing the engines."""
        self._processes.start()

    def run(self, node: str, request: Mapping[str, Any], env: Mapping[str, str], progress: Progress) -> bytes:
        """Run one executor.

        Raises:
          Interrupted: where the end of its process was that of everything.
          MnistTfxError: as `StageProcesses.run`.
        """
        self._working(node, False)
        try:
            with self._held.let_go(self._interruptions):
                output = self._processes.run(node, request, env, progress)
        except MnistTfxError:
            self._interruptions.check()
            raise
        self._working(node, True)
        return output


@contextlib.contextmanager
def hold(config: PipelineConfig, wait: Callable[[str], None]) -> Iterator[HeldRoot]:
    """Hold the root of a pipeline, after waiting for another run and saying so.

    Raises:
      BadInput: if another pipeline lives there.
      EnvironmentProblem: if it cannot be written or its ledger is lost or broken, or the other run does not end.
    """
    with locked(config.paths, wait):
        before = check_identity(config.paths, config.identity)
        ledger = Ledger.open(config.paths.ledger)
        require_ledger(config.paths, ledger.chain)
        yield HeldRoot(ledger, before)
