"""One point: a command is interrupted, run again, and what is left has to be whole."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from components import locks
from components.errors import ExitCode
from kill.command import Ended, Place, forked, is_at_work, parent_of, processes
from kill.reader import Watch
from kill.scenarios import RUN, SCENARIOS, Scenario
from kill.trigger import Trigger
from pipeline.audit.audit import audit_all
from pipeline.maintenance.orphans import orphans
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.root.paths import RunPaths

MOMENTS: Final = 50
"""Of a run at which signals are sent."""

SIGNALS: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
HIDDEN: Final = {".lock", ".versions", ".answers"}
"""Names that begin with a dot and belong to a root for good; each other one is of something in the making."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a point: how often the reader polled, and what was wrong."""

    name: str
    polls: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Point(ABC):
    """A signal to a command.

    Attributes:
      scenario: name of the command.
      number: the signal.
    """

    scenario: str
    number: signal.Signals

    @property
    @abstractmethod
    def name(self) -> str:
        """Says which point it is."""

    @abstractmethod
    def interrupted(self, scenario: Scenario, place: Place) -> Ended:
        """Runs the command up to the signal."""

    @abstractmethod
    def codes(self) -> tuple[int, ...]:
        """Returns with what exit codes the interrupted command may end."""

    def run(self) -> Outcome:
        """Interrupts the command, runs it again, and looks at what is there."""
        scenario = SCENARIOS[self.scenario]
        with tempfile.TemporaryDirectory(prefix="kill-") as folder:
            place = Place(Path(folder))
            scenario.prepare(place.folder)
            watch = Watch(place.folder / "root" / "serving")
            try:
                wrong = list(self._tried(scenario, place))
            finally:
                seen = watch.end()
            wrong += [f"reader: {one}" for one in seen["wrong"]]
            wrong += in_child(lambda: misserved(place.folder / "root", seen["digests"]))
        return Outcome(name=self.name, polls=seen["polls"], wrong=tuple(wrong))

    def _tried(self, scenario: Scenario, place: Place) -> Iterator[str]:
        first = self.interrupted(scenario, place)
        yield from _ill_ended("interrupted", first, self.codes())
        done = bool(in_child(lambda: ["done"] if scenario.done(place.folder) else []))
        second = forked(place, scenario.command(place.folder))
        yield from _ill_ended("run again", second, scenario.again if done else (0,))
        yield from in_child(lambda: [] if scenario.done(place.folder) else ["run again: its work is not done"])
        yield from in_child(lambda: scenario.wasted(place.folder))
        for root in scenario.roots:
            found = settled(place, place.folder / root)
            yield from (f"{root}: {one}" for one in found if one not in undisturbed(self.scenario))
        yield from left(place)


@dataclass(frozen=True, kw_only=True)
class FilePoint(Point):
    """A signal before one change of a file by a command.

    Attributes:
      at: number of the change, from 1.
    """

    at: int

    @property
    def name(self) -> str:
        return f"{self.number.name} at change {self.at} of {changes(self.scenario)} of {self.scenario}"

    def interrupted(self, scenario: Scenario, place: Place) -> Ended:
        trigger = Trigger(place.count, watched(place), self.at, self.number)
        return forked(place, scenario.command(place.folder), trigger)

    def codes(self) -> tuple[int, ...]:
        return 0, 128 + self.number, -self.number


@dataclass(frozen=True, kw_only=True)
class Moment(Point):
    """A signal to some of the processes of a run, at a moment of it.

    Attributes:
      at: the moment, as a part of the time that an undisturbed run takes.
      whom: who gets it, of `PROCESSES`.
    """

    at: float
    whom: str

    @property
    def name(self) -> str:
        return f"{self.number.name} to {self.whom} after {self.at:.2f} of a {self.scenario}"

    def interrupted(self, scenario: Scenario, place: Place) -> Ended:
        return forked(place, scenario.command(place.folder), meanwhile=self._send)

    def codes(self) -> tuple[int, ...]:
        # Without a process of its own a command can end as ever, or fail; which signal it was does not reach it.
        beside = () if self.whom in ("the group", "the command") else (ExitCode.ENVIRONMENT,)
        return 0, 128 + self.number, -self.number, *beside

    def _send(self, command: int) -> None:
        time.sleep(self.at * duration(self.scenario))
        while is_at_work(command):
            if targets := PROCESSES[self.whom](command):
                for process in targets:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, self.number)
                return
            time.sleep(0.01)


def _fork_server(command: int) -> list[int]:
    return [process for process in processes(command) if parent_of(process) == command and _serves_forks(process)]


def _executors(command: int) -> list[int]:
    servers = _fork_server(command)
    return [process for process in processes(command) if parent_of(process) in servers]


def _serves_forks(process: int) -> bool:
    with contextlib.suppress(OSError):
        return b"pipeline.process.forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


PROCESSES: Final[dict[str, Callable[[int], list[int]]]] = {
    "the group": lambda command: [*processes(command)],
    "the command": lambda command: [command],
    "the fork server": _fork_server,
    "the executors": _executors,
}
"""Who can get a signal, by the process id of the command, the leader of its session."""


def watched(place: Place) -> tuple[Path, ...]:
    """Returns the folders whose files count: all but what the harness itself keeps."""
    return tuple(place.folder / name for name in ("root", "copy", "schemas", "keys", "tmp", ".copy", ".root"))


