"""Digests of data files that this process has computed, kept for as long as the files are the same.

A run asks several times what its data hold: before it starts, when it plans, and when TFX's driver resolves the same
properties once more. A file is the same while device, inode, size and both times are; the kernel alone sets ctime, at
every write and for whoever sets mtime back. What was changed a moment before it was read may be changed again within
one tick of that clock, and is digested again (git calls such entries racy).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from components.ingest.payload import PayloadDigest

    Identity = tuple[int, int, int, int, int]

SETTLED_S: Final = 2.0
"""Seconds after its last change from which a file's times tell the next one: the tick of FAT's clock, the slowest."""

_KNOWN: Final[dict[Identity, PayloadDigest]] = {}

_LOCKS: Final[dict[tuple[Path, ...], threading.Lock]] = {}


def one_at_a_time(files: Sequence[Path]) -> threading.Lock:
    """Return the lock to hold while files are digested: who comes second waits, and then they are known."""
    return _LOCKS.setdefault(tuple(files), threading.Lock())  # one step of a dict, which threads may take side by side


def settled(path: Path) -> Identity | None:
    """Return what tells a file from all others, and from itself once it is changed; to be asked before it is read.

    None, if it was changed too short a time ago for that.
    """
    status = _status(path)
    newest = time.time() if status is None else max(status.st_ctime, status.st_mtime)
    return None if status is None or time.time() - newest < SETTLED_S else _identity(status)


def remember(path: Path, digest: PayloadDigest, *, before: Identity | None) -> None:
    """Keep the digest of a file that is what it was before it was read.

    Args:
      path: the file.
      digest: of it.
      before: what `settled` returned then.
    """
    status = _status(path)
    if before is not None and status is not None and _identity(status) == before:
        _KNOWN[before] = digest


def remember_own(path: Path, digest: PayloadDigest) -> None:
    """Keep the digest of a file that this process has just written, and nobody else writes to."""
    if (status := _status(path)) is not None:
        _KNOWN[_identity(status)] = digest


def known(path: Path) -> PayloadDigest | None:
    """Return the digest of a file, if it was computed before and the file is the same."""
    status = _status(path)
    return None if status is None else _KNOWN.get(_identity(status))


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
