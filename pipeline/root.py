"""A root folder -> one pipeline's, held by one run at a time, wherever it was moved or copied to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import filelock

from components.errors import BadInput, EnvironmentProblem
from pipeline.paths import RunPaths

LOCK_WAIT: Final = 3600.0
"""Seconds to wait for another run on the same root."""

PLACE: Final = "path"


@contextlib.contextmanager
def locked(paths: RunPaths, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the root, after waiting for another run and saying so.

    Raises:
      EnvironmentProblem: if the root cannot be written, or the other run does not end.
    """
    lock = filelock.FileLock(paths.lock)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"another run is writing to {paths.root}: waiting for it to end")
            lock.acquire(timeout=LOCK_WAIT)
    except filelock.Timeout as err:
        hint = "end it, or use another --root"
        raise EnvironmentProblem("another run is still writing here", where=paths.root, hint=hint) from err
    except OSError as err:
        raise EnvironmentProblem("not writable", where=paths.root, got=err.strerror) from err
    try:
        yield
    finally:
        lock.release()


def check_identity(paths: RunPaths, identity: Mapping[str, Any]) -> Path | None:
    """Checks that the root is free or this pipeline's, and returns where it lay when it was last written.

    Raises:
      BadInput: if another pipeline lives here, or one with another input signature.
    """
    if not paths.identity.exists():
        return None
    found = json.loads(paths.identity.read_text())
    place = found.pop(PLACE, None)
    wanted = json.loads(json.dumps(identity))  # tuples become lists, as they were when written
    if found != wanted:
        raise BadInput(
            "another pipeline lives in this root",
            where=paths.root,
            wanted=json.dumps(wanted),
            got=json.dumps(found),
            hint="use another --root",
        )
    return Path(place) if place else None


def claim(paths: RunPaths, identity: Mapping[str, Any]) -> None:
    """Notes which pipeline lives in the root, and where the root lies."""
    text = json.dumps({**identity, PLACE: str(paths.root)}, indent=2) + "\n"
    if paths.identity.exists() and paths.identity.read_text() == text:
        return
    new = paths.identity.with_suffix(".new")
    new.write_text(text)
    new.replace(paths.identity)
