"""Runs side by side: who has the turn, who waits for whose work, how many go on, and what a signal makes of them."""

import concurrent.futures
import os
import signal
import threading
import time

import pytest

from components.errors import EnvironmentProblem
from pipeline.process import memory
from pipeline.process.signals import PROCESS, Interrupted, Interruptions
from pipeline.provenance.ledger_writer import Ledger
from pipeline.runner.held_root import HeldRoot
from pipeline.runner.side_by_side import GIB, Allowance, SideBySide, at_a_time

WAIT_S = 20


class Trainers:
    """Processes that work for as long as they are let; closing them ends those that wait."""

    def __init__(self, together=1):
        self.peaks = {"Autoencoder": GIB}
        self.most = 0
        self._working = 0
        self._together = threading.Barrier(together)
        self._closed = threading.Event()

    def start(self):
        if self._closed.is_set():
            raise EnvironmentProblem("everything was ended")

    def run(self, node, request, env, progress):
        del node, request, env, progress
        self._working += 1
        self.most = max(self.most, self._working)
        try:
            self._together.wait(WAIT_S)
        except threading.BrokenBarrierError:
            raise EnvironmentProblem("its process ended") from None
        finally:
            self._working -= 1
        return b"trained"

    def close(self):
        self._closed.set()
        self._together.abort()


@pytest.fixture
def held(tmp_path):
    return HeldRoot(Ledger.open(tmp_path / "ledger.jsonl"), None)


def train(lane):
    with lane.held.turn(lane.interruptions):
        lane.interruptions.check()
        lane.processes.start()
        return lane.processes.run("Autoencoder", {}, {}, print)


def side_by_side(held, processes, count, *, jobs, work=None, goes_on=lambda _: True):
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return SideBySide(
            count,
            work or (lambda number, lane: (number, train(lane))),
            goes_on,
            held=held,
            processes=processes,
            allowance=Allowance(jobs, cores=1, available=lambda: 8 * GIB, say=lambda _: None),
            threads=threads,
        ).run()


def test_as_many_as_are_asked_for_train_at_a_time_and_each_result_is_in_its_place(held):
    processes = Trainers(together=3)  # none gets on before three are there
    results = side_by_side(held, processes, 6, jobs=3)
    assert results == [(number, b"trained") for number in range(6)]
    assert processes.most == 3


def test_one_at_a_time_is_one_at_a_time(held):
    processes = Trainers()
    assert len(side_by_side(held, processes, 4, jobs=1)) == 4
    assert processes.most == 1


def test_only_one_run_at_a_time_has_the_turn(held):
    inside, most = [], []

    def work(number, lane):
        train(lane)
        for _ in range(20):
            with lane.held.turn(lane.interruptions):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.remove(number)

    side_by_side(held, Trainers(), 4, jobs=4, work=work)
    assert (max(most), len(most)) == (1, 80)


def test_nobody_begins_before_the_first_has_come_to_its_training(held):
    began = []

    def work(number, lane):
        began.append(number)
        if number == 0:
            with lane.held.turn(lane.interruptions):
                time.sleep(0.05)
                assert began == [0]
        train(lane)

    side_by_side(held, Trainers(together=2), 2, jobs=2, work=work)
    assert began == [0, 1]


def test_after_an_end_that_stops_all_no_other_is_begun(held):
    results = side_by_side(held, Trainers(), 5, jobs=1, goes_on=lambda result: result[0] < 1)
    assert [result is None for result in results] == [False, False, True, True, True]


def test_what_nobody_foresaw_in_one_of_them_is_raised_when_the_others_have_ended(held):
    ended = []

    def work(number, lane):
        train(lane)
        if number == 1:
            raise RuntimeError("a fault of ours")
        ended.append(number)

    with pytest.raises(RuntimeError, match="a fault of ours"):
        side_by_side(held, Trainers(together=3), 3, jobs=3, work=work)
    assert sorted(ended) == [0, 2]


def test_a_signal_ends_every_run_and_each_knows_it_was_a_signal(held):
    processes, how = Trainers(together=99), []

    def work(number, lane):
        try:
            train(lane)
        except Interrupted as err:
            how.append((number, err.signal))
            return number

    def kill():
        while processes.most < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with PROCESS.watched():
        threading.Thread(target=kill).start()
        results = side_by_side(held, processes, 5, jobs=3, work=work)
        assert PROCESS.arrived is not None
        PROCESS.forget()
    assert sorted(how) == [(0, "SIGTERM"), (1, "SIGTERM"), (2, "SIGTERM")]
    assert results == [0, 1, 2, None, None]


def test_work_that_another_is_at_is_waited_for_with_the_turn_let_go_of(held):
    told, mine = [], Interruptions()

    def other():
        with held.turn(mine), held.executing("key"):
            told.append("begins")
            with held.let_go(mine):
                time.sleep(0.05)
            told.append("ends")

    with held.turn(mine):
        thread = threading.Thread(target=other)
        thread.start()
        with held.let_go(mine):
            while not held.is_busy("key"):
                time.sleep(0.001)
        held.await_others("key", mine)
        told.append("goes on")
    thread.join()
    assert told == ["begins", "ends", "goes on"]


@pytest.mark.parametrize(
    ("cores", "available", "peak", "expected"),
    [(8, 100, 10, 8), (8, 40, 10, 3), (2, 40, 10, 2), (8, 10, 10, 1), (8, 0, 10, 1), (4, 10, 0, 4)],
)
def test_as_many_fit_as_there_are_cores_and_four_fifths_of_the_memory_hold(cores, available, peak, expected):
    assert at_a_time(cores=cores, available=available * GIB, peak=peak * GIB) == expected


def test_the_first_training_is_measured_alone_and_one_that_takes_more_lowers_the_number():
    said = []
    allowance = Allowance(None, cores=8, available=lambda: 10 * GIB, say=said.append)
    allowance.begins()
    assert allowance.now == 1
    allowance.ended(GIB)
    assert allowance.now == 8
    allowance.ended(4 * GIB)
    assert allowance.now == 2
    assert said == [
        "8 candidates at a time: a training takes 1.0 of 10.0 GiB of available memory, and there are 8 cores",
        "2 candidates at a time: a training takes 4.0 of 10.0 GiB of available memory, and there are 8 cores",
    ]


def test_the_memory_of_a_container_is_what_its_limit_leaves(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert memory.available(tmp_path) == 8000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("700\n")
    (group / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    (group / "memory.max").write_text("max\n")
    assert memory.available(tmp_path) == 8000 * 1024
    (group / "memory.max").write_text("1000\n")
    assert memory.available(tmp_path) == 500
    assert memory.available(tmp_path / "nowhere") == 0
