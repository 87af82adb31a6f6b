"""Redirection of the libraries' standard output and error, from Python and from C++, to the log file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from pipeline.process import standard_streams
from pipeline.process.standard_streams import STDERR, STDOUT, Loss


def own_console(*, stderr: bool) -> Console:
    """Return a console on a copy of standard output (or error), which stays when the original goes to the log."""
    return Console(markup=False, file=standard_streams.copy(stderr=stderr), highlight=False)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to `log` for the duration; they are back afterwards, however it ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    standard_streams.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (STDOUT, STDERR)}
    try:
        with log.open("ab") as file:
            for descriptor in kept:
                os.dup2(file.fileno(), descriptor)
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
