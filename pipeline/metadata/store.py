"""Contents of `metadata.db`, without TFX, and the few changes that maintenance makes to it.

MLMD waits half a minute for a store that another process has locked, in silence and deep inside C++, and opens an
empty file as a new store. So the file is looked at first: what it is, and who holds SQLite's locks on it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from components import disk
from components.errors import BadInput, EnvironmentProblem
from pipeline.metadata.address import Address, SqliteFile, parse_address, recorded_address
from pipeline.metadata.sqlite import MAGIC, header, locked_by, problem, readable, room, writer
from pipeline.provenance.ledger import read_ledger
from pipeline.root.paths import RunPaths

LOCK_WAIT: Final = 25.0
"""Seconds to wait for another process, about as long as MLMD itself waits."""

NOTIFY_AFTER: Final = 2.0
"""Seconds after which a waiting command says so."""


class StoreLost(EnvironmentProblem):
    """There is no store, or none that opens; records and ledger can make it again."""


class Store:
    """An open metadata store of one root.

    Attributes:
      path: of the file in the root, or the address of a store elsewhere.
      raw: ml_metadata's own store.
    """

    def __init__(
        self,
        path: Path | Address,
        raw: Any,
        shared_by: RunPaths | None = None,
        copy: contextlib.ExitStack | None = None,
    ) -> None:
        """Take an open store.

        Args:
          path: of the file in the root, or the address of a store elsewhere.
          raw: ml_metadata's own store.
          shared_by: the root that asks, where other roots may use the store too.
          copy: keeps the copy that is read in the file's place, for as long as this object lives.
        """
        self.path = path
        self.raw = raw
        self._shared_by = shared_by
        self._copy = copy

    def require_room(self, more: int = 0) -> None:
        """Refuse to begin what the disk of the store has no room for; one on a server is not asked.

        Args:
          more: bytes that are written beside the store, where that is in the root.

        Raises:
          EnvironmentProblem: with the bytes that it takes, and those that are free.
        """
        if isinstance(self.path, Path):
            disk.require(self.path, room(self.path) + more)
        elif isinstance(self.path, SqliteFile):
            disk.require(self.path.path, room(self.path.path))

    def unfinished(self) -> list[Any]:
        """Return the root's executions that are NEW or RUNNING; with no run at work, whoever ran them is gone."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        active = (pb.Execution.NEW, pb.Execution.RUNNING)
        with explained(self.path):
            return [execution for execution in self._executions() if execution.last_known_state in active]

    def _executions(self) -> list[Any]:
        if self._shared_by is None:
            return list(self.raw.get_executions())
        # Roots of one recipe share their context of type pipeline: only its runs tell which executions are a root's.
        contexts = [self.raw.get_context_by_type_and_name("pipeline_run", run) for run in _runs(self._shared_by)]
        executions = (e for c in contexts if c is not None for e in self.raw.get_executions_by_context(c.id))
        return list({execution.id: execution for execution in executions}.values())

    def fail(self, executions: Iterable[Any]) -> None:
        """Mark executions as failed."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        dead = list(executions)
        for execution in dead:
            execution.last_known_state = pb.Execution.FAILED
        if dead:
            with explained(self.path):
                self.raw.put_executions(dead)

    def has_published(self, record: str) -> bool:
        """Return whether outputs that carry this record's hash were published by an execution that is complete."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        with explained(self.path):
            artifact_ids = [a.id for a in self.raw.get_artifacts() if record_of(a) == record]
            events = self.raw.get_events_by_artifact_ids(artifact_ids) if artifact_ids else []
            makers = {event.execution_id for event in events if event.type == pb.Event.OUTPUT}
            states = [execution.last_known_state for execution in self.raw.get_executions_by_id(sorted(makers))]
        return pb.Execution.COMPLETE in states

    def mark_deleted(self, records: Iterable[str]) -> int:
        """Mark the artifacts that these records made as deleted and return their number."""
        from ml_metadata.proto import metadata_store_pb2 as pb

        wanted = frozenset(records)
        with explained(self.path):
            gone = [a for a in self.raw.get_artifacts() if record_of(a) in wanted]
            for artifact in gone:
                artifact.state = pb.Artifact.DELETED
            if gone:
                self.raw.put_artifacts(gone)
        return len(gone)


def record_of(artifact: Any) -> str | None:
    """Return the hash of the record behind a stored artifact."""
    # `[]` would add the property to an artifact without one.
    value = artifact.custom_properties.get("record")
    return None if value is None else str(value.string_value)


def _runs(paths: RunPaths) -> tuple[str, ...]:
    """Return the runs of a root; one that was killed before it got into the ledger has its log."""
    logged = (path.stem for path in sorted(paths.log("").parent.glob("*.log")))
    return tuple(dict.fromkeys((*(line.run_id for line in read_ledger(paths.ledger).lines), *logged)))


