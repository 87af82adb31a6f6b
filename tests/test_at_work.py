"""Runs at work: seen while their process lives, with what they are doing, and never after."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from command_line import PROJECT

from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths

RUN = "20260101T120000.000001Z"

WORKING = """
import sys, time
from pathlib import Path
from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths
with at_work.announced(RunPaths(Path(sys.argv[1])), sys.argv[2], "digits") as announcement:
    announcement.phase("Classifier")
    announcement.phase("Classifier, epoch 3/8", began=False)
    print("working", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def paths(tmp_path):
    return RunPaths(tmp_path)


@pytest.fixture
def working(tmp_path):
    command = [sys.executable, "-c", WORKING, str(tmp_path), RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout.readline() == b"working\n"
        yield process
        process.kill()


def test_a_run_at_work_is_seen_with_its_phase_and_leaves_nothing(paths):
    with at_work.announced(paths, RUN, "digits") as announcement:
        (begun,) = at_work.at_work(paths)
        announcement.phase("Classifier")
        (node,) = at_work.at_work(paths)
        announcement.phase("Classifier, epoch 10/12", began=False)
        announcement.phase("Classifier, epoch 3/8", began=False)
        (now,) = at_work.at_work(paths)
    assert (begun.phase, begun.recipe, begun.pid, begun.host) == (
        "starting",
        "digits",
        os.getpid(),
        socket.gethostname(),
    )
    assert (now.phase, now.since, now.started) == ("Classifier, epoch 3/8", node.since, begun.started)
    assert (at_work.at_work(paths), at_work.killed(paths), list(paths.log("").parent.iterdir())) == ([], [], [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_run_that_was_killed_is_known_with_where_it_was_and_is_not_at_work(paths, working, number):
    assert [run.run_id for run in at_work.at_work(paths)] == [RUN]
    working.send_signal(number)
    working.wait()
    assert at_work.at_work(paths) == []
    assert [(run.run_id, run.phase, run.pid) for run in at_work.killed(paths)] == [
        (RUN, "Classifier, epoch 3/8", working.pid)
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 4096, b'{"run_id": 5}', bytes(4096)])
def test_a_file_that_does_not_say_what_it_should_is_no_run(paths, content):
    paths.presence(RUN).parent.mkdir()
    paths.presence(RUN).write_bytes(content)
    assert (at_work.at_work(paths), at_work.killed(paths)) == ([], [])
