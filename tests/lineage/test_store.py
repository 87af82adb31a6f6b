"""The metadata store as housekeeping opens it: never an empty one, never in silence behind another process."""

import subprocess
import sys
import time

import pytest
from lineage.audited_copy import audited_copy

from pipeline.metadata.sqlite import StoreLocked, writer
from pipeline.metadata.store import StoreLost, open_store

HOLDER = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


@pytest.fixture
def holder(paths):
    """Locks the store from a process of its own; SQLite's locks do not count within one process."""
    started = []

    def hold(statement="BEGIN EXCLUSIVE"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, paths.metadata, statement],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("statement", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_store_locked_by_another_process_is_waited_for_with_a_message_and_then_given_up(paths, holder, statement):
    process, said = holder(statement), []
    with pytest.raises(StoreLocked, match=f"locked by process {process.pid}") as caught:
        open_store(paths, say=said.append, wait=0.3, notify_after=0.1)
    assert caught.value.exit_code == 4
    assert said == [f"{paths.metadata} is locked by process {process.pid}: waiting for it"]


def test_a_lock_that_is_let_go_in_time_costs_nothing_but_the_wait(paths, holder):
    process = holder()

    def let_go(message):
        assert "waiting" in message
        process.stdin.close()

    assert open_store(paths, say=let_go, wait=20, notify_after=0).unfinished() == []


def test_a_reader_is_not_waited_for(paths, holder):
    holder("BEGIN")
    assert writer(paths.metadata) is None


@pytest.mark.parametrize(
    ("damage", "what"),
    [(None, "no metadata store"), (b"", "empty"), (b"garbage " * 99, "not an SQLite file"), ("half", "cannot use")],
    ids=["missing", "empty", "garbage", "truncated"],
)
def test_a_lost_store_is_named_left_alone_and_said_to_be_rebuilt(paths, damage, what):
    whole = paths.metadata.read_bytes()
    paths.metadata.unlink()
    if damage is not None:
        paths.metadata.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    before = paths.metadata.read_bytes() if damage is not None else None
    with pytest.raises(StoreLost, match=what) as caught:
        open_store(paths, say=pytest.fail).unfinished()
    assert f"mnist-tfx lineage rebuild --root {paths.root}" in str(caught.value)
    assert (paths.metadata.read_bytes() if paths.metadata.exists() else None) == before


def test_opening_takes_a_fraction_of_a_second(paths):
    started = time.monotonic()
    open_store(paths, say=pytest.fail)
    assert time.monotonic() - started < 5
