"""Signals to real commands while a cluster is being changed: what the server did is told, and done to its end."""

import json
import signal
import subprocess
import sys

import pytest
from command_line import PROJECT, checked

from kubeflow import cluster_files

NUMBERS = [signal.SIGTERM, signal.SIGINT]
EVERY = ("--every", "6h", "--name", "nightly")


@pytest.fixture
def file(tmp_path):
    return cluster_files.compiled(tmp_path)


def start(server, *arguments):
    return start_local(*arguments, "--host", server.url)


def start_local(*arguments):
    command = [sys.executable, "-m", "pipeline", "kubeflow", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)


def ended(process):
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, out, err.splitlines()


def signalled(number, server, method, path, *arguments):
    """Runs a command that gets a signal while the server is at work on its first request of this kind."""
    answer, waiting = server.answer, [number]

    def at_work(asked, target, body):
        if waiting and asked == method and target.split("?")[0].endswith(path):
            process.send_signal(waiting.pop())
        return answer(asked, target, body)

    server.answer = at_work
    process = start(server, *arguments)
    found = ended(process)
    assert not waiting
    return found


def interrupted(number):
    return f"mnist-tfx: interrupted by {number.name}"


@pytest.mark.parametrize("number", NUMBERS)
def test_the_id_of_a_run_that_was_started_during_a_signal_is_told(number, server, file):
    code, out, said = signalled(number, server, "POST", "/runs", "submit", file, "--skip-lint", "--json")
    [made] = server.runs
    assert code == 128 + number
    answer = checked(json.loads(out))
    assert (answer["status"], answer["data"]["run"]["id"]) == ("interrupted", made.run_id)
    assert said == [interrupted(number)]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_run_that_was_started_during_a_signal_is_not_waited_for(number, server, file):
    code, out, said = signalled(number, server, "POST", "/runs", "submit", file, "--skip-lint", "--wait")
    [made] = server.runs
    assert code == 128 + number
    assert made.run_id in out
    [line] = said
    assert line.startswith(f"{interrupted(number)}: the run goes on: `mnist-tfx kubeflow watch {made.run_id} --host ")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_before_the_run_is_asked_for_starts_none(number, server, file):
    code, _, said = signalled(number, server, "GET", "/runs", "submit", file, "--skip-lint")
    assert (code, said) == (128 + number, [interrupted(number)])
    assert server.runs == []


@pytest.mark.parametrize("number", NUMBERS)
def test_a_schedule_that_is_replaced_during_a_signal_has_replaced_the_old_one(number, server, file):
    assert ended(start(server, "schedule", file, *EVERY, "--skip-lint"))[0] == 0
    [old] = server.schedules
    command = ("schedule", file, *EVERY, "--skip-lint", "--replace", "--json")
    code, out, said = signalled(number, server, "POST", "/recurringruns", *command)
    [new] = server.schedules
    assert (code, said) == (128 + number, [interrupted(number)])
    answer = checked(json.loads(out))["data"]
    assert [one["id"] for one in answer["schedules"]] == [new.recurring_run_id]
    assert [one["id"] for one in answer["replaced"]] == [old.recurring_run_id]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_schedule_that_is_deleted_during_a_signal_is_gone_and_not_just_disabled(number, server, file):
    assert ended(start(server, "schedule", file, *EVERY, "--skip-lint"))[0] == 0
    command = ("schedule", "--delete", "nightly", "--experiment", "digits")
    code, out, said = signalled(number, server, "POST", ":disable", *command)
    assert (code, said) == (128 + number, [interrupted(number)])
    assert out.startswith("deleted nightly ")
    assert server.schedules == []
