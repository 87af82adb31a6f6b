"""A machine that gives a command no room, or no permission: a disk of its own that runs full, and another user."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NOBODY: Final = 65_534
"""Of user and group alike: who may read what anybody may, and write what is theirs."""

FILLER: Final = "filler"

# Of linux/prctl.h and linux/capability.h.
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAP_DAC_READ_SEARCH: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522


@contextlib.contextmanager
def own_disk(place: Path, size: str = "32m") -> Iterator[Path]:
    """Mounts a disk of its own on a new folder.

    Raises:
      PermissionError: unless root asks.
    """
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False).returncode:
        raise PermissionError("needs a tmpfs of its own, which takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(disk: Path, free: int) -> None:
    """Leaves so many bytes free on a disk."""
    room = os.statvfs(disk)
    with (disk / FILLER).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize - free)


def make_room(disk: Path) -> None:
    """Takes away what `fill` wrote."""
    (disk / FILLER).unlink()


@dataclass(frozen=True)
class Nobody:
    """Turns a process that root started into one of a user who owns nothing, and may read everything.

    The interpreter and this checkout may lie where only root may read; what a command may write is the question here.
    """

    def arm(self) -> None:
        """Gives all other rights up, for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        reads = 1 << _CAP_DAC_READ_SEARCH
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        kept = (ctypes.c_uint32 * 6)(reads, reads, reads, 0, 0, 0)
        if libc.capset(header, kept):
            raise PermissionError(ctypes.get_errno(), "cannot become another user")
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)  # for what it starts
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec: its own entries of /proc are its own


def give(place: Path) -> None:
    """Gives a file or folder with all that is in it to `Nobody`."""
    for folder, _, files in os.walk(place):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.lchown(path, NOBODY, NOBODY)
    os.lchown(place, NOBODY, NOBODY)


def take(place: Path) -> None:
    """Takes one file or folder from `Nobody`, who may go on reading it."""
    os.chown(place, 0, 0)
    os.chmod(place, 0o755 if place.is_dir() else 0o644)


def tree(place: Path) -> dict[str, str]:
    """Returns all that is there: the digest of each file, the kind of everything else; of locks only that they are there."""
    found = {}
    for path in sorted(place.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(place).as_posix()
        if name != FILLER:
            regular = stat.S_ISREG(mode)
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if regular else oct(stat.S_IFMT(mode))
    return found
