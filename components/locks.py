"""Exclusive locks on files (flock), which the kernel releases when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Final

POLL_S: Final = 0.01
"""Seconds between two attempts: a signal's handler runs in between, which a blocking flock would keep waiting."""


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], timeout: float) -> Iterator[int]:
    """Hold the lock of a file, which is made if need be, and give its descriptor for reading and writing.

    Args:
      path: the file; only whoever has it locked may remove it.
      timeout: seconds to wait for another holder, 0 not to wait, or infinity.

    Raises:
      BlockingIOError: if somebody else holds it for longer.
      OSError: if it cannot be opened, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + timeout
        while not _acquired(descriptor):
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), os.fspath(path))
            time.sleep(POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquired(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
