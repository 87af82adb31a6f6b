"""Processes of a run that are killed: named, asked again where nothing had begun, and none outlives the run."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from command_line import PROJECT

from components.errors import EnvironmentProblem
from pipeline.process import scratch
from pipeline.process.forkserver_client import StageProcesses, _last_line

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent

RUN = """
import sys
from pathlib import Path
from pipeline.process import scratch
from pipeline.process.forkserver_client import StageProcesses
with scratch.temporary_folder(), StageProcesses(Path(sys.argv[1])) as processes:
    processes.call("stage_functions:working", {"note": sys.argv[2]}, {})
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("stages") / "log"


@pytest.fixture(scope="module")
def processes(log):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        with StageProcesses(log) as running:
            yield running


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def awaited(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_stage_that_is_killed_is_named_with_its_signal(processes):
    with pytest.raises(EnvironmentProblem, match="Node: its process was killed by SIGKILL: out of memory"):
        processes.run("Node", {"function": "stage_functions:killed", "arguments": {"number": 9}}, {}, print)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_stage_that_a_library_ends_is_named_with_its_signal_and_the_last_line_that_was_printed(processes, number):
    asked = {"number": number, "says": "F0000 Check failed: cudnn"}
    with pytest.raises(EnvironmentProblem) as caught:
        processes.run("Node", {"function": "stage_functions:killed", "arguments": asked}, {}, print)
    assert caught.value.what == f"its process was ended by {number.name}"
    assert caught.value.got == "F0000 Check failed: cudnn"
    assert "out of memory" not in str(caught.value)


@pytest.mark.parametrize("event", ["", "2026-11-27T00:00:00.000Z mnist-tfx Node: epoch 3/8\n\n"])
def test_the_last_line_of_a_log_is_the_librarys_and_none_of_ours(tmp_path, event):
    log = tmp_path / "log"
    log.write_text(f"before\nwhat the library said\n{event}")
    assert _last_line(log) == "what the library said"
    assert _last_line(tmp_path / "none") is None


def test_a_stage_that_ends_without_an_answer_is_named_with_its_exit_code(processes):
    with pytest.raises(EnvironmentProblem, match="its process ended with exit code 7 and no answer"):
        processes.run("Node", {"function": "stage_functions:ended", "arguments": {"code": 7}}, {}, print)


def test_a_fork_server_that_was_killed_before_the_work_began_is_started_again(processes):
    processes.start()
    os.kill(processes._server.process.pid, signal.SIGKILL)
    assert processes.call("stage_functions:fine", {}, {}) == b"fine"


@pytest.mark.slow
def test_a_fork_server_killed_during_the_work_is_named(processes, tmp_path):
    processes.start()
    note = tmp_path / "note"
    waiting = f"while not os.path.exists({str(note)!r}): time.sleep(0.01)"
    script = f"import os, time\n{waiting}\nos.kill({processes._server.process.pid}, 9)"
    killer = subprocess.Popen([sys.executable, "-c", script])
    with pytest.raises(EnvironmentProblem, match="Node: the fork server, which runs it, was killed by SIGKILL"):
        processes.run("Node", {"function": "stage_functions:working", "arguments": {"note": str(note)}}, {}, print)
    assert killer.wait() == 0
    child, *_ = note.read_text().split()
    assert awaited(lambda: not alive(child), 2)


@pytest.fixture
def working(tmp_path):
    """A run with a stage at work, and what that stage has noted: process, the worker it started, a temporary file."""
    note, tmpdir = tmp_path / "note", tmp_path / "tmp"
    tmpdir.mkdir()
    env = {**os.environ, "PYTHONPATH": str(HERE), "TMPDIR": str(tmpdir)}
    run = subprocess.Popen([sys.executable, "-c", RUN, tmp_path / "log", note], cwd=PROJECT, env=env)
    assert awaited(note.exists, 120)
    stage, worker, left = note.read_text().split()
    yield run, (stage, worker), Path(left)
    run.kill()
    run.wait()


def test_a_killed_runs_processes_are_gone_in_two_seconds_and_its_files_with_the_next_run(working, tmp_path):
    run, started, left = working
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert all(map(alive, (*children, *started)))
    scratch.sweep(tmp_path / "tmp")
    assert left.exists()  # of a run that lives, nothing is removed
    run.kill()
    run.wait()
    assert awaited(lambda: not any(map(alive, (*children, *started))), 2)
    scratch.sweep(tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_that_only_looks_like_a_runs_is_left_alone(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{scratch.PREFIX}mine" / "kept").mkdir(parents=True)
    scratch.sweep(tmp_path)
    assert (elsewhere / "kept").is_dir()
    assert (tmp_path / f"{scratch.PREFIX}mine" / "kept").is_dir()


def killed_at(change, place):
    """Makes and removes a folder in a process that is killed at its Nth change of the file system; returns whether it ended."""
    process = os.fork()
    if process:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code == 0
    changes = itertools.count()

    def counted(plain):
        def changed(*arguments, **options):
            if next(changes) == change:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(*arguments, **options)

        return changed

    for name in ("mkdir", "open", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    tempfile.tempdir = str(place)
    try:
        with scratch.folder() as folder:
            os.mkdir(folder / "some")
            (folder / "some" / "file").touch()
            (folder / "z").touch()
        os._exit(0)
    finally:
        os._exit(1)  # whatever was raised: a fork must not go on with the tests


def test_the_next_command_removes_a_folder_wherever_its_own_was_killed(tmp_path):
    for change in itertools.count():
        ended = killed_at(change, tmp_path)
        scratch.sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [], change
        if ended:
            break
    assert change > 8  # of the folder, its lock, what was put inside, and the removal of each


def test_temporary_files_of_a_run_are_gone_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with scratch.temporary_folder() as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
