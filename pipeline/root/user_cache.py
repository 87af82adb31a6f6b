"""The user's cache folder: what lies outside every root because it can be fetched or read again."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from components.files import remove_dead_parts, replacing

CACHE: Final = "MNIST_TFX_CACHE"
"""Environment variable that names the folder."""

REPORTS: Final = "reports"
"""Folder of the chapters of reports, which have pictures of the data."""


def user_cache() -> Path:
    """Return the folder, by `CACHE` or by the XDG base directory specification; it may not exist.

    Raises:
      RuntimeError: if neither names one and the user has no home.
    """
    if named := os.environ.get(CACHE):
        return Path(os.path.realpath(named))
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    return Path(os.path.realpath(base if os.path.isabs(base) else Path("~/.cache").expanduser())) / "mnist-tfx"


def is_own(path: Path) -> bool:
    """Return whether this user alone can write to a plain file or folder; what is there may be used without a check.

    Raises:
      OSError: if nothing is there.
    """
    status = os.lstat(path)
    kind = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return kind and status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def kept_reports(record: str) -> list[Path]:
    """Return the files with chapters of reports on what an execution of ExampleGen ingested, by the hash of its record."""
    try:
        return sorted((user_cache() / REPORTS).glob(f"{record}-*.json"))
    except (OSError, RuntimeError):  # RuntimeError: no home
        return []


def keep(path: Path, content: bytes, most: int) -> None:
    """Write a file for this user alone, and remove all files of its folder and suffix but the `most` newest.

    Raises:
      OSError: if it cannot be written.
    """
    with replacing(path) as file:
        file.write(content)
    path.chmod(0o600)
    files = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda one: one.stat().st_mtime)
    for old in files[:-most]:
        old.unlink(missing_ok=True)
    remove_dead_parts(path.parent)
