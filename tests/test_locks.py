"""A file's lock: one holder at a time, waited for no longer than asked, and free again when its holder dies."""

import math
import signal
import subprocess
import sys
import time

import pytest

from components.locks import locked

HOLD = """
import sys, time
from components.locks import locked
with locked(sys.argv[1], 0):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def held(path, seconds):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path, str(seconds)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_second_holder_is_waited_for_no_longer_than_asked(tmp_path):
    holder = held(tmp_path / "lock", 60)
    started = time.monotonic()
    with pytest.raises(BlockingIOError), locked(tmp_path / "lock", timeout=0.1):
        pytest.fail("held twice")
    assert 0.1 <= time.monotonic() - started < 5
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with locked(tmp_path / "lock", timeout=5):
        pass


def test_a_holder_that_lets_go_is_followed(tmp_path):
    holder = held(tmp_path / "lock", 0.2)
    with locked(tmp_path / "lock", math.inf):
        assert holder.wait(5) == 0


def test_one_process_holds_it_once(tmp_path):
    with locked(tmp_path / "lock", 0), pytest.raises(BlockingIOError), locked(tmp_path / "lock", 0):
        pytest.fail("held twice")


def test_what_is_in_the_file_stays(tmp_path):
    (tmp_path / "lock").write_bytes(b"ledger")
    with locked(tmp_path / "lock", 0):
        assert (tmp_path / "lock").read_bytes() == b"ledger"
