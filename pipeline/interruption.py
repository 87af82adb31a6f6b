"""Signals that end a command, turned into an exception, or held back while something is visible but not yet recorded."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn

SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,  # the terminal is gone
    signal.SIGQUIT,
    signal.SIGUSR1,  # batch schedulers announce the end of a job's time with these three
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""All that end a process by default and that somebody sends on purpose."""

RETRY_S: Final = 0.05
"""Seconds after which a signal that met an import is sent again."""

_IMPORT_SYSTEM: Final = "<frozen importlib._bootstrap>"

Leave = Callable[["Interrupted"], NoReturn]


class Interrupted(Exception):
    """Somebody wants the command to end; an Exception, since TFX's Launcher settles an execution only for those."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number
        self.exit_code = 128 + number


class Interruptions:
    """Raises `Interrupted` once; what comes later is only noted.

    Libraries have `except Exception` in many places, and one of them can swallow what the handler raised: `check`
    raises it again.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._raised = False
        self._holds = 0
        self._handled = False
        self._leave: Leave | None = None

    @property
    def arrived(self) -> Interrupted | None:
        """The first signal that arrived, if any did."""
        return None if self._number is None else Interrupted(self._number)

    def check(self) -> None:
        """Raise what arrived, if anything did."""
        if self._number is not None:
            self._raised = True
            raise Interrupted(self._number)

    def install(self) -> None:
        """Handle the signals from now on, in the main thread; a second call does nothing."""
        if not self._handled:
            self._handle()

    def close(self) -> None:
        """Note signals without raising, for good: what is left to do is to say how the command ended."""
        self._holds += 1

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Handle the signals for the duration, unless they are handled already or this is not the main thread."""
        if self._handled or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = self._handle()
        try:
            yield
        finally:
            self._handled = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self) -> dict[signal.Signals, Any]:
        self._number, self._raised, self._handled = None, False, True
        found = {number: signal.getsignal(number) for number in SIGNALS}
        # What is ignored stays so: `nohup` does that to SIGHUP, a shell's `&` to SIGINT. None is a handler set by C.
        before = {number: now for number, now in found.items() if now not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, self._arrived)
        return before

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Note signals without raising: from the first visible change to its record. `check` afterwards tells of them."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    @contextlib.contextmanager
    def leaving(self, leave: Leave) -> Iterator[None]:
        """Surround imports that take seconds: a signal calls `leave`, which ends the process.

        An exception in the middle of an import leaves half a module behind, and whatever is raised next is about that.
        Anywhere else a signal that meets an import is raised as soon as the import is done.
        """
        before, self._leave = self._leave, leave
        try:
            yield
        finally:
            self._leave = before

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number
        if self._raised or self._holds:
            return
        error = Interrupted(self._number)
        if _is_importing(frame):
            if self._leave is not None:
                self._leave(error)
            again = threading.Timer(RETRY_S, signal.pthread_kill, (threading.main_thread().ident, number))
            again.daemon = True
            again.start()
            return
        self._raised = True
        raise error


PROCESS: Final = Interruptions()
"""Those of this process: there is one set of handlers to a process."""


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
