"""The SQLite file of a metadata store: who is writing to it, and what to read where a crash left it half written.

SQLite keeps the pages that a transaction overwrites in a journal beside the file. A process that is killed in the
middle leaves both behind, and the next one to open the file for writing puts the pages back: nothing is wrong with such
a store. Whoever opens it for reading alone cannot, and gets "attempt to write a readonly database". So a reader that
has to leave the file as it is reads a copy, and lets SQLite roll that back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components import disk, untrusted
from components.errors import EnvironmentProblem
from pipeline.process import scratch

MAGIC: Final = b"SQLite format 3\0"
WRITER_BYTES: Final = (0x40000000, 2)
"""Where SQLite's PENDING and RESERVED locks lie (https://www.sqlite.org/src/file/src/os.h): a writer holds one."""

PENDING: Final = (0x40000000, 1)
SHARED: Final = (0x40000002, 510)
RESERVED: Final = (0x40000001, 1)
JOURNALS: Final = ("-journal", "-wal")

LEAST_ROOM: Final = 1 << 20
"""Bytes; the store of four runs on the digits has 0.3 MB."""

READ_WAIT: Final = 5.0
"""Seconds for which a reader waits for a writer, whose exclusive lock lasts milliseconds unless something is wrong."""

_WAL_FORMAT: Final = 2
_FORMAT: Final = 18
"""Byte of the header that says how the file is written: 1 with a rollback journal, 2 with a write-ahead log."""

_FLOCK: Final = "hhqqi4x"
"""struct flock of Linux on 64 bits: type, whence, start, length, process."""


class StoreLocked(EnvironmentProblem):
    """Another process is writing to the store."""


def locked_by(path: Path, process: int | None) -> StoreLocked:
    """Return the error that names who holds a file."""
    who = "another process" if process is None else f"process {process}"
    return StoreLocked(f"locked by {who}", where=path, hint="end it, or try again when it is done")


def problem(path: Path, err: Exception) -> EnvironmentProblem | None:
    """Return what ml_metadata's error means where it is about a lock or the disk; None if it is about something else."""
    from ml_metadata import errors

    # The constructor of ml_metadata's store turns an AbortedError into a RuntimeError.
    if isinstance(err, errors.AbortedError) or "Concurrent writes" in str(err):
        return locked_by(path, None)
    return no_space(path) if disk.is_full(err) else None


def no_space(path: Path) -> EnvironmentProblem:
    """Return the error of a store whose disk is full: a transaction's journal may hold as much as the whole file."""
    return disk.no_space(path, room(path))


def room(path: Path) -> int:
    """Return the bytes that have to be free for a transaction, whatever it changes."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return max(size, LEAST_ROOM)


def writer(path: Path) -> int | None:
    """Return the process that is writing to an SQLite file, or None; it must not be open in this process.

    Closing a file drops every POSIX lock that this process has on it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _holder(descriptor, WRITER_BYTES)
    finally:
        os.close(descriptor)


def header(path: Path) -> bytes:
    """Return the first hundred bytes of a file, fewer where it is shorter; a FIFO is not waited for.

    Raises:
      OSError: if it cannot be opened.
      EnvironmentProblem: if it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise EnvironmentProblem("is no plain file", where=path, got=untrusted.kind_of(mode))
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def readable(path: Path, wait: float = READ_WAIT) -> Iterator[tuple[Path, bool]]:
    """Yield the file to read in place of a store, and whether it is a copy, which may be opened for writing.

    The store's own files stay as they are. It must not be open in this process, see `writer`.

    Args:
      path: of the store.
      wait: seconds to wait for a process that is writing.

    Raises:
      StoreLocked: if that process does not end in time.
      EnvironmentProblem: if a journal is no regular file, or there is no room for a copy.
      OSError: if the store itself cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _share(descriptor, path, time.monotonic() + wait)
        left = _left_behind(descriptor, path)
        if not left and os.pread(descriptor, 1, _FORMAT) != bytes([_WAL_FORMAT]):
            os.close(descriptor)
            descriptor = -1
            yield path, False
            return
        with scratch.folder() as folder:
            # Our shared lock keeps writers away until all is copied.
            copy = _copied(path, left, folder)
            os.close(descriptor)
            descriptor = -1
            yield copy, True
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _left_behind(descriptor: int, path: Path) -> list[str]:
    """Return the journals that nobody is at work on; the one of a live writer is no business of a reader."""
    result = []
    for suffix in JOURNALS:
        try:
            status = os.lstat(f"{path}{suffix}")
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            kind = untrusted.kind_of(status.st_mode)
            raise EnvironmentProblem("is no plain file", where=f"{path}{suffix}", got=kind)
        if status.st_size:
            result.append(suffix)
    return [] if _holder(descriptor, RESERVED) is not None else result


def _copied(path: Path, journals: list[str], folder: Path) -> Path:
    copy = folder / "copy.db"
    try:
        for suffix in ("", *journals):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    except OSError as err:
        where = err.filename2 or err.filename or folder
        hint = "a crash left a journal beside the store, so that a copy is read: TMPDIR names where to put it"
        if disk.is_full(err):
            raise disk.no_space(folder, path.stat().st_size, hint=hint) from err
        raise EnvironmentProblem("cannot be copied", where=where, got=err.strerror, hint=hint) from err
    return copy


def _share(descriptor: int, path: Path, deadline: float) -> None:
    """Take SQLite's shared lock, as a reader does: nobody changes the file while it is held."""
    while not _try_to_share(descriptor):
        if time.monotonic() >= deadline:
            raise locked_by(path, _holder(descriptor, (PENDING[0], 512)))
        time.sleep(0.02)


def _try_to_share(descriptor: int) -> bool:
    try:
        _lock(descriptor, fcntl.F_RDLCK, PENDING)
        try:
            _lock(descriptor, fcntl.F_RDLCK, SHARED)
        finally:
            _lock(descriptor, fcntl.F_UNLCK, PENDING)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the file system likes
        return False
    return True


def _lock(descriptor: int, kind: int, place: tuple[int, int]) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, *place, 0))


def _holder(descriptor: int, place: tuple[int, int]) -> int | None:
    """Return a process that holds a lock which would keep a writer out, or None."""
    request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *place, 0)
    kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    return None if kind == fcntl.F_UNLCK else process
