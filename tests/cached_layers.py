"""Folders that take long to make, kept in ~/.cache/mnist-tfx and shared by every checkout on the machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
import debian_root

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-tfx" / "second-lane"


def debian(release: str) -> Path:
    """Return a minimal root of a Debian release, for copies: nobody writes to it."""
    return layer("minbase", release.encode(), lambda folder: debian_root.bootstrap(folder, release))


def layer(name: str, made_from: bytes, build: Callable[[Path], None]) -> Path:
    """Return a cached folder, which is built if there is none made from the same; nobody removes it while this runs."""
    folder = CACHE / f"{name}-{hashlib.sha256(made_from).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{folder}.lock", os.O_CREAT | os.O_RDWR, 0o644)  # never closed: it is held until the process ends
    fcntl.flock(lock, fcntl.LOCK_SH)
    if not folder.exists():
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():  # another process may have made it between the two locks
            _make(folder, build)
            _remove_unused(name)
        fcntl.flock(lock, fcntl.LOCK_SH)
    return folder


def _make(folder: Path, build: Callable[[Path], None]) -> None:
    click.echo(f"making {folder}")
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    build(part)
    part.rename(folder)


def _remove_unused(name: str) -> None:
    for lock_file in CACHE.glob(f"{name}-*.lock"):
        with lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for unused in (lock_file.with_suffix(""), lock_file.with_suffix(".part")):
                shutil.rmtree(unused, ignore_errors=True)
