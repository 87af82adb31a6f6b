"""Runs side by side: the first in the main thread, so that a signal ends whatever it is at, the others in threads.

Until a training of the first is at work everything is common to all, and nobody else begins. How many go on at a time then
is what memory and cores allow, by what the first training was seen to take; or the number that was asked for.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from pipeline.process.forkserver_client import StageProcesses
from pipeline.process.signals import PROCESS, Interrupted, Interruptions
from pipeline.runner.held_root import HeldRoot, Processes, TurnTaking
from pipeline.stages import TRAINERS

T = TypeVar("T")

GIB: Final = 2**30

SHARE: Final = 0.8
"""Of the memory that is available when the first training has ended; the rest is for evaluations, and for everybody else."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lane:
    """What a run that is not alone has to itself.

    Attributes:
      held: the root that all of them share.
      processes: for executors that need the engines; others have the turn while one is at work.
      interruptions: of its thread.
    """

    held: HeldRoot
    processes: Processes
    interruptions: Interruptions


def at_a_time(*, cores: int, available: int, peak: int) -> int:
    """Return how many trainings fit beside each other.

    Args:
      cores: that this process may use.
      available: bytes of memory while none is at work.
      peak: the most that one has had resident, in bytes.
    """
    return max(1, min(cores, int(SHARE * available) // max(peak, 1)))


class Allowance:
    """How many runs may go on at a time.

    Args:
      jobs: the number that was asked for; None to measure.
      cores: that this process may use.
      available: returns the bytes of memory that can be had.
      say: told what was measured, and what follows.

    Attributes:
      now: the number.
    """

    def __init__(
        self, jobs: int | None, *, cores: int, available: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        self.now = 1
        self._jobs = jobs
        self._cores = cores
        self._available = available
        self._say = say
        self._memory = 0
        self._peak = 0

    def begins(self) -> None:
        """Note that a training begins, or that a run came to none: all that is common to all is done."""
        self.now = self._jobs or self.now

    def ended(self, peak: int) -> None:
        """Note that a training has ended, the first one while no other is at work."""
        if self._jobs is not None or peak <= self._peak:
            return
        self._memory, self._peak = self._memory or self._available(), peak
        before, self.now = self.now, at_a_time(cores=self._cores, available=self._memory, peak=peak)
        if self.now != before:
            memory = f"{peak / GIB:.1f} of {self._memory / GIB:.1f} GiB of available memory"
            self._say(f"{self.now} candidates at a time: a training takes {memory}, and there are {self._cores} cores")


class SideBySide(Generic[T]):
    """Numbered runs, some of them at a time.

    Args:
      count: how many there are.
      work: does the run of a number in its lane.
      goes_on: whether others are begun after one that ended like this.
      held: the root.
      processes: that all share.
      allowance: how many may go on.
      threads: for all but the first; they are to live as long as `processes`, which one of them may start.
    """

    def __init__(  # noqa: PLR0913  # what runs side by side share
        self,
        count: int,
        work: Callable[[int, Lane], T],
        goes_on: Callable[[T], bool],
        *,
        held: HeldRoot,
        processes: StageProcesses,
        allowance: Allowance,
        threads: concurrent.futures.ThreadPoolExecutor,
    ) -> None:
        self._work = work
        self._goes_on = goes_on
        self._held = held
        self._processes = processes
        self._allowance = allowance
        self._threads = threads
        self._results: list[T | None] = [None] * count
        self._lock = threading.Lock()
        self._next = 0
        self._lanes: dict[int, Lane] = {}
        self._stopped = False
        self._error: BaseException | None = None
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self) -> list[T | None]:
        """Run all of them and return what they came to; None for those that were not begun, or were stopped too early.

        A signal ends them all; `PROCESS` tells of it afterwards.
        """
        try:
            self._first()
            while self._lanes:
                PROCESS.check()
                self._ended.get()
            PROCESS.check()
        except BaseException as err:
            self._stop(err)
            if not isinstance(err, Interrupted):
                raise
        finally:
            while self._lanes:  # a signal is only noted by now
                self._ended.get()
        if self._error is not None:
            raise self._error
        return self._results

    def _first(self) -> None:
        lane, self._next = self._lane(0, PROCESS), 1
        try:
            self._finish(0, self._work(0, lane))
        finally:
            self._leave(0)

    def _lane(self, number: int, interruptions: Interruptions) -> Lane:
        processes = TurnTaking(self._processes, self._held, interruptions, self._working)
        lane = self._lanes[number] = Lane(held=self._held, processes=processes, interruptions=interruptions)
        return lane

    def _working(self, node: str, has_ended: bool) -> None:  # as `TurnTaking` calls it
        if node in TRAINERS:
            with PROCESS.held_back(), self._lock:
                if has_ended:
                    self._allowance.ended(self._processes.peaks[node])
                else:
                    self._allowance.begins()
                self._admit()

    def _admit(self) -> None:
        """Begin as many as may go on."""
        while self._goes_on_at_all() and len(self._lanes) < self._allowance.now:
            number, self._next = self._next, self._next + 1
            self._threads.submit(self._in_thread, number, self._lane(number, Interruptions()))

    def _goes_on_at_all(self) -> bool:
        return not self._stopped and PROCESS.arrived is None and self._next < len(self._results)

    def _in_thread(self, number: int, lane: Lane) -> None:
        try:
            self._finish(number, self._work(number, lane))
        except BaseException as err:  # noqa: BLE001  # raised in the main thread, when the others have ended
            self._error = self._error or err
            self._stopped = True
        finally:
            self._leave(number)

    def _finish(self, number: int, result: T) -> None:
        self._results[number] = result
        if not self._goes_on(result):
            self._stopped = True

    def _leave(self, number: int) -> None:
        with PROCESS.held_back(), self._lock:
            self._allowance.begins()
            self._lanes.pop(number, None)
            self._admit()
        self._ended.put(number)

    def _stop(self, error: BaseException) -> None:
        """Begin no more; where a signal came, end those that are under way."""
        with PROCESS.held_back(), self._lock:
            self._stopped = True
            lanes = tuple(self._lanes.values())
        if isinstance(error, Interrupted):
            for lane in lanes:
                lane.interruptions.relay(error)
            self._processes.close()
