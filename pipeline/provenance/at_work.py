"""Runs at work in a root: what each is doing, in a file in `logs/` that its process holds locked.

The kernel drops the lock when the process ends, however it ends, so that a run that was killed is never taken for one at
work, and a process id that was given to somebody else does not matter. What a killed run leaves says where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components import locks
from components.errors import MnistTfxError
from components.shapes import Shape
from components.untrusted import parse_object, read_bytes
from pipeline.provenance.records import utc
from pipeline.root.paths import RunPaths

_SIZE: Final = 4096
"""Bytes of the file: always as many, so that a reader sees one text or the next, and never the end of a longer one."""

_LOCK_S: Final = 1.0
"""Seconds to wait for the lock of a file that is new: nobody but a reader, for microseconds, can have it."""

_LONGEST_PHASE: Final = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Presence:
    """What a run says of itself.

    Attributes:
      run_id: its id.
      recipe: its name.
      pid: of its process.
      host: that it runs on.
      started: UTC, ISO 8601.
      phase: what it is doing, such as `Classifier, epoch 3/8`.
      since: when the phase began, UTC.
    """

    run_id: str
    recipe: str
    pid: int
    host: str
    started: str
    phase: str
    since: str


_PRESENCE: Final = Shape(Presence)


class Announcement:
    """The file of a run that is at work, open and locked.

    Args:
      descriptor: of the file.
      presence: what it says first.
    """

    def __init__(self, descriptor: int, presence: Presence) -> None:
        self._descriptor = descriptor
        self._presence = presence
        self._write()

    def phase(self, text: str, *, began: bool = True) -> None:
        """Say what the run does now; `began` tells a new phase from news of the one that it is in."""
        since = utc(time.time()) if began else self._presence.since
        self._presence = dataclasses.replace(self._presence, phase=text[:_LONGEST_PHASE], since=since)
        self._write()

    def _write(self) -> None:
        text = json.dumps(dataclasses.asdict(self._presence)).encode()
        # A disk that is full stops the run where it matters, not here.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, text.ljust(_SIZE), 0)


@contextlib.contextmanager
def announced(paths: RunPaths, run_id: str, recipe: str) -> Iterator[Announcement]:
    """Say for the duration that a run is at work."""
    path, now = paths.presence(run_id), utc(time.time())
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.locked(path, _LOCK_S) as descriptor:
        presence = Presence(
            run_id=run_id,
            recipe=recipe,
            pid=os.getpid(),
            host=socket.gethostname(),
            started=now,
            phase="starting",
            since=now,
        )
        try:
            yield Announcement(descriptor, presence)
        finally:
            path.unlink(missing_ok=True)


def at_work(paths: RunPaths) -> list[Presence]:
    """Return the runs at work, oldest first."""
    return [presence for presence, alive in _presences(paths) if alive]


def killed(paths: RunPaths) -> list[Presence]:
    """Return the runs that ended without a word, oldest first, each as it last was."""
    return [presence for presence, alive in _presences(paths) if not alive]


def is_held(path: Path) -> bool:
    """Return whether the process that made a file of this kind is still there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared: several readers do not take each other for the run.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, in which no run can work
        return False
    finally:
        os.close(descriptor)
    return False


def _presences(paths: RunPaths) -> Iterator[tuple[Presence, bool]]:
    for path in sorted(paths.presence("*").parent.glob(paths.presence("*").name)):
        alive = is_held(path)
        try:
            fields = parse_object(read_bytes(path, limit=_SIZE), where=path)
            yield _PRESENCE.read(fields, what="not a run at work", where=path), alive
        except MnistTfxError:
            continue  # just made, or just gone
