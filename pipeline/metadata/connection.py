"""An address and a root's ledger -> a connection to the metadata store for the runner, once it is the right one.

Left to itself, MLMD takes a lost store for a new one, waits minutes for a locked one without a word, and answers a
wrong password with an empty message. So the file or the server is looked at before MLMD is, every opening waits for
other writers and says so, and whatever MLMD raises ends as one line that names the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from tfx.orchestration import metadata

from components import disk
from components.errors import BadInput, EnvironmentProblem
from pipeline.metadata import server, sqlite, store
from pipeline.metadata.address import FORMS, OPTION, Address, GrpcService, SqliteFile, recorded_address
from pipeline.provenance.ledger import Chain, Event
from pipeline.root.paths import RunPaths

PATIENCE: Final = 3.0
"""Seconds of waiting for another process after which the user is told."""

RUN_CONTEXT: Final = "pipeline_run"
"""Type of the contexts that TFX makes for runs; they are named by run id."""

_PAGE_SIZE, _PAGES, _CHANGED, _PAGES_VALID = slice(16, 18), slice(28, 32), slice(24, 28), slice(92, 96)
"""Where an SQLite file says how long it is (https://www.sqlite.org/fileformat.html, section 1.3)."""


class Connection(metadata.Metadata):  # type: ignore[misc]  # TFX ships no types
    """TFX's handle on a store, which the Launcher opens and closes around each piece of its work.

    Attributes:
      address: of the store.
    """

    def __init__(self, address: Address, *, say: Callable[[str], None], rebuild: str) -> None:
        """Opens nothing yet.

        Args:
          address: of the store.
          say: told once per wait that another process is being waited for.
          rebuild: what to do about a store that is damaged.
        """
        super().__init__(address.config())
        self.address = address
        self._say = say
        self._rebuild = rebuild
        self._wait = store.LOCK_WAIT

    def __enter__(self) -> Connection:  # noqa: PYI034  # Self is typing_extensions' in Python 3.10
        # TFX's own tries ten times, half a minute each on a locked file, and opens anew where it is open already.
        if self._users == 0:
            self._store = self._open()
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, errors.StatusError):
            raise self.problem(error) from error

    def problem(self, error: Exception) -> EnvironmentProblem:
        """Returns what MLMD raised as one line, without the password."""
        text = " ".join(str(error).split()).partition(" query: ")[0][:300]  # MLMD adds some lines of SQL
        if isinstance(self.address, SqliteFile):
            # Its constructor turns an AbortedError into a RuntimeError.
            if isinstance(error, errors.AbortedError) or "Concurrent writes" in text:
                return sqlite.locked_by(self.address.path, None)
            if disk.is_full(error):
                return sqlite.no_space(self.address.path)
            return EnvironmentProblem("cannot use the metadata store", where=self.address, got=text, hint=self._rebuild)
        return server.problem(self.address, error)

    def _open(self) -> metadata_store.MetadataStore:
        if isinstance(self.address, SqliteFile) and self.address.path.exists():
            self._await_writers(self.address.path)
        try:
            return metadata_store.MetadataStore(self._connection_config)
        except (errors.StatusError, RuntimeError) as err:
            raise self.problem(err) from err

    def _await_writers(self, path: Path) -> None:
        """Waits until no other process writes, for MLMD would wait inside C++, where no message gets out."""
        started, told = time.monotonic(), False
        while (process := _writer(path)) is not None:
            waited = time.monotonic() - started
            if waited >= self._wait:
                self._wait = 0.0  # settling what the failure left open does not wait once more
                raise sqlite.locked_by(path, process)
            if waited >= PATIENCE and not told:
                self._say(f"{path} is locked by process {process}: waiting for it")
                told = True
            time.sleep(0.05)


def connect(address: Address | None, paths: RunPaths, chain: Chain, say: Callable[[str], None]) -> Connection:
    """Returns a connection to a root's store, which is made for a new root.

    Args:
      address: of the store; the SQLite file in the root by default.
      paths: of the root.
      chain: of its ledger.
      say: told that another process is being waited for.

    Raises:
      BadInput: if an SQLite file cannot be at that place.
      EnvironmentProblem: if the store is locked, damaged or cannot be reached, or if the ledger has executions and the
        store is missing, empty or another one.
    """
    address = address or SqliteFile(path=paths.metadata)
    elsewhere = f" --to {address}" if address != SqliteFile(path=paths.metadata) else ""
    rebuild = f"`mnist-tfx lineage rebuild --root {paths.root}{elsewhere}` makes it again from records and ledger"
    recorded = recorded_address(paths)
    if recorded not in (None, str(address)):
        rebuild = f"the last run had {OPTION} {recorded}; {rebuild}"
    # Newest first, so that one look is enough.
    runs = dict.fromkeys(line.run_id for line in reversed(chain.lines) if line.event == Event.COMMIT)
    if isinstance(address, SqliteFile):
        _check_file(address.path, expected=bool(runs), rebuild=rebuild)
    else:
        server.check_server(address)
    connection = Connection(address, say=say, rebuild=rebuild)
    _probe(connection)
    with connection as handle:
        if runs and not any(run_context(handle.store, run) for run in runs):
            other = f"is {OPTION} the one of its earlier runs?"
            raise EnvironmentProblem(
                "the metadata store knows no run of this root, but the ledger does",
                where=address,
                hint=other if elsewhere else f"move the file away: {rebuild}",
            )
    return connection


def run_context(raw: metadata_store.MetadataStore, run_id: str) -> Any:
    """Returns the context of a run, or None where the store does not know it."""
    return raw.get_context_by_type_and_name(RUN_CONTEXT, run_id)


def _probe(connection: Connection) -> None:
    """Asks a service something that it can answer at once: its connection is made with the first call."""
    if not isinstance(connection.address, GrpcService):
        return
    try:
        server.probe(connection.address)
    except errors.StatusError as err:
        raise connection.problem(err) from err


def _check_file(path: Path, *, expected: bool, rebuild: str) -> None:
    """Looks at a file without opening it as a store, which would change one that is empty or damaged.

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


def _start(path: Path) -> tuple[bytes, int]:
    """Returns an SQLite file's header and its size; nothing where there is no file."""
    try:
        with path.open("r+b") as file:
            return file.read(100), path.stat().st_size
    except FileNotFoundError:
        return b"", 0
    except OSError as err:
        raise EnvironmentProblem("the metadata store cannot be written", where=path, got=err.strerror) from err


def _length(start: bytes) -> int:
    """Returns how long an SQLite file says it is; 0 where a writer older than SQLite 3.7 has left that open."""
    if len(start) < 100:
        return 100
    if start[_CHANGED] != start[_PAGES_VALID]:
        return 0
    size = int.from_bytes(start[_PAGE_SIZE], "big")
    return (65536 if size == 1 else size) * int.from_bytes(start[_PAGES], "big")


def _writer(path: Path) -> int | None:
    try:
        return sqlite.writer(path)
    except OSError as err:
        raise EnvironmentProblem("the metadata store cannot be written", where=path, got=err.strerror) from err
