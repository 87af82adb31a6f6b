"""Commands in processes of their own, forked from this one, which has imported much of them already."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from command_line import PROJECT

from kill.trigger import AtNode, Trigger

END_S: Final = 10.0
"""Seconds within which what a command has started ends after it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: the exit code, negative for a signal, what it printed, and what processes it left."""

    code: int
    out: str
    err: str
    left: tuple[str, ...]

    def __str__(self) -> str:
        return f"exit {self.code}: {' '.join((self.err or self.out).split())[-1500:]}"


@dataclass(frozen=True)
class Place:
    """The surroundings of one point: a folder with TMPDIR, cache and what is printed."""

    folder: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def count(self) -> Path:
        return self.folder / "count"

    def environment(self) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {"TMPDIR": str(self.temporary), "HOME": str(home), "MNIST_TFX_CACHE": str(home / "cache")}


def forked(
    place: Place,
    arguments: Sequence[object],
    trigger: Trigger | AtNode | None = None,
    meanwhile: Callable[[int], None] = lambda _: None,
) -> Ended:
    """Runs a command in a fork of this process, as the leader of a session.

    Args:
      place: where.
      arguments: of the command.
      trigger: watches what it does.
      meanwhile: called with its process id once it has begun.
    """
    streams = [os.open(place.folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in ("out", "err")]
    environment = place.environment()
    process = os.fork()
    if process == 0:
        _become(arguments, streams, environment, trigger)
    for stream in streams:
        os.close(stream)
    meanwhile(process)
    _, status = os.waitpid(process, 0)
    printed = ((place.folder / name).read_text(errors="replace") for name in ("out", "err"))
    return Ended(os.waitstatus_to_exitcode(status), *printed, tuple(left_of(process)))


def left_of(session: int) -> list[str]:
    """Returns the processes of a session that do not end with it, once they had time to."""
    deadline = time.monotonic() + END_S
    while (left := list(processes(session).values())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def processes(session: int) -> dict[int, str]:
    """Returns `{process id: command line}` of a session's processes that are no zombies."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        with contextlib.suppress(OSError):
            state, _, _, own_session = _stat(int(entry))
            if own_session == session and state not in "ZX":
                found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def parent_of(process: int) -> int:
    """Returns the process id of a process's parent, 0 if it is gone."""
    with contextlib.suppress(OSError):
        return _stat(process)[1]
    return 0


def is_at_work(process: int) -> bool:
    """Returns whether a process is there, and has not ended yet."""
    with contextlib.suppress(OSError):
        return _stat(process)[0] not in "ZX"
    return False


def _stat(process: int) -> tuple[str, int, int, int]:
    """Returns a process's state, parent, group and session (proc(5))."""
    state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:4]
    parent, group, session = map(int, numbers)
    return state, parent, group, session


def _become(
    arguments: Sequence[object], streams: list[int], environment: Mapping[str, str], trigger: Trigger | AtNode | None
) -> NoReturn:
    code = 70
    try:
        os.setsid()
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(environment)
        tempfile.tempdir = None
        os.chdir(PROJECT)
        sys.argv = ["mnist-tfx", *map(str, arguments)]
        if trigger is not None:
            trigger.arm()
        from pipeline.cli.main import main

        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:  # noqa: BLE001  # the harness looks for it
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
