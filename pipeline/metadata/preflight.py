"""Refusals of a metadata store that cannot be a root's, before any work: a file is looked at, then a server is asked.

Nothing is written, and neither TFX nor ml_metadata is imported. What only MLMD can tell, connecting tells.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem
from pipeline.metadata import server, sqlite
from pipeline.metadata.address import FORMS, OPTION, Address, SqliteFile, recorded_address
from pipeline.provenance.ledger import Chain, Event
from pipeline.root.paths import RunPaths

RUN_CONTEXT: Final = "pipeline_run"
"""Type of the contexts that TFX makes for runs; they are named by run id."""

_PAGE_SIZE, _PAGES, _CHANGED, _PAGES_VALID = slice(16, 18), slice(28, 32), slice(24, 28), slice(92, 96)
"""Where an SQLite file says how long it is (https://www.sqlite.org/fileformat.html, section 1.3)."""

_KNOWS_RUN: Final = """
    SELECT 1 FROM Context JOIN Type ON Context.type_id = Type.id WHERE Type.name = ? AND Context.name = ? LIMIT 1
"""


def check_file(address: Address, paths: RunPaths, chain: Chain) -> None:
    """Refuse a file that is not the store of a root's earlier runs; a server is left to `check_server`.

    Raises:
      BadInput: if there can be no file.
      EnvironmentProblem: if it is missing, empty or another one although the ledger has executions, or damaged.
    """
    if not isinstance(address, SqliteFile):
        return
    runs = runs_of(chain)
    check_bytes(address.path, expected=bool(runs), rebuild=advice(address, paths))
    if runs and not _may_know(address.path, runs):
        raise unknown_runs(address, paths)


def check_server(address: Address) -> None:
    """Refuse a server that cannot be reached, or that is of another kind.

    Raises:
      EnvironmentProblem: if it is none.
    """
    if not isinstance(address, SqliteFile):
        server.check_server(address)


def runs_of(chain: Chain) -> tuple[str, ...]:
    """Return the runs that left an execution in a root's store, newest first, so that one look is enough."""
    return tuple(dict.fromkeys(line.run_id for line in reversed(chain.lines) if line.event == Event.COMMIT))


def advice(address: Address, paths: RunPaths) -> str:
    """Return what to do about a store that is lost, damaged or another one."""
    elsewhere = "" if _is_own(address, paths) else f" --to {address}"
    rebuild = f"`mnist-tfx lineage rebuild --root {paths.root}{elsewhere}` makes it again from records and ledger"
    recorded = recorded_address(paths)
    return rebuild if recorded in (None, str(address)) else f"the last run had {OPTION} {recorded}; {rebuild}"


def unknown_runs(address: Address, paths: RunPaths) -> EnvironmentProblem:
    """Return the error of a store that knows no run of its root."""
    own = _is_own(address, paths)
    hint = f"move the file away: {advice(address, paths)}" if own else f"is {OPTION} the one of its earlier runs?"
    what = "the metadata store knows no run of this root, but the ledger does"
    return EnvironmentProblem(what, where=address, hint=hint)


def check_bytes(path: Path, *, expected: bool, rebuild: str) -> None:
    """Look at a file without opening it as a store, which would change one that is empty or damaged.

    Raises:
      BadInput: if there can be no file.
      EnvironmentProblem: if it is missing or empty although one is expected, damaged, or cannot be written.
    """
    if path.is_dir() or not path.parent.is_dir():
        got = "a folder" if path.is_dir() else f"no folder {path.parent}"
        raise BadInput("not a file's path", where=OPTION, wanted=f"a file, or {FORMS['sqlite']}", got=got)
    start, size = _start(path)
    if size == 0:
        if expected:
            what = "the metadata store is missing or empty, but the ledger is not"
            raise EnvironmentProblem(what, where=path, hint=rebuild)
        return
    if not start.startswith(sqlite.MAGIC):
        raise EnvironmentProblem("not an SQLite file", where=path, hint=rebuild)
    # While a journal lies beside it, SQLite itself has yet to put the file right.
    wanted = 0 if path.with_name(f"{path.name}-journal").exists() else _length(start)
    if size < wanted:
        raise EnvironmentProblem(
            "the metadata store was cut off", where=path, wanted=f"{wanted} bytes", got=size, hint=rebuild
        )


def _is_own(address: Address, paths: RunPaths) -> bool:
    return address == SqliteFile(path=paths.metadata)


def _may_know(path: Path, runs: Collection[str]) -> bool:
    """Return whether a store has one of these runs, or cannot be asked now: then connecting waits for it, and says so."""
    try:
        with (
            sqlite.readable(path, wait=0) as (file, _),
            contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store,
        ):
            return any(store.execute(_KNOWS_RUN, (RUN_CONTEXT, run)).fetchone() for run in runs)
    except (EnvironmentProblem, OSError, sqlite3.Error):
        return True


def _start(path: Path) -> tuple[bytes, int]:
    """Return an SQLite file's header and its size; nothing where there is no file."""
    try:
        with path.open("r+b") as file:
            return file.read(100), path.stat().st_size
    except FileNotFoundError:
        return b"", 0
    except OSError as err:
        raise EnvironmentProblem("the metadata store cannot be written", where=path, got=err.strerror) from err


def _length(start: bytes) -> int:
    """Return how long an SQLite file says it is; 0 where a writer older than SQLite 3.7 has left that open."""
    if len(start) < 100:
        return 100
    if start[_CHANGED] != start[_PAGES_VALID]:
        return 0
    size = int.from_bytes(start[_PAGE_SIZE], "big")
    return (65536 if size == 1 else size) * int.from_bytes(start[_PAGES], "big")
