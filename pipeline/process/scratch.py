"""A folder for the temporary files of one run, which is gone afterwards, also after the run was killed.

TensorFlow's AutoGraph, Beam and TFX leave files in TMPDIR when their processes end by `os._exit` or a signal, as those of
a run do. The folder holds a locked file as long as its run lives: a folder whose lock is free is removed by the next run.
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
def temporary_folder() -> Iterator[Path]:
    """Make TMPDIR a new folder, for this process and those it starts, and remove it in the end."""
    sweep(Path(tempfile.gettempdir()))
    folder, lock = _locked_folder()
    before = os.environ.get(TMPDIR), tempfile.tempdir
    os.environ[TMPDIR] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before[1]
        if before[0] is None:
            del os.environ[TMPDIR]
        else:
            os.environ[TMPDIR] = before[0]
        _remove(folder)
        os.close(lock)


def sweep(place: Path) -> None:
    """Remove the folders that killed runs of this user left in a folder."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: then only this run removes it
            fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)  # another run took it for a dead one, between the two lines above


def _remove(folder: Path) -> None:
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
