"""A full disk in words: what is full, how much is needed, how much is free, and what to do; the same words everywhere.

A disk is full whoever meets it: Python as ENOSPC or EDQUOT, SQLite inside ML Metadata as "database or disk is full",
TensorFlow as "No space left on device" in the middle of another sentence.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
SAID: Final = ("No space left on device", "Disk quota exceeded", "database or disk is full")
"""How libraries say it that raise no OSError."""

_PATH: Final = re.compile(r"(?<![\w/])/[^\s;:'\"\])]+")

_BLOCK: Final = 4096

AGAIN: Final = "make room there, then run the same command again: what is finished is not done again"


def is_full(error: BaseException | str) -> bool:
    """Return whether an error, or its text, means that a disk is full."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(said in str(error) for said in SAID)


def no_space(where: object, need: int | None = None, *, hint: str = AGAIN) -> EnvironmentProblem:
    """Return the error that names a full disk.

    Args:
      where: what could not be written.
      need: bytes that it takes; None where only its writer knew, and then it is more than what is free.
      hint: what to do.
    """
    free = _free(Path(str(where)))
    wanted = f"{need} bytes" if need is not None else "more than that" if free is None else f"more than {free} bytes"
    got = "unknown" if free is None else f"{free} bytes free{_quota(free, need)}"
    return EnvironmentProblem("no space left", where=where, wanted=wanted, got=got, hint=hint)


def taken(sizes: Iterable[int]) -> int:
    """Return the bytes that files of these sizes take on a disk, which gives each of them whole blocks."""
    return sum(-(-size // _BLOCK) * _BLOCK for size in sizes)


def require(where: Path, need: int) -> None:
    """Refuse work that needs more bytes than are free in a folder, before it begins.

    Raises:
      EnvironmentProblem: with both numbers.
    """
    free = _free(where)
    if free is not None and free < need:
        raise no_space(where, need)


def of_error(error: BaseException) -> EnvironmentProblem:
    """Return the error that names the full disk which some library met, by the path that it names, if any."""
    named = getattr(error, "filename", None) or next(iter(_PATH.findall(str(error))), None)
    return no_space(named) if named else EnvironmentProblem("no space left", hint=AGAIN)


def problem(error: OSError, what: str, *, where: object, need: int | None = None) -> EnvironmentProblem:
    """Return a failed write as one line: of a full disk in the words of `no_space`, of anything else as `what`.

    Args:
      error: of the operating system.
      what: could not be done.
      where: the file or folder, unless the error names one.
      need: bytes that were to be written, if they are known.
    """
    place = error.filename or where
    if is_full(error):
        return no_space(place, need)
    wanted = None if need is None else f"{need} bytes"
    return EnvironmentProblem(what, where=place, wanted=wanted, got=error.strerror)


def _quota(free: int, need: int | None) -> str:
    """Return what explains that a disk with room is full: a quota, or no inode left."""
    return ", so that a quota or the number of files is used up" if need is not None and free > need else ""


def _free(place: Path) -> int | None:
    """Return the bytes free on the file system of the nearest folder that is there."""
    for folder in (place, *place.absolute().parents):
        if os.path.isdir(folder):
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None
