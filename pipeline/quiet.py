"""What the stack prints, in Python or in C++, -> the log file; the terminal is left to us."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

STDOUT: Final = 1
STDERR: Final = 2


def own_console(*, stderr: bool) -> Console:
    """Returns a console on a copy of standard output (or error), which stays when the original goes to the log."""
    return Console(
        file=os.fdopen(os.dup(STDERR if stderr else STDOUT), "w", encoding="utf-8", errors="replace"), highlight=False
    )


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends file descriptors 1 and 2 to `log` for the duration; they are back afterwards, however it ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (STDOUT, STDERR)}
    try:
        with log.open("ab") as file:
            for descriptor in kept:
                os.dup2(file.fileno(), descriptor)
        yield
    finally:
        _flush()
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
