"""The lock of a root: held by one run, or by one command that changes the root outside a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from components import locks
from components.errors import BadInput, EnvironmentProblem
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places, require_folder

LOCK_WAIT: Final = 3600.0
"""Seconds to wait for another run on the same root."""


@contextlib.contextmanager
def locked(paths: RunPaths, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the root, after waiting for another run and saying so.

    Raises:
      EnvironmentProblem: if the root cannot be written, or the other run does not end.
    """
    check_places(paths, paths.lock)
    with contextlib.ExitStack() as held:
        try:
            try:
                held.enter_context(locks.locked(paths.lock, timeout=0))
            except BlockingIOError:
                say(f"another run is writing to {paths.root}: waiting for it to end")
                held.enter_context(locks.locked(paths.lock, LOCK_WAIT))
        except BlockingIOError as err:
            hint = "end it, or use another --root"
            raise EnvironmentProblem("another run is still writing here", where=paths.root, hint=hint) from err
        except OSError as err:
            raise EnvironmentProblem("not writable", where=paths.lock, got=err.strerror) from err
        yield


@contextlib.contextmanager
def exclusive_lock(root: Path) -> Iterator[RunPaths]:
    """Lock a root for maintenance; fails if a run is active.

    Maintenance looks at executions without an end and at files that nobody refers to: during a run both are what they
    should be, so it does not wait for one as `mnist-tfx run` does.

    Raises:
      BadInput: if none has.
      EnvironmentProblem: if a run is under way, the root cannot be written, its ledger is lost, or its serving directory
        is a link; in place of any OSError that the work in the root ends with.
    """
    paths = RunPaths(root.absolute())
    if not paths.ledger.is_file():
        if any(paths.records.glob("*.json")):
            raise EnvironmentProblem(
                "the ledger is missing, but there are records",
                where=paths.ledger,
                hint="put the file back from a copy, or use another --root",
            )
        raise BadInput("no pipeline has run here", where=root, hint="`mnist-tfx run --root` makes one")
    require_folder(paths)

    def leave(message: str) -> NoReturn:
        del message
        raise EnvironmentProblem("a run is under way here", where=root, hint="try again when it has ended")

    with locked(paths, leave):
        try:
            yield paths
        except OSError as err:
            # Of a folder that may not be listed, say: whatever housekeeping looks at, it ends in a line.
            where = err.filename or root
            raise EnvironmentProblem(err.strerror or "cannot be read or written", where=where) from err
