"""Whether everything that a command writes in a root can be written, asked before any work."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem
from components.serving import CLAIMS_FILE, LOCK_FILE
from components.untrusted import kind_of
from pipeline.root.paths import RunPaths

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
    "staged",
    "logs",
    "reports",
)
"""What a run writes, relative to the root."""

WRITTEN_BY_A_PUSH: Final = ("ledger.jsonl", "metadata.db", "records", "artifacts", "serving")
"""What a push outside a run writes."""

_BESIDE_SQLITE: Final = ("-journal", "-wal", "-shm")
_HINT: Final = "mend that, or choose another --root"


def check_writable(paths: RunPaths, elsewhere: Path | None = None) -> None:
    """Make the root's folders and check all that a run writes, before any work is done.

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
    if elsewhere is not None:
        check_store(elsewhere)


def check_store(file: Path) -> None:
    """Check that the file of a metadata store, and what SQLite puts beside it, can be written or made.

    Raises:
      EnvironmentProblem: naming the one that cannot.
    """
    for path in (file, *_beside_sqlite(file)):
        _check_place(path, wants_folder=False)


def check_places(paths: RunPaths, *places: str | Path) -> None:
    """Check that folders and files can be written if they are there, and made if they are not.

    Args:
      paths: of the root.
      places: relative to the root; of `artifacts` the folders of nodes and channels too, of `serving` and `staged` their
        locks and claims, and of `metadata.db` what SQLite puts beside it.

    Raises:
      EnvironmentProblem: naming the one that cannot.
    """
    for place in places:
        for path in (paths.root / place, *_within(paths, paths.root / place)):
            _check_place(path, wants_folder=_is_for_entries(paths, path))


def check_removable(folder: Path) -> None:
    """Check that a folder or file can be removed, with everything in it.

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
    elif place in (paths.serving, paths.staged):
        yield from (place / LOCK_FILE, place / CLAIMS_FILE)
    elif place == paths.metadata:
        yield from _beside_sqlite(place)
    elif place == paths.identity:
        yield paths.root  # a new `root.json` is written beside the old one, and then takes its name


def _beside_sqlite(store: Path) -> Iterator[Path]:
    return (store.with_name(f"{store.name}{suffix}") for suffix in _BESIDE_SQLITE)


def _is_for_entries(paths: RunPaths, path: Path) -> bool:
    files = (paths.lock, paths.ledger, paths.identity, paths.metadata)
    inside = [folder / name for folder in (paths.serving, paths.staged) for name in (LOCK_FILE, CLAIMS_FILE)]
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


def link_in_its_place(paths: RunPaths) -> EnvironmentProblem | None:
    """Return what is wrong with a folder of versions that is a link, and how to mend it; None where none is one.

    Whoever can change what it points at serves something else under the numbers of the ledger, and a removal would take
    place in a folder that may belong to somebody else.
    """
    link = next((folder for folder in (paths.serving, paths.staged) if folder.is_symlink()), None)
    if link is None:
        return None
    target = os.readlink(link)
    unlink = f"rm -- {shlex.quote(str(link))}"
    mend = f"{unlink} && mv -- {shlex.quote(os.path.join(link.parent, target))} {shlex.quote(str(link))}"
    hint = f"{mend}; a folder that has to stay on another volume is mounted there" if link.is_dir() else unlink
    return EnvironmentProblem("a link, which is not followed", where=link, got=f"a link to {target}", hint=hint)


def require_folder(paths: RunPaths) -> None:
    """Refuse a folder of versions, served or staged, that is a link; one that is not there yet is none.

    Raises:
      EnvironmentProblem: naming where it points, and the command that puts the folder into its place.
    """
    if (problem := link_in_its_place(paths)) is not None:
        raise problem
