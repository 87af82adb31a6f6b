"""Standard output and standard error that never fail: what cannot be written is dropped, and the command is told at its end.

A reader that goes away (`| head -1`), a full disk behind `>`, a closed descriptor (`>&-`): none of them is a reason to
stop a training in its middle. Streams are replaced below Python's buffers, so that `print`, click and rich need not know.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


class Loss:
    """Whether anything meant for one standard stream was lost.

    Attributes:
      error: of the first write that failed; None if none did.
      written: whether anything was written or lost.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.written = False


class DroppingStream(io.RawIOBase):
    """A file descriptor, written to until that fails; then everything goes nowhere.

    Args:
      descriptor: stays open when the stream is closed.
      loss: told about a failure.
    """

    def __init__(self, descriptor: int, loss: Loss) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._loss = loss

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the bytes, or drop them all, and return their number."""
        self._loss.written = True
        try:
            while self._loss.error is None:
                if (count := self._try(data)) is not None:
                    return count
        except OSError as err:
            self._loss.error = err
        return memoryview(data).nbytes

    def _try(self, data: ReadableBuffer) -> int | None:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # whoever reads has set O_NONBLOCK, as node does to a pipe that it shares
            select.select([], [self._descriptor], [])
            return None


OUTPUT: Final = Loss()
ERRORS: Final = Loss()


def install() -> None:
    """Replace `sys.stdout` and `sys.stderr`, and fill the place of a standard descriptor that is closed.

    The next file to be opened would get its number, and with it all that C++ code prints.
    """
    losses = {STDIN: Loss(), STDOUT: OUTPUT, STDERR: ERRORS}
    for descriptor, loss in losses.items():
        loss.error, loss.written = None, False
        try:
            os.fstat(descriptor)
        except OSError as err:
            loss.error = err
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(descriptor, True)
    sys.stdout = text_stream(STDOUT, OUTPUT)
    sys.stderr = text_stream(STDERR, ERRORS)


def text_stream(descriptor: int, loss: Loss) -> TextIO:
    """Return a text stream on a descriptor that reports its failures to `loss` and raises none."""
    raw = DroppingStream(descriptor, loss)
    # Standard error is read while a command works, and so is what goes to a terminal.
    by_line = descriptor == STDERR or loss is ERRORS or (loss.error is None and raw.isatty())
    # A character that the terminal's encoding lacks is no reason to stop either.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(sys.__stdout__, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=by_line,
    )


def copy(*, stderr: bool) -> TextIO:
    """Return a stream on a copy of standard output (or error), which stays when the original goes elsewhere."""
    loss = ERRORS if stderr else OUTPUT
    try:
        return text_stream(os.dup(STDERR if stderr else STDOUT), loss)
    except OSError as err:
        loss.error = err
        return text_stream(STDERR if stderr else STDOUT, loss)


def flush() -> None:
    """Write what Python still holds."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def loss_of_output() -> str | None:
    """Return why something that was printed to standard output is lost, None if nothing is."""
    flush()
    if OUTPUT.error is None or not OUTPUT.written:
        return None
    return "it is closed" if OUTPUT.error.errno == errno.EBADF else OUTPUT.error.strerror or str(OUTPUT.error)