def open_store(
    paths: RunPaths,
    *,
    say: Callable[[str], None],
    wait: float = LOCK_WAIT,
    notify_after: float = NOTIFY_AFTER,
    read_only: bool = False,
) -> Store:
    """Open a root's store, wherever its last run wrote to.

    Args:
      paths: of the root.
      say: told once that another process is being waited for.
      read_only: whether a store in a file stays as it is, even where a crash left a journal beside it.
      wait: seconds to wait for it.
      notify_after: seconds before `say` is told.

    Raises:
      StoreLost: if it is the file in the root, and missing, empty or unreadable.
      StoreLocked: if it is still locked in the end.
      EnvironmentProblem: if it is elsewhere and cannot be reached.
    """
    recorded = recorded_address(paths)
    if recorded is not None:
        address = _parsed(recorded, paths)
        if isinstance(address, SqliteFile):
            return _open_elsewhere(address, paths, _Opening(say, wait, notify_after, read_only))
        from pipeline.metadata import server

        return Store(address, server.connect(address), paths)
    return _Opening(say, wait, notify_after, read_only).open(paths.metadata, paths.metadata)


@dataclasses.dataclass(frozen=True)
class _Opening:
    """How to open a file: whom to tell about waiting, for how long, and whether it may be changed."""

    say: Callable[[str], None]
    wait: float
    notify_after: float
    read_only: bool

    def open(self, path: Path, name: Path | Address, shared_by: RunPaths | None = None) -> Store:
        check(path)
        await_writers(path, self.say, self.wait, self.notify_after)
        if not self.read_only:
            return Store(name, connect(path), shared_by)
        with contextlib.ExitStack() as stack:
            place, is_copy = stack.enter_context(readable(path))
            raw = connect(place, read_only=not is_copy)
            return Store(name, raw, shared_by, stack.pop_all())


def _parsed(recorded: str, paths: RunPaths) -> Address:
    try:
        return parse_address(recorded)
    except BadInput as err:
        raise EnvironmentProblem("names no metadata store", where=paths.identity, got=err.got) from err


def _open_elsewhere(address: SqliteFile, paths: RunPaths, opening: _Opening) -> Store:
    try:
        return opening.open(address.path, address, paths)
    except StoreLost as err:
        raise EnvironmentProblem(err.what, where=address, got=err.got, hint=_put_back(address)) from err


def _put_back(address: Address) -> str:
    return f"the root's last run wrote there: put it back, or `mnist-tfx lineage rebuild --to {address}`"


def check(path: Path) -> None:
    """Check that a file can be a store, without opening it: MLMD would fill an empty one.

    Raises:
      StoreLost: if it is missing, empty or no SQLite file.
    """
    try:
        start = header(path)[: len(MAGIC)]
    except OSError as err:
        raise StoreLost("no metadata store", where=path, got=err.strerror, hint=how_to_rebuild(path)) from err
    except EnvironmentProblem as err:
        raise StoreLost("no metadata store", where=path, got=err.got, hint=how_to_rebuild(path)) from err
    if start != MAGIC:
        what = "not an SQLite file" if start else "the metadata store is empty"
        raise StoreLost(what, where=path, hint=how_to_rebuild(path))


def how_to_rebuild(path: Path) -> str:
    """Return what to do about a store that is lost."""
    return f"`mnist-tfx lineage rebuild --root {path.parent}` makes it again from records and ledger"


def connect(path: Path, *, read_only: bool = False) -> Any:
    """Return ml_metadata's store at `path`, made if need be unless it is only read.

    Raises:
      EnvironmentProblem: as `explained`.
    """
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    _silence_client()
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    if read_only:
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    with explained(path):
        return metadata_store.MetadataStore(config)


def _silence_client() -> None:
    """Keep ml_metadata's client from printing each error before it raises it: `explained` says it, in one line."""
    logger = logging.getLogger("absl")
    if _is_news not in logger.filters:
        logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("mlmd client ")


@contextlib.contextmanager
def explained(where: Path | Address) -> Iterator[None]:
    """Turn ml_metadata's errors into one line.

    Args:
      where: path of the store in a root, or address of one elsewhere.

    Raises:
      StoreLocked: if another process is writing to the store.
      StoreLost: if the store in a root gave any other error.
      EnvironmentProblem: if one elsewhere did.
    """
    from ml_metadata import errors

    path = where.path if isinstance(where, SqliteFile) else where
    try:
        yield
    except (errors.StatusError, RuntimeError) as err:
        if not isinstance(path, Path):
            from pipeline.metadata import server

            raise server.problem(path, err) from err
        if (known := problem(path, err)) is not None:
            raise known from err
        first = (str(err).splitlines() or [type(err).__name__])[0][:200]
        if isinstance(where, SqliteFile):
            what = "cannot use the metadata store"
            raise EnvironmentProblem(what, where=where, got=first, hint=_put_back(where)) from err
        raise StoreLost("cannot use the metadata store", where=path, got=first, hint=how_to_rebuild(path)) from err


def await_writers(
    path: Path, say: Callable[[str], None], wait: float = LOCK_WAIT, notify_after: float = NOTIFY_AFTER
) -> None:
    """Wait until no other process is writing to a store; as `writer`, before this one opens it.

    Args:
      path: of the file.
      say: told once, after `notify_after` seconds, who is being waited for.
      wait: seconds to wait altogether.
      notify_after: seconds to wait in silence.

    Raises:
      StoreLocked: if the other process does not end in time.
    """
    started, said = time.monotonic(), False
    while (process := writer(path)) is not None:
        waited = time.monotonic() - started
        if waited >= wait:
            raise locked_by(path, process)
        if waited >= notify_after and not said:
            say(f"{path} is locked by process {process}: waiting for it")
            said = True
        time.sleep(0.05)
