"""Progress of what takes long beside a run: on standard error, by a bar on a terminal and by lines elsewhere."""

import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest
from command_line import PROJECT

from pipeline.cli.progress import bars

ON_A_TERMINAL = """
import time
from pipeline.cli.progress import bars
with bars({least}, in_bytes={in_bytes}) as show:
    show("reading", 400, 800)
    show("counting", 700, 0)
    time.sleep(0.3)
print("the answer")
"""


def on_a_terminal(**given):
    """Runs it with standard error on a pseudo-terminal; what was drawn there, and what came on standard output."""
    read, write = pty.openpty()
    drawn = []

    def collect():
        try:
            while part := os.read(read, 4096):
                drawn.append(part)
        except OSError:  # the other end is closed
            return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    command = [sys.executable, "-c", ON_A_TERMINAL.format(**given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True, cwd=PROJECT, check=True)
    os.close(write)
    thread.join(timeout=5)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(drawn).decode()), done.stdout


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"least": 0, "in_bytes": False}, ["reading .* 400 of 800", "counting .* 700"]),
        ({"least": 0, "in_bytes": True}, ["reading .* 400 bytes of 800 bytes", "counting .* 700 bytes"]),
        ({"least": 750, "in_bytes": False}, ["reading .* 400 of 800"]),
    ],
)
def test_a_terminal_shows_a_bar_with_a_count_for_each_thing_that_is_long_enough(given, shown):
    drawn, printed = on_a_terminal(**given)
    assert [line for line in shown if not re.search(line, drawn)] == []
    assert ("counting" in drawn) == (len(shown) == 2)
    assert printed == "the answer\n"


def test_without_a_terminal_a_line_says_how_far_it_is_whenever_none_did_for_a_while(capfd):
    said = ""
    with bars(silence_s=0.02) as show:
        show("hashing files", 3, 10)
        deadline = time.monotonic() + 10
        while "hashing files: 3 of 10\n" not in said and time.monotonic() < deadline:
            time.sleep(0.005)
            said += capfd.readouterr().err
    assert "hashing files: 3 of 10\n" in said


def test_what_is_done_at_once_says_nothing_without_a_terminal(capfd):
    with bars() as show:
        show("hashing files", 3, 10)
    assert capfd.readouterr() == ("", "")
