"""A folder beside its target that is written in peace, and takes the target's name in one rename; or goes without a trace."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def staging(to: Path, purpose: str) -> Iterator[Path]:
    """Give a new folder beside the target, locked as long as it is written, and remove what is left of it.

    Args:
      to: the target.
      purpose: a word in the folder's name, by which what was killed is swept away the next time.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{to.name}.{purpose}-"
    _sweep(to.parent, prefix)
    folder = to.parent / f"{prefix}{uuid.uuid4().hex}"
    folder.mkdir()
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path, prefix: str) -> None:
    """Remove the folders that killed writers to the same target left: those that nobody has locked."""
    for folder in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
