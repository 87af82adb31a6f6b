"""Folders for temporary files that are gone afterwards, also after the command that made them was killed.

A folder holds a locked file as long as its command lives: one whose lock is free is removed by the next command that makes
one. TensorFlow's AutoGraph, Beam and TFX leave files in TMPDIR when their processes end by `os._exit` or a signal, as those of
a run do: for a run, such a folder is TMPDIR.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "mnist-tfx-run-"
"""Short: Unix sockets are put below the folder, and their paths have at most 107 bytes."""

LOCK: Final = ".lock"
ATTEMPTS: Final = 10
"""Of removing a folder into which a dying process may still write."""

TMPDIR: Final = "TMPDIR"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a new folder below TMPDIR, and remove it in the end."""
    sweep(Path(tempfile.gettempdir()))
    made, lock = _locked_folder()
    try:
        yield made
    finally:
        _remove(made)
        os.close(lock)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make TMPDIR a new folder, for this process and those it starts, and remove it in the end."""
    with folder() as made:
        before = os.environ.get(TMPDIR), tempfile.tempdir
        os.environ[TMPDIR] = tempfile.tempdir = str(made)
        try:
            yield made
        finally:
            tempfile.tempdir = before[1]
            if before[0] is None:
                del os.environ[TMPDIR]
            else:
                os.environ[TMPDIR] = before[0]


def sweep(place: Path) -> None:
    """Remove the folders that killed commands of this user left in a folder."""
    for left in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            try:
                lock = os.open(left / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                os.rmdir(
                    left
                )  # its command was killed before it made the lock, or after it removed it: with nothing else inside
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)
            finally:
                os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # another command took it for a dead one's
        with contextlib.suppress(OSError):  # a file system without locks: then only this command removes it
            fcntl.flock(lock, fcntl.LOCK_EX)
        if (made / LOCK).exists():
            return made, lock
        os.close(lock)  # the same, between the two lines above


def _remove(made: Path) -> None:
    for _ in range(ATTEMPTS):
        # The lock goes last: who is killed in here leaves what the next command knows for a dead one's.
        with contextlib.suppress(OSError):
            for one in os.scandir(made):
                if one.is_dir(follow_symlinks=False):
                    shutil.rmtree(one.path, ignore_errors=True)
                elif one.name != LOCK:
                    os.unlink(one.path)
            if os.listdir(made) == [LOCK]:
                os.unlink(made / LOCK)
            os.rmdir(made)
        if not made.exists():
            return
