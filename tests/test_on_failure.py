"""The command that tells somebody of a run that did not end well."""

import os
import signal
import subprocess
import sys
import time

import pytest

TELL = 'echo "$MNIST_TFX_EXIT_CODE|$MNIST_TFX_STATUS|$MNIST_TFX_ERROR" > told'


def mnist_tfx(folder, *arguments, **options):
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--data", "nowhere"], "--data: no such file or folder: got nowhere"),
        (["--nothing"], "No such option '--nothing'"),
    ],
)
def test_a_run_that_is_refused_before_it_begins_is_told_of(tmp_path, wrong, said):
    answer = mnist_tfx(tmp_path, "run", *wrong, "--on-failure", TELL)
    code, status, error = (tmp_path / "told").read_text().strip().split("|")
    assert (answer.returncode, code, status) == (2, "2", "usage")
    assert said in error


def test_a_run_that_ends_well_is_not(tmp_path):
    assert mnist_tfx(tmp_path, "run", "--dry-run", "--on-failure", TELL).returncode == 0
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize(("command", "said"), [("exit 3", "ended with 3"), ("/nowhere/notify", "ended with 127")])
def test_what_becomes_of_the_command_is_said_and_changes_nothing(tmp_path, command, said):
    answer = mnist_tfx(tmp_path, "run", "--data", "nowhere", "--on-failure", command)
    assert answer.returncode == 2
    assert f"--on-failure: the command {said}\n" in answer.stderr


def test_its_output_stays_out_of_the_answer(tmp_path):
    answer = mnist_tfx(tmp_path, "run", "--data", "nowhere", "--json", "--on-failure", "echo hello")
    assert answer.stdout.startswith("{")
    assert "hello" not in answer.stdout
    assert "hello" in answer.stderr


def test_a_run_that_a_signal_ends_is_told_of(tmp_path):
    command = [sys.executable, "-m", "pipeline", "run", "--on-failure", TELL]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=120) == 143
    assert (tmp_path / "told").read_text().startswith("143|interrupted|")
