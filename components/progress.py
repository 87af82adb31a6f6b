"""Progress of the stage that this process works on, told to whoever runs it.

A process of its own writes JSON lines to the descriptor in $MNIST_TFX_PROGRESS_FD; a stage that runs in the runner's own
process is listened to. Where nobody listens, as in a pod or on a Beam worker elsewhere, nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

PROGRESS_FD: Final = "MNIST_TFX_PROGRESS_FD"
"""Environment variable: file descriptor for progress as JSON lines; unset, nothing is written."""

APART_S: Final = 0.5
"""Seconds between two counts; nobody reads faster."""

_LISTENERS: Final[list[Callable[[Mapping[str, Any]], None]]] = []


@contextlib.contextmanager
def listening(listener: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Call `listener` with what is reported in this process, by any of its threads, for the duration."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def report(stage: str, done: int = 0, total: int = 0, **figures: float) -> None:
    """Report how much of the work is done.

    Args:
      stage: what is done, such as `epoch` or `rows read`.
      done: how much of it.
      total: all of it, 0 where that is not known.
      figures: shown beside it.
    """
    _tell({"stage": stage, "done": done, "total": total, **figures})


def say(message: str) -> None:
    """Say, once, what is worth a line that stays.

    Args:
      message: one line.
    """
    _tell({"stage": message, "done": 0, "total": 0, "said": message})


def _tell(line: Mapping[str, Any]) -> None:
    for listener in _LISTENERS:
        listener(line)
    if (descriptor := os.environ.get(PROGRESS_FD)) is not None:
        try:
            os.write(int(descriptor), json.dumps(line).encode() + b"\n")
        except OSError:
            # Nobody is watching any more; the work is worth finishing all the same.
            del os.environ[PROGRESS_FD]


class Count:
    """Work that is done in many small parts, reported now and then.

    Args:
      stage: as for `report`.
      total: the same.
      done: what was done before.
    """

    def __init__(self, stage: str, total: int = 0, *, done: int = 0) -> None:
        self._stage = stage
        self._total = total
        self._done = done
        self._reported = time.monotonic()

    def add(self, amount: int) -> None:
        """Note that so much more is done."""
        self._done += amount
        now = time.monotonic()
        if now - self._reported >= APART_S or self._done == self._total:
            self._reported = now
            report(self._stage, self._done, self._total)
