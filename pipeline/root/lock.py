"""A root folder -> one pipeline's, held by one run at a time, wherever it was moved or copied to."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import filelock

from components.errors import BadInput, EnvironmentProblem
from components.serving import CLAIMS_FILE, LOCK_FILE
from components.untrusted import is_file, kind_of
from pipeline import root_file
from pipeline.lineage import record_files
from pipeline.lineage.chain import Chain
from pipeline.lineage.records import ExecutionRecord
from pipeline.paths import RunPaths
from pipeline.root_file import PLACE, RECORDED

LOCK_WAIT: Final = 3600.0
"""Seconds to wait for another run on the same root."""

PLACES_OF_A_RUN: Final = (
    ".lock",
    "root.json",
    "ledger.jsonl",
    "metadata.db",
    "records",
    "inputs",
    "artifacts",
    "checkpoints",
    "serving",
    "logs",
    "reports",
)
"""What a run writes, relative to the root."""

WRITTEN_BY_A_PUSH: Final = ("ledger.jsonl", "metadata.db", "records", "artifacts", "serving")
"""What a push outside a run writes."""

_BESIDE_SQLITE: Final = ("-journal", "-wal", "-shm")
_HINT: Final = "mend that, or choose another --root"


def check_writable(paths: RunPaths, elsewhere: Path | None = None) -> None:
    """Makes the root's folders and checks all that a run writes, before any work is done.

    Args:
      paths: of the root.
      elsewhere: file of the metadata store, where that is not in the root.

    Raises:
      EnvironmentProblem: naming what cannot be written.
    """
    needed = (paths.root, paths.records, paths.artifacts, paths.inputs, paths.serving, paths.log("").parent)
    for folder in needed:
        _make(folder)
    check_places(paths, *PLACES_OF_A_RUN)
    for file in () if elsewhere is None else (elsewhere, *_beside_sqlite(elsewhere)):
        _check_place(file, wants_folder=False)


def check_places(paths: RunPaths, *places: str | Path) -> None:
    """Checks that folders and files can be written if they are there, and made if they are not.

    Args:
      paths: of the root.
      places: relative to the root; of `artifacts` the folders of nodes and channels too, of `serving` its lock and
        claims, and of `metadata.db` what SQLite puts beside it.

    Raises:
      EnvironmentProblem: naming the one that cannot.
    """
    for place in places:
        for path in (paths.root / place, *_within(paths, paths.root / place)):
            _check_place(path, wants_folder=_is_for_entries(paths, path))


def check_removable(folder: Path) -> None:
    """Checks that a folder or file can be removed, with everything in it.

    Raises:
      EnvironmentProblem: naming the folder that cannot be changed.
    """
    _check_place(folder.parent, wants_folder=True)
    if folder.is_symlink() or not folder.is_dir():
        return
    for inner, _, _ in os.walk(folder):
        _check_place(Path(inner), wants_folder=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return  # the check says what is there instead
    except OSError as err:
        raise _not_writable(err.filename or folder, err.strerror) from err


def _within(paths: RunPaths, place: Path) -> Iterator[Path]:
    if place == paths.artifacts:
        # Below these a node makes a folder for each execution; `.system` is where TFX keeps what it works with.
        yield from (path for pattern in ("*", "*/*", "*/.system/*") for path in place.glob(pattern) if path.is_dir())
    elif place == paths.report("").parent:
        yield paths.report_answers("").parent
    elif place == paths.serving:
        yield from (place / LOCK_FILE, place / CLAIMS_FILE)
    elif place == paths.metadata:
        yield from _beside_sqlite(place)
    elif place == paths.identity:
        yield _new_identity(paths)


def _beside_sqlite(store: Path) -> Iterator[Path]:
    return (store.with_name(f"{store.name}{suffix}") for suffix in _BESIDE_SQLITE)


def _is_for_entries(paths: RunPaths, path: Path) -> bool:
    files = (paths.lock, paths.ledger, paths.identity, _new_identity(paths), paths.metadata)
    inside = (paths.serving / LOCK_FILE, paths.serving / CLAIMS_FILE)
    return path not in (*files, *inside) and not path.name.endswith(_BESIDE_SQLITE)


def _check_place(path: Path, *, wants_folder: bool) -> None:
    if not os.path.lexists(path):
        _check_place(path.parent, wants_folder=True)
        return
    try:
        mode = path.stat().st_mode  # of what a link points at: a folder may lie on another volume
    except OSError as err:
        raise _not_writable(path, err.strerror) from err
    if wants_folder != stat.S_ISDIR(mode) or not (wants_folder or stat.S_ISREG(mode)):
        got = kind_of(mode)
        raise EnvironmentProblem(
            "cannot be written",
            where=path,
            wanted="a folder" if wants_folder else "a regular file",
            got=got,
            hint=_HINT,
        )
    if not os.access(path, os.W_OK | (os.X_OK if wants_folder else 0), effective_ids=True):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        raise _not_writable(path, os.strerror(errno.EROFS if read_only else errno.EACCES))


def _not_writable(path: str | Path, why: str | None) -> EnvironmentProblem:
    return EnvironmentProblem("not writable", where=path, got=why, hint=_HINT)


def _new_identity(paths: RunPaths) -> Path:
    return paths.identity.with_suffix(".new")


@contextlib.contextmanager
def locked(paths: RunPaths, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the root, after waiting for another run and saying so.

    Raises:
      EnvironmentProblem: if the root cannot be written, or the other run does not end.
    """
    check_places(paths, paths.lock)
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
        raise EnvironmentProblem("not writable", where=paths.lock, got=err.strerror) from err
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
    found = root_file.read(paths.identity)
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
    if is_file(paths.identity) and paths.identity.read_bytes() == text.encode():
        return
    new = _new_identity(paths)
    new.write_text(text)
    new.replace(paths.identity)
