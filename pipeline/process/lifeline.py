"""Processes that do not outlive the one that started them, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

PARENT: Final = "MNIST_TFX_PARENT"
"""Environment variable: process id of whoever started this process."""

_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""


def environment() -> dict[str, str]:
    """Return what a process that calls `die_with_parent` finds its parent by."""
    return {PARENT: str(os.getpid())}


def die_with_parent(number: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Have the kernel send this process a signal when its parent ends; to be called first of all.

    The kernel looks at the parent's thread: start such a process from a thread that lives as long as its process.

    Args:
      number: what to send.
      parent: its process id; found in the environment by default, 0 if it is not known.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    wanted = int(os.environ.get(PARENT, "0")) if parent is None else parent
    # It may have ended before the call. A parent of number 1 proves nothing: in a container that is the run itself.
    if wanted and os.getppid() != wanted:
        os.kill(os.getpid(), number)
