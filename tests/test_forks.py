"""Work in forks: the same answer by however many processes, whatever becomes of them, and none is left."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeline.process import forks


def doubled(numbers):
    return b"".join((2 * number).to_bytes(4, "big") for number in numbers)


def test_it_is_what_one_process_gives():
    for count in (1, 2, 3, 7, 1000):
        assert forks.joined(doubled, range(5, 5 + count), 4) == doubled(range(5, 5 + count))


def test_parts_are_shared_out():
    parent = os.getpid()
    pids = forks.joined(lambda numbers: b"".join(os.getpid().to_bytes(8, "big") for _ in numbers), range(100), 8)
    used = {int.from_bytes(pids[at : at + 8], "big") for at in range(0, len(pids), 8)}
    assert parent in used
    assert len(used) == min(forks.MOST, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("kill", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0])
def test_what_a_fork_does_not_answer_is_computed_here(kill):
    parent = os.getpid()

    def work(numbers):
        if os.getpid() != parent:
            kill()
        return doubled(numbers)

    assert forks.joined(work, range(100), 4) == doubled(range(100))


def test_a_process_with_threads_is_not_forked():
    parent, over = os.getpid(), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        pids = forks.joined(lambda numbers: os.getpid().to_bytes(8, "big") * len(numbers), range(10), 8)
    finally:
        over.set()
        thread.join()
    assert pids == parent.to_bytes(8, "big") * 10


def test_no_fork_is_left_when_this_process_fails():
    parent = os.getpid()

    def work(numbers):
        if os.getpid() == parent:
            raise KeyboardInterrupt
        time.sleep(600)
        return doubled(numbers)

    before = children()
    with pytest.raises(KeyboardInterrupt):
        forks.joined(work, range(100), 4)
    assert children() == before


def children():
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
