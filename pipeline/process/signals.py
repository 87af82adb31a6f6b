"""Signals that end a command, turned into an exception, or held back while something is visible but not yet recorded."""

from __future__ import annotations

import contextlib
import fcntl
import os
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
"""Seconds after which a signal that has not been dealt with is sent again."""

_IMPORT_SYSTEM: Final = "<frozen importlib._bootstrap>"

Leave = Callable[["Interrupted"], NoReturn]


class Interrupted(Exception):
    """Somebody wants the command to end; an Exception, since TFX's Launcher settles an execution only for those."""

    def __init__(self, number: int, hint: str | None = None) -> None:
        self.signal = signal.Signals(number).name
        super().__init__(f"interrupted by {self.signal}")
        self.number = number
        self.hint = hint
        self.exit_code = 128 + number


class Interruptions:
    """Raises `Interrupted` once; what comes later is only noted.

    Libraries have `except Exception` in many places, and one of them can swallow what the handler raised: `check`
    raises it again.

    Python runs a handler between two instructions. A signal that comes just before a blocking system call would wait
    for its end, such as the seconds until a process answers: a thread, which the kernel's part of the handler wakes,
    sends it again until it is dealt with.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._raised = False
        self._dealt_with = threading.Event()
        self._holds = 0
        self._handled = False
        self._handlers: dict[signal.Signals, Any] = {}
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

    def relay(self, error: Interrupted) -> None:
        """Note what arrived elsewhere: `check` raises it in a thread that no signal reaches."""
        self._number = error.number

    def forget(self) -> None:
        """Take what arrived for dealt with: a server is asked to end by a signal, and has answered all it took."""
        self._number = None

    def install(self) -> None:
        """Handle the signals from now on, in the main thread; a second call does nothing."""
        if not self._handled:
            self._handle()

    def close(self) -> None:
        """Ignore signals from now on: what is left to do is to say how the command ended, and to end."""
        self._holds += 1
        for number in self._handlers:
            # Python puts its own handlers back to the default when it ends, and leaves this one.
            signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Handle the signals for the duration, unless they are handled already or this is not the main thread."""
        if self._handled or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._handle()
        try:
            yield
        finally:
            self._handled = False
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._dealt_with.set()  # not before: the handler sets it too, and would wait for itself
            os.close(signal.set_wakeup_fd(-1))

    def _handle(self) -> None:
        self._number, self._raised, self._handled = None, False, True
        self._dealt_with = threading.Event()
        arrivals, wakes = map(_above_standard, os.pipe())
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        threading.Thread(target=self._send_again, args=(arrivals, self._dealt_with), daemon=True).start()
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        # What is ignored stays so: `nohup` does that to SIGHUP, a shell's `&` to SIGINT. None is a handler set by C.
        self._handlers = {number: now for number, now in handlers.items() if now not in (signal.SIG_IGN, None)}
        for number in self._handlers:
            signal.signal(number, self._arrived)

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Note signals without raising: from the first visible change to its record. `check` afterwards tells of them.

        They are raised in the main thread alone, so that no other has anything to hold back.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
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
            self._dealt_with.set()
            return
        error = Interrupted(self._number)
        if not _is_importing(frame):
            self._raised = True
            self._dealt_with.set()
            raise error
        if self._leave is not None:
            self._leave(error)

    def _send_again(self, arrivals: int, dealt_with: threading.Event) -> None:
        """Send what arrived to the main thread until `_arrived` has dealt with it; ends when the pipe is closed."""
        main = threading.main_thread().ident
        assert main is not None  # noqa: S101  # it has been started
        while number := os.read(arrivals, 1):
            if not dealt_with.wait(RETRY_S) and number[0] in SIGNALS:
                signal.pthread_kill(main, number[0])
        os.close(arrivals)


PROCESS: Final = Interruptions()
"""Those of this process: there is one set of handlers to a process."""


def _above_standard(descriptor: int) -> int:
    """Move a descriptor out of the place of a standard stream that is closed, which `standard_streams` fills later."""
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