def changes(scenario: str) -> int:
    """Returns how many changes of files a command makes when nobody interrupts it."""
    return _calibrated(scenario)[0]


def undisturbed(scenario: str) -> frozenset[str]:
    """Returns what the checks say of the scenario's root when nobody interrupts the command; a made-up root is not whole."""
    return _calibrated(scenario)[1]


def duration(scenario: str) -> float:
    """Returns the seconds that a command takes when nobody interrupts it."""
    return _calibrated(scenario)[2]


@cache
def _calibrated(scenario: str) -> tuple[int, frozenset[str], float]:
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        place = Place(Path(folder))
        SCENARIOS[scenario].prepare(place.folder)
        trigger = Trigger(place.count, watched(place), None, 0)
        began = time.monotonic()
        ended = forked(place, SCENARIOS[scenario].command(place.folder), trigger)
        took = time.monotonic() - began
        if ended.code:
            raise RuntimeError(f"{scenario}: {ended}")
        count = place.count.stat().st_size
        found = [one for root in SCENARIOS[scenario].roots for one in settled(place, place.folder / root)]
        return count, frozenset(found), took


def points(count: int, seed: int) -> list[Point]:
    """Returns points, the same for a seed: of each command and kind in turn, none twice before all of its own were there."""
    drawn = random.Random(seed)
    moments = [(number + 0.5) / MOMENTS for number in range(MOMENTS)]
    orders: list[list[Point]] = [
        *(_file_points(name) for name in SCENARIOS),
        *(
            [Moment(scenario=RUN, at=at, whom=whom, number=one) for at in moments for one in SIGNALS]
            for whom in PROCESSES
        ),
    ]
    for every in orders:
        drawn.shuffle(every)
    return [orders[i % len(orders)][(i // len(orders)) % len(orders[i % len(orders)])] for i in range(count)]


def _file_points(name: str) -> list[Point]:
    return [FilePoint(scenario=name, at=at, number=one) for at in range(1, changes(name) + 1) for one in SIGNALS]


def settled(place: Place, root: Path) -> Iterator[str]:
    """Yields what is wrong with a root after the commands that clear it up."""
    for arguments in (("lineage", "repair"), ("lineage", "gc", "--keep-runs", 99)):
        yield from _ill_ended(arguments[1], forked(place, (*arguments, "--root", root)), (0,))
    yield from in_child(lambda: unsound(root))


def unsound(root: Path) -> list[str]:
    """Returns what is wrong with a root that nobody is at work in."""
    paths = RunPaths(root)
    wrong = [f"orphan: {one.kind}: {one.where}: {one.why}" for one in orphans(root, lambda _: None)]
    wrong += [
        f"audit: {one.verdict}: {one.where}: {one.what}"
        for audit in audit_all(root)
        for one in audit.findings
        if one.verdict in ("INTEGRITY", "COMPLETENESS")
    ]
    wrong += [f"unsettled: line {line.sequence}" for line in read_ledger(paths.ledger).unsettled()]
    hidden = (path for path in root.rglob(".*") if path.name not in HIDDEN and not _is_spent(path))
    wrong += [f"left: {path.relative_to(root)}" for path in hidden]
    wrong += [f"held: {lock.relative_to(root)}" for lock in root.rglob(".lock") if _is_held(lock)]
    return wrong


def _is_spent(path: Path) -> bool:
    """Returns whether it is a folder without any file where TFX keeps what a node works with, which stays after each."""
    return ".system" in path.parts and path.is_dir() and not any(one.is_file() for one in path.rglob("*"))


def _is_held(lock: Path) -> bool:
    try:
        with locks.locked(lock, timeout=0):
            return False
    except BlockingIOError:
        return True


def misserved(root: Path, digests: dict[str, str]) -> list[str]:
    """Returns which versions a reader saw with other bytes than those that were pushed under their number."""
    pushed = {
        line.details["version"]: line.details["sha256"]
        for line in read_ledger(RunPaths(root).ledger).lines
        if line.event in (Event.PUSHED, Event.PROMOTED)
    }
    return [
        f"reader: version {version} was served with the digest {digest}, and {pushed.get(int(version))} was pushed"
        for version, digest in digests.items()
        if pushed.get(int(version)) != digest
    ]


def left(place: Place) -> Iterator[str]:
    """Yields what is left of the commands outside the root."""
    yield from (f"left: tmp/{path.name}" for path in place.temporary.iterdir())
    known = {"root", "copy", "lost", "schemas", "drafts", "keys", "tmp", "home", "out", "err", "count"}
    yield from (f"left: {path.name}" for path in place.folder.iterdir() if path.name not in known)


def in_child(look: Callable[[], list[str]]) -> list[str]:
    """Returns what a function finds in a fork: ML Metadata keeps no connection in this process."""
    reads, writes = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            found = look()
        except BaseException:  # noqa: BLE001  # the finding
            found = [f"the check failed: {traceback.format_exc()}"]
        os.write(writes, json.dumps(found).encode()[:60_000])
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as answer:
        found = json.loads(answer.read())
    os.waitpid(process, 0)
    return list(found)


def _ill_ended(when: str, ended: Ended, allowed: tuple[int, ...]) -> Iterator[str]:
    if "Traceback" in ended.err or ended.code not in allowed:
        yield f"{when}: wanted exit {' or '.join(map(str, allowed))}, got {ended}"
    yield from (f"{when}: left the process {one}" for one in ended.left)
