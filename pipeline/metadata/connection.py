"""The runner's connection to the metadata store, made once the store is known to be the root's.

Left to itself, MLMD takes a lost store for a new one, waits minutes for a locked one without a word, and answers a
wrong password with an empty message. So the file or the server is looked at before MLMD is, every opening waits for
other writers and says so, and whatever MLMD raises ends as one line that names the store.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from tfx.orchestration import metadata

from components.errors import EnvironmentProblem
from pipeline.metadata import preflight, server, sqlite, store
from pipeline.metadata.address import Address, GrpcService, SqliteFile
from pipeline.metadata.preflight import RUN_CONTEXT
from pipeline.provenance.ledger import Chain
from pipeline.root.paths import RunPaths

NOTIFY_AFTER: Final = 3.0
"""Seconds of waiting for another process after which the user is told."""


class Connection(metadata.Metadata):  # type: ignore[misc]  # TFX ships no types
    """TFX's handle on a store, which the Launcher opens and closes around each piece of its work.

    Attributes:
      address: of the store.
    """

    def __init__(self, address: Address, *, say: Callable[[str], None], rebuild: str) -> None:
        """Open nothing yet.

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
        """Return what MLMD raised as one line, without the password."""
        text = " ".join(str(error).split()).partition(" query: ")[0][:300]  # MLMD adds some lines of SQL
        if isinstance(self.address, SqliteFile):
            return sqlite.problem(self.address.path, error) or EnvironmentProblem(
                "cannot use the metadata store", where=self.address, got=text, hint=self._rebuild
            )
        return server.problem(self.address, error)

    def _open(self) -> metadata_store.MetadataStore:
        if isinstance(self.address, SqliteFile) and self.address.path.exists():
            try:
                store.await_writers(self.address.path, self._say, self._wait, NOTIFY_AFTER)
            except sqlite.StoreLocked:
                self._wait = 0.0  # settling what the failure left open does not wait once more
                raise
            except OSError as err:
                what = "the metadata store cannot be written"
                raise EnvironmentProblem(what, where=self.address.path, got=err.strerror) from err
        try:
            return metadata_store.MetadataStore(self._connection_config)
        except (errors.StatusError, RuntimeError) as err:
            raise self.problem(err) from err


def connect(address: Address | None, paths: RunPaths, chain: Chain, say: Callable[[str], None]) -> Connection:
    """Return a connection to a root's store, which is made for a new root.

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
    rebuild, runs = preflight.advice(address, paths), preflight.runs_of(chain)
    if isinstance(address, SqliteFile):
        preflight.check_bytes(address.path, expected=bool(runs), rebuild=rebuild)
    preflight.check_server(address)
    connection = Connection(address, say=say, rebuild=rebuild)
    _probe(connection)
    with connection as handle:
        if runs and not any(run_context(handle.store, run) for run in runs):
            raise preflight.unknown_runs(address, paths)
    return connection


def run_context(raw: metadata_store.MetadataStore, run_id: str) -> Any:
    """Return the context of a run, or None where the store does not know it."""
    return raw.get_context_by_type_and_name(RUN_CONTEXT, run_id)


def _probe(connection: Connection) -> None:
    """Ask a service something that it can answer at once: its connection is made with the first call."""
    if not isinstance(connection.address, GrpcService):
        return
    try:
        server.probe(connection.address)
    except errors.StatusError as err:
        raise connection.problem(err) from err
