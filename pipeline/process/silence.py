"""Silence that is broken: a line about what is under way whenever nothing was printed for a while.

Where nobody sees a bar move, such as in a log of a scheduler, a job that says nothing for minutes looks like one that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

SILENCE_S: Final = 30.0
"""Seconds without a line that are too long."""


class SilenceBreaker:
    """A thread that prints a line when none was printed for a while.

    Args:
      line: what is under way; None for nothing worth a line.
      say: prints it.
      silence_s: seconds that may be silent.
    """

    def __init__(
        self, line: Callable[[], str | None], say: Callable[[str], None], silence_s: float = SILENCE_S
    ) -> None:
        self._line = line
        self._say = say
        self._silence_s = silence_s
        self._printed = time.monotonic()
        self._closed = threading.Event()
        self._closed.set()

    def printed(self) -> None:
        """Note that something else was just printed."""
        self._printed = time.monotonic()

    def start(self) -> None:
        """Listen from now on; a second call does nothing."""
        if self._closed.is_set():
            self._closed = threading.Event()
            self.printed()
            threading.Thread(target=self._listen, args=(self._closed,), daemon=True).start()

    def close(self) -> None:
        """Print nothing more."""
        self._closed.set()

    def _listen(self, closed: threading.Event) -> None:
        while not closed.wait(max(self._silence_s - (time.monotonic() - self._printed), 0.01)):
            if time.monotonic() - self._printed < self._silence_s:
                continue
            if (line := self._line()) is not None:
                self._say(line)
            self.printed()
