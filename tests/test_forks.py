"""Work in forks: the same answer by however many processes, whatever becomes of them, and none is left."""

import os
import subprocess
import sys
import threading

import pytest
from command_line import PROJECT

from pipeline.process import forks

BEFORE = """
import os, signal, threading, time
from pathlib import Path
from pipeline.process import forks

PARENT = os.getpid()

def doubled(numbers):
    return b"".join((2 * number).to_bytes(4, "big") for number in numbers)

def children():
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()

"""


def alone(script):
    """What a script prints in a process of its own: one that runs tests can have threads, and is not forked then."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + script], check=False, cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_is_what_one_process_gives():
    script = """
for count in (1, 2, 3, 7, 1000):
    assert forks.joined(doubled, range(5, 5 + count), 4) == doubled(range(5, 5 + count))
print(repr(children()))
"""
    assert alone(script) == ["''"]


def test_parts_are_shared_out():
    script = """
pids = forks.joined(lambda numbers: os.getpid().to_bytes(8, "big") * len(numbers), range(100), 8)
print(PARENT, *{int.from_bytes(pids[at : at + 8], "big") for at in range(0, len(pids), 8)})
"""
    parent, *used = alone(script)
    assert parent in used
    assert len(used) == min(forks.MOST, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "1 / 0", "return b''"])
def test_what_a_fork_does_not_answer_is_computed_here(end):
    script = f"""
def work(numbers):
    if os.getpid() != PARENT:
        {end}
    return doubled(numbers)

assert forks.joined(work, range(100), 4) == doubled(range(100))
print(repr(children()))
"""
    assert alone(script) == ["''"]


def test_no_fork_is_left_when_this_process_fails():
    script = """
def work(numbers):
    if os.getpid() == PARENT:
        print(len(children().split()))
        raise KeyboardInterrupt
    time.sleep(600)

try:
    forks.joined(work, range(100), 4)
except KeyboardInterrupt:
    print(repr(children()))
"""
    forked = min(forks.MOST, len(os.sched_getaffinity(0))) - 1
    assert alone(script) == [str(forked), "''"]


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
