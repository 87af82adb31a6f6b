"""The writer of the ledger: lines are appended under a lock, and are on disk before the next thing happens.

An intent is written before a node executes and a commit after its outputs are published, so that a crash leaves an
intent which nothing settles; the next run settles it from the metadata store, or marks it lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components import disk, locks
from components.errors import BadInput, EnvironmentProblem
from components.files import sync_folder
from components.untrusted import kind_of, parse_json
from pipeline.provenance.ledger import (
    Chain,
    Event,
    Head,
    LedgerBroken,
    Line,
    Push,
    checked,
    no_lines,
    read_ledger,
)
from pipeline.provenance.ledger_lines import File, blocks
from pipeline.provenance.record_store import scan
from pipeline.provenance.records import ExecutionRecord, utc
from pipeline.root.paths import RunPaths

LOCK_WAIT: Final = 60.0
"""Seconds to wait for another writer, which holds the lock for one line at a time."""


class Ledger:
    """A ledger open for appending; several processes may append to one at a time.

    Attributes:
      path: of the file, made with the first line.
      repaired: what was done about a line that a crash tore, in words; None if none was.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.repaired: str | None = None
        self._clock = clock
        self._lines = no_lines(File(path), path)
        self._chain = Chain(self._lines)

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Ledger:
        """Return the ledger at `path`, verified from its first line, a torn last line repaired.

        Raises:
          LedgerBroken: naming the first bad line.
          EnvironmentProblem: if it cannot be read or locked.
        """
        ledger = cls(path, clock=clock)
        if path.exists():
            with ledger._locked() as descriptor:
                ledger._catch_up(descriptor)
        return ledger

    @property
    def chain(self) -> Chain:
        """What this ledger has read and written so far."""
        return self._chain

    @property
    def _size(self) -> int:
        return self._lines.size

    def verify(self) -> Head:
        """Read the whole file again and return its head.

        Raises:
          LedgerBroken: naming the first bad line, or that lines which this process knows are gone.
        """
        head = self._chain.head
        chain = read_ledger(self.path)
        chain.expect(head)
        return chain.head

    def unsettled(self) -> tuple[Line, ...]:
        """Return the intents that nothing has committed or given up."""
        return self._chain.unsettled()

    def intent(self, *, node: str, run_id: str, **details: Any) -> Line:
        """Append that a node is about to execute; on disk when this returns."""
        return self._append(Event.INTENT, node=node, run_id=run_id, record=None, details=details)

    def commit(self, intent: Line, *, record: str, **details: Any) -> Line:
        """Append that an intent was published, with the hash of its record."""
        return self._settle(Event.COMMIT, intent, record, details)

    def lost(self, intent: Line, *, why: str, **details: Any) -> Line:
        """Append that an intent came to nothing."""
        return self._settle(Event.LOST, intent, None, {"why": why, **details})

    def run(self, *, run_id: str, record: str, **details: Any) -> Line:
        """Append that a run ended, with the hash of its record."""
        return self._append(Event.RUN, node=None, run_id=run_id, record=record, details=details)

    def pushed(self, *, node: str, run_id: str, version: int, digest: str, **details: Any) -> Line:
        """Append that the model with the tree digest `digest` became a served version."""
        details = {"version": version, "sha256": digest, **details}
        return self._append(Event.PUSHED, node=node, run_id=run_id, record=None, details=details)

    def staged(self, *, node: str, run_id: str, version: int, digest: str, **details: Any) -> Line:
        """Append that the model with the tree digest `digest` became a staged version."""
        details = {"version": version, "sha256": digest, **details}
        return self._append(Event.STAGED, node=node, run_id=run_id, record=None, details=details)

    def promoting(self, *, run_id: str, version: int, digest: str, **details: Any) -> Line:
        """Append that a staged version is about to be moved into service."""
        details = {"version": version, "sha256": digest, **details}
        return self._append(Event.PROMOTING, node=None, run_id=run_id, record=None, details=details)

    def promoted(self, staging: Push, **details: Any) -> Line:
        """Append that a staged version is in service; node and run are those that staged it."""
        details = {"version": staging.version, "sha256": staging.sha256, **details}
        line = staging.line
        return self._append(Event.PROMOTED, node=line.node, run_id=line.run_id, record=None, details=details)

    def said(self, event: str, *, run_id: str, **details: Any) -> Line:
        """Append what somebody said: one of the events of approvals and keys."""
        return self._append(event, node=None, run_id=run_id, record=None, details=details)

    def collected(self, *, node: str, run_id: str, record: str, paths: Sequence[str], **details: Any) -> Line:
        """Append that artifacts of a record are about to be removed; an audit then calls them collected, not missing."""
        details = {"paths": list(paths), **details}
        return self._append(Event.COLLECTED, node=node, run_id=run_id, record=record, details=details)

    def pruned(self, *, run_id: str, version: int, digest: str | None, **details: Any) -> Line:
        """Append that a served version, the model with the tree digest `digest`, is about to be removed."""
        details = {"version": version, "sha256": digest, **details}
        return self._append(Event.PRUNED, node=None, run_id=run_id, record=None, details=details)

    def _settle(self, event: str, intent: Line, record: str | None, details: Mapping[str, Any]) -> Line:
        if intent.event != Event.INTENT or intent.sequence not in {line.sequence for line in self.unsettled()}:
            raise ValueError(f"line {intent.sequence} is no unsettled intent")
        details = {"intent": intent.sequence, **details}
        return self._append(event, node=intent.node, run_id=intent.run_id, record=record, details=details)

    def _append(
        self, event: str, *, node: str | None, run_id: str, record: str | None, details: Mapping[str, Any]
    ) -> Line:
        new = not self.path.exists()
        with self._locked() as descriptor:
            self._catch_up(descriptor)
            head = self._chain.head
            line = Line(
                sequence=head.sequence + 1,
                previous=head.digest,
                time=utc(self._clock()),
                event=event,
                node=node,
                run_id=run_id,
                record=record,
                details=details,
            )
            self._write(descriptor, line)
        if new:
            sync_folder(self.path.parent)
        return line

    def _catch_up(self, descriptor: int) -> None:
        """Read what other processes appended, and repairs what one of them left half written."""
        size = os.fstat(descriptor).st_size
        if size < self._size:
            raise LedgerBroken("its tail was cut", where=self.path, wanted=f"{self._size} bytes", got=size)
        if size == self._size:
            return
        self._lines, torn = self._lines.read_on(blocks(descriptor, self._size, size))
        self._chain = Chain(self._lines)
        if torn:
            self._repair(descriptor, torn)

    def _repair(self, descriptor: int, torn: bytes) -> None:
        number = self._chain.head.sequence + 1
        try:
            parse_json(torn, where=self.path)
        except BadInput:
            os.ftruncate(descriptor, self._size)
            os.fsync(descriptor)
            self.repaired = f"line {number} was torn by a crash: its {len(torn)} bytes were removed"
            return
        line = checked(torn, self._chain.head, self.path)  # whole but for its newline, or tampered with
        self._write(descriptor, line)
        self.repaired = f"line {number} lacked its end, which was added"

    def _write(self, descriptor: int, line: Line) -> None:
        data = line.to_bytes()
        try:
            _write_all(descriptor, data, self._size)
        except OSError as err:
            os.ftruncate(descriptor, self._size)
            raise disk.problem(err, "cannot write to the ledger", where=self.path, need=len(data)) from err
        self._lines = self._lines.plus(line)
        self._chain = Chain(self._lines)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        with contextlib.ExitStack() as held:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = held.enter_context(locks.locked(self.path, LOCK_WAIT))
            except BlockingIOError as err:
                hint = f"waited {LOCK_WAIT:.0f} s for it"
                raise EnvironmentProblem("is locked by another process", where=self.path, hint=hint) from err
            except OSError as err:
                raise EnvironmentProblem("cannot open the ledger", where=self.path, got=err.strerror) from err
            if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
                raise EnvironmentProblem("cannot open the ledger", where=self.path, got=kind_of(mode))
            yield descriptor


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    if os.pwrite(descriptor, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def require_ledger(paths: RunPaths, chain: Chain) -> None:
    """Check that the ledger has not been lost: a new one would start again from version 1, and prove nothing.

    Raises:
      EnvironmentProblem: if records tell of executions and the ledger of none.
    """
    if chain.lines or not any(isinstance(r, ExecutionRecord) for r in scan(paths.records).values()):
        return
    raise EnvironmentProblem(
        "the ledger is missing or empty, but there are records",
        where=paths.ledger,
        hint="put the file back from a copy, or use another --root",
    )
