"""A root -> the same root, held, with no run at work in it; or a refusal that says so.

Housekeeping looks at executions without an end and at files that nobody refers to: during a run both are what they
should be, so it does not wait for one as `mnist-tfx run` does, and leaves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from components.errors import BadInput, EnvironmentProblem
from pipeline import root as root_lock
from pipeline.paths import RunPaths


@contextlib.contextmanager
def held(root: Path) -> Iterator[RunPaths]:
    """Holds a root that a pipeline has run in.

    Raises:
      BadInput: if none has.
      EnvironmentProblem: if a run is under way, the root cannot be written, or its ledger is lost; in place of any
        OSError that the work in the root ends with.
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

    def leave(message: str) -> NoReturn:
        del message
        raise EnvironmentProblem("a run is under way here", where=root, hint="try again when it has ended")

    with root_lock.locked(paths, leave):
        try:
            yield paths
        except OSError as err:
            # Of a folder that may not be listed, say: whatever housekeeping looks at, it ends in a line.
            where = err.filename or root
            raise EnvironmentProblem(err.strerror or "cannot be read or written", where=where) from err
