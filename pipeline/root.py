"""A root folder -> one pipeline's, held by one run at a time, wherever it was moved or copied to."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import filelock

from components.errors import BadInput, EnvironmentProblem
from pipeline.lineage import record_files
from pipeline.lineage.chain import Chain
from pipeline.lineage.records import ExecutionRecord
from pipeline.metadata_url import RECORDED
from pipeline.paths import RunPaths

LOCK_WAIT: Final = 3600.0
"""Seconds to wait for another run on the same root."""

PLACE: Final = "path"


def check_writable(paths: RunPaths) -> None:
    """Makes the root's folders and checks that they and its files can be written, before any work is done.

    Raises:
      EnvironmentProblem: naming the one that cannot.
    """
    folders = (paths.root, paths.records, paths.artifacts, paths.inputs, paths.serving, paths.log("").parent)
    files = [file for file in (paths.metadata, paths.ledger, paths.identity) if file.exists()]
    try:
        for place in (*folders, *files):
            if place in folders:
                place.mkdir(parents=True, exist_ok=True)
            if not os.access(place, os.W_OK | (os.X_OK if place in folders else 0)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    except OSError as err:
        hint = "choose another --root"
        raise EnvironmentProblem("not writable", where=err.filename, got=err.strerror, hint=hint) from err


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
    found = _read_identity(paths.identity)
    place = found.pop(PLACE, None)
    found.pop(RECORDED, None)
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


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as err:
        raise EnvironmentProblem("does not say which pipeline lives here", where=path, got=err) from err
    return found


def check_ledger(paths: RunPaths, chain: Chain) -> None:
    """Checks that the ledger has not been lost: a new one would start again from version 1, and prove nothing.

    Raises:
      EnvironmentProblem: if records tell of executions and the ledger of none.
    """
    if chain.lines or not any(isinstance(r, ExecutionRecord) for r in record_files.scan(paths.records).values()):
        return
    raise EnvironmentProblem(
        "the ledger is missing or empty, but there are records",
        where=paths.ledger,
        hint="put the file back from a copy, or use another --root",
    )


def claim(paths: RunPaths, identity: Mapping[str, Any], metadata: str | None = None) -> None:
    """Notes which pipeline lives in the root, where the root lies, and its metadata store's address if that is elsewhere.

    Args:
      paths: of the root.
      identity: of the pipeline.
      metadata: address without a password; None for the file in the root.
    """
    elsewhere = {} if metadata in (None, str(paths.metadata)) else {RECORDED: metadata}
    text = json.dumps({**identity, PLACE: str(paths.root), **elsewhere}, indent=2) + "\n"
    if paths.identity.exists() and paths.identity.read_text() == text:
        return
    new = paths.identity.with_suffix(".new")
    new.write_text(text)
    new.replace(paths.identity)
