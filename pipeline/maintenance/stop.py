"""The end of a run at work, asked for from outside: it records what is done, lets go of the root, and ends.

The run is sent SIGTERM, as by a terminal or a scheduler, so it ends as it does by those. A process id alone may have been
given to somebody else since the run wrote it down: the process is taken hold of first, and signalled only if the run's
lock is held after that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem, Refused
from pipeline.provenance import at_work
from pipeline.provenance.at_work import Presence
from pipeline.root.paths import RunPaths

LOOK_S: Final = 0.5
"""Seconds between two looks at what the run is doing while it ends."""

Show = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopped:
    """A run that was at work and has ended.

    Attributes:
      run_id: its id.
      phase: what it was doing when it was told to end.
      seconds: that it took to end.
    """

    run_id: str
    phase: str
    seconds: float


def stop(root: Path, run_id: str | None, timeout: float, show: Show = lambda _: None) -> Stopped:
    """End a run at work and wait for its end.

    Args:
      root: of the pipeline.
      run_id: its id, or as much of it as is unambiguous; None for the only one.
      timeout: seconds to wait at most.
      show: called with what the run is doing while it ends.

    Raises:
      BadInput: if no run is at work, there is no such one, or several.
      EnvironmentProblem: if its process is out of reach, such as on another host.
      Refused: if it has not ended in time; it is still about to.
    """
    paths = RunPaths(root.absolute())
    found = _chosen(at_work.at_work(paths), run_id, root)
    if found.host != socket.gethostname():
        raise EnvironmentProblem(
            "runs on another machine",
            where=f"run {found.run_id}",
            got=found.host,
            hint=f"there: mnist-tfx runs stop {found.run_id} --root {root}",
        )
    began = time.monotonic()
    process = _signalled(paths, found)
    try:
        _await_end(paths, found, process, timeout, show)
    finally:
        os.close(process)
    return Stopped(run_id=found.run_id, phase=found.phase, seconds=time.monotonic() - began)


def _chosen(working: list[Presence], run_id: str | None, root: Path) -> Presence:
    if not working:
        raise BadInput("no run is at work here", where=root, hint="mnist-tfx runs list has those that were")
    matching = [one for one in working if one.run_id.startswith(run_id or "")]
    if len(matching) != 1:
        ids = ", ".join(one.run_id for one in working)
        what = "no such run is at work" if not matching else "several runs are at work"
        raise BadInput(what, where=run_id or root, wanted=f"one of {ids}")
    return matching[0]


def _signalled(paths: RunPaths, found: Presence) -> int:
    """Send a run SIGTERM, and return a descriptor of its process, which becomes readable when that ends."""
    try:
        process = os.pidfd_open(found.pid)
    except OSError as err:
        raise EnvironmentProblem(
            "its process is not to be found from here", where=f"run {found.run_id}", got=f"process {found.pid}"
        ) from err
    with contextlib.ExitStack() as failed:
        failed.callback(os.close, process)
        if not at_work.is_held(paths.presence(found.run_id)):
            raise BadInput("has just ended", where=f"run {found.run_id}")
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        except PermissionError as err:
            raise EnvironmentProblem(
                "belongs to another user",
                where=f"run {found.run_id}",
                got=f"process {found.pid}",
                hint="stop it as that user",
            ) from err
        except ProcessLookupError:
            pass  # ended by itself in between, which is what was wanted
        failed.pop_all()
    return process


def _await_end(paths: RunPaths, found: Presence, process: int, timeout: float, show: Show) -> None:
    deadline = time.monotonic() + timeout
    ended = select.poll()
    ended.register(process, select.POLLIN)
    # The file goes once everything is recorded; the process may take a moment longer to write its last lines.
    while not ended.poll(1000 * min(LOOK_S, max(deadline - time.monotonic(), 0))):
        now = next((one for one in at_work.at_work(paths) if one.run_id == found.run_id), found)
        if time.monotonic() >= deadline:
            raise Refused(
                "has not ended yet; it ends when what it is doing is recorded",
                where=f"run {found.run_id}",
                wanted=f"an end within {timeout:g} s",
                got=now.phase,
                hint="mnist-tfx runs show says how far it is",
            )
        show(f"{found.run_id} ends: {now.phase}")
