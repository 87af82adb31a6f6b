"""SIGINT and SIGTERM -> an exception where the work is, so that what is open gets settled before the process ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Somebody wants the run to end; an Exception, since TFX's Launcher settles an execution only for those."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Interruptions:
    """Raises `Interrupted` once; what comes later is only noted.

    Libraries have `except Exception` in many places, and one of them can swallow what the handler raised: `check`
    raises it again.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._settling = False

    def check(self) -> None:
        """Raises what arrived, if anything did."""
        if self._number is not None:
            raise Interrupted(self._number)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Handles the signals in the main thread for the duration; elsewhere it changes nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._arrived) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Notes signals without raising: for the last lines that a run writes about itself."""
        self._settling = True
        try:
            yield
        finally:
            self._settling = False

    def _arrived(self, number: int, frame: object) -> None:
        del frame
        first = self._number is None
        self._number = number
        if first and not self._settling:
            raise Interrupted(number)
