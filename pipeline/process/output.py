"""Redirection of the libraries' standard output and error, from Python and from C++, to the log file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from pipeline.process import log_filter, standard_streams
from pipeline.process.signals import PROCESS
from pipeline.process.standard_streams import STDERR, STDOUT, Loss

MARK: Final = "mnist-tfx"
"""What every event of ours has in a log after its time, between the lines of the libraries."""

DRAINED_S: Final = 2.0
"""Seconds to wait at the end for the last lines."""


def own_console(*, stderr: bool) -> Console:
    """Return a console on a copy of standard output (or error), which stays when the original goes to the log."""
    return Console(markup=False, file=standard_streams.copy(stderr=stderr), highlight=False)


@contextlib.contextmanager
def log_output(log: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to `log` for the duration, without the lines that every run prints.

    Processes that are started meanwhile inherit the two. The filter is a process of its own: C++ code prints while it
    holds Python's lock, and would wait for ever for a thread of its own process to read.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if os.environ.get(log_filter.UNFILTERED):
        with redirect_output(log):
            yield
        return
    # Isolated and without site-packages it starts in 15 ms.
    command = [sys.executable, "-I", "-S", log_filter.__file__, str(log)]
    with PROCESS.held_back():
        filtering = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    assert filtering.stdin is not None  # noqa: S101  # it is a pipe
    try:
        with filtering.stdin as pipe, _redirected(pipe.fileno()):
            pipe.close()
            yield
    finally:
        # It has read everything once all who write have ended; a process that is left behind is not waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            filtering.wait(timeout=DRAINED_S)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to `log` for the duration; they are back afterwards, however it ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file, _redirected(file.fileno()):
        yield


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    standard_streams.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (STDOUT, STDERR)}
    try:
        for descriptor in kept:
            os.dup2(target, descriptor)
        # A log that cannot be written is no loss of what the command prints.
        with (
            contextlib.redirect_stdout(standard_streams.text_stream(STDOUT, Loss())),
            contextlib.redirect_stderr(standard_streams.text_stream(STDERR, Loss())),
        ):
            try:
                yield
            finally:
                standard_streams.flush()
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
