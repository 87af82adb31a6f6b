"""What a process and all that it starts take: memory as the sum of their proportional set sizes, and CPU seconds.

Proportional set size counts a page that N processes share as an Nth in each, so that pages shared by a fork count once. CPU
seconds are those of the processes that are there and of those that they have waited for: neighbours do not disturb them.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
SAMPLE_S: Final = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a process tree.

    Attributes:
      at: seconds of the boot clock, which traces of `run --trace` have too.
      cpu_s: seconds that the tree has computed for so far.
      memory: {process: bytes, proportionally}.
    """

    at: float
    cpu_s: float
    memory: Mapping[int, int]

    @property
    def total(self) -> int:
        """Bytes of all processes together."""
        return sum(self.memory.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One command.

    Attributes:
      output: what it printed.
      status: it ended with.
      wall_s: seconds from start to end.
      cpu_s: seconds that it and what it started computed for.
      samples: in the order of time.
      names: {process: the beginning of its command line}.
    """

    output: str
    status: int
    wall_s: float
    cpu_s: float
    samples: Sequence[Sample]
    names: Mapping[int, str]

    @property
    def peak(self) -> int:
        """The most bytes that all processes had together."""
        return max((sample.total for sample in self.samples), default=0)


def measure(command: Sequence[str], *, every_s: float = SAMPLE_S, errors: int | None = subprocess.DEVNULL) -> Measured:
    """Run a command to its end, and look at its processes meanwhile.

    Args:
      command: program and arguments.
      every_s: seconds between two looks.
      errors: where its standard error goes, as `subprocess.Popen` takes it.
    """
    started, before = time.monotonic(), os.times()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    samples: list[Sample] = []
    names: dict[int, str] = {}

    def look() -> None:
        while process.poll() is None:
            samples.append(sample(process.pid, names))
            time.sleep(every_s)

    watcher = threading.Thread(target=look)
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    wall, after = time.monotonic() - started, os.times()
    # What the watcher's looks cost is in user and system, not in children's.
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Measured(output=output, status=process.returncode, wall_s=wall, cpu_s=cpu, samples=samples, names=names)


def sample(leader: int, names: dict[int, str]) -> Sample:
    """Look at a process that leads a session, at that session, and at all that descends from it; note command lines."""
    at, cpu, memory = time.clock_gettime(time.CLOCK_BOOTTIME), 0, {}
    ours = {leader}
    for pid, fields in sorted(
        _processes().items()
    ):  # a parent is older than its children; numbers may start anew, rarely
        parent, session = int(fields[1]), int(fields[3])
        if pid != leader and parent not in ours and session != leader:
            continue
        ours.add(pid)
        cpu += sum(map(int, fields[11:15]))
        memory[pid] = _proportional(pid)
        if pid not in names:
            names[pid] = _command(pid)
    return Sample(at=at, cpu_s=cpu / TICKS, memory=memory)


def _processes() -> dict[int, list[str]]:
    """Return {process: the fields of its stat that follow the command, from the state on}; see proc(5)."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
    return found


def _proportional(pid: int) -> int:
    try:
        return 1024 * int((PROC / str(pid) / "smaps_rollup").read_text().partition("Pss:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        return 0  # it ended meanwhile, or waits for its parent to see that


def _command(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[-80:]
    except OSError:
        return ""
