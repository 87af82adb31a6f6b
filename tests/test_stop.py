"""The end of a run at work, asked for from outside."""

import signal
import subprocess
import sys

import pytest
from command_line import PROJECT, in_process

from components.errors import BadInput, EnvironmentProblem, Refused
from pipeline.maintenance.stop import stop
from pipeline.provenance import at_work
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

RUN = "20260101T120000.000001Z"

WORKING = """
import signal, sys, time
from pathlib import Path
from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with at_work.announced(RunPaths(Path(sys.argv[1])), sys.argv[2], "digits") as announcement:
    announcement.phase("Classifier")
    print("working", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def working(tmp_path, request):
    command = [sys.executable, "-c", WORKING, str(tmp_path), RUN, getattr(request, "param", "")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout.readline() == b"working\n"
        yield process
        process.kill()


@pytest.mark.parametrize("run_id", [None, RUN, "20260101"])
def test_the_run_at_work_is_ended_by_sigterm_and_waited_for(tmp_path, working, run_id):
    stopped = stop(tmp_path, run_id, 60)
    assert (stopped.run_id, stopped.phase) == (RUN, "Classifier")
    assert working.poll() == -signal.SIGTERM


@pytest.mark.parametrize("working", ["deaf"], indirect=True)
def test_a_run_that_takes_its_time_is_told_of_and_left_to_end(tmp_path, working):
    with pytest.raises(Refused, match="has not ended yet") as caught:
        stop(tmp_path, None, 0)
    assert caught.value.got == "Classifier"
    assert working.poll() is None


@pytest.mark.parametrize("run_id", [None, RUN])
def test_where_no_run_is_at_work_there_is_nothing_to_end(tmp_path, working, run_id):
    working.kill()
    working.wait()
    with pytest.raises(BadInput, match="no run is at work here"):
        stop(tmp_path, run_id, 1)


def test_another_run_than_the_one_named_is_never_ended(tmp_path, working):
    with pytest.raises(BadInput, match=f"no such run is at work: wanted one of {RUN}"):
        stop(tmp_path, "2027", 1)
    assert working.poll() is None


def test_of_several_runs_none_is_chosen(tmp_path, working):
    with at_work.announced(RunPaths(tmp_path), "20260102T120000.000001Z", "digits"), pytest.raises(BadInput) as caught:
        stop(tmp_path, None, 1)
    assert caught.value.what == "several runs are at work"
    assert working.poll() is None


def test_a_run_of_another_machine_is_said_to_be_there(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with at_work.announced(RunPaths(tmp_path), RUN, "digits"):
        monkeypatch.undo()
        with pytest.raises(EnvironmentProblem, match="runs on another machine") as caught:
            stop(tmp_path, None, 1)
    assert (caught.value.got, f"runs stop {RUN}" in caught.value.hint) == ("elsewhere", True)


def test_a_process_that_got_the_number_of_a_run_that_has_ended_is_left_alone(tmp_path, working, monkeypatch):
    """The run ends between the look at its file and the signal, and its number goes to somebody else."""
    (found,) = at_work.at_work(RunPaths(tmp_path))
    monkeypatch.setattr(at_work, "at_work", lambda _: [found])
    monkeypatch.setattr(at_work, "is_held", lambda _: False)
    with pytest.raises(BadInput, match="has just ended"):
        stop(tmp_path, None, 1)
    assert working.poll() is None


def test_the_command_says_what_was_ended(tmp_path, working):
    Ledger.open(RunPaths(tmp_path).ledger).intent(node="ExampleGen", run_id=RUN)
    answer = in_process("runs", "stop", "--root", tmp_path, "--json")
    assert (answer.status, answer.json["run_id"], answer.json["phase"]) == ("ok", RUN, "Classifier")
    assert working.poll() is not None
