"""Signals at chosen moments of real commands: one line, 128 plus the signal's number, and nothing left open."""

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from command_line import PROJECT, checked

from components.errors import ExitCode
from pipeline.process.signals import Interrupted, Interruptions

NOT_THERE = ("--root", "/nowhere")


def start(*arguments, python=(), env=None):
    """A command as its own process group, importing with a line on standard error to each module (`-X importtime`)."""
    return subprocess.Popen(
        [sys.executable, *python, "-m", "pipeline", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, **(env or {})},
        start_new_session=True,
    )  # fmt: skip


def interrupted_at(module, number, *arguments):
    """Sends the signal while the module's parent is being imported: the module itself has just been."""
    process = start(*arguments, python=("-X", "importtime"))
    # A pipe of 64 KiB holds all that a command imports: on a busy machine it would be over before the line is read here.
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    return process.returncode, out, said


@pytest.mark.parametrize(
    ("module", "number", "arguments"),
    [
        ("click.types", signal.SIGINT, ("runs", "list")),
        ("rich.text", signal.SIGTERM, ("runs", "list")),
        ("pipeline.config.beam_options", signal.SIGINT, ("run", "--data", "/nowhere")),
        ("pipeline.config.beam_options", signal.SIGTERM, ("run", "--data", "/nowhere")),
        ("pipeline.provenance.records", signal.SIGHUP, ("serving", "prune", "--keep", 1)),
        ("pipeline.provenance.records", signal.SIGUSR1, ("serving", "prune", "--keep", 1)),
    ],
)
def test_a_signal_in_the_middle_of_an_import_is_one_line_and_its_exit_code(module, number, arguments):
    code, out, said = interrupted_at(module, number, *arguments, *NOT_THERE, "--json")
    assert (code, said) == (128 + number, [f"mnist-tfx: interrupted by {signal.Signals(number).name}"])
    answer = checked(json.loads(out))
    assert (answer["status"], answer["data"]) == ("interrupted", None)
    assert answer["command"] in (None, arguments[0], " ".join(map(str, arguments[:2])))
    name = signal.Signals(number).name
    assert (answer["error"]["what"], answer["error"]["signal"]) == (f"interrupted by {name}", name)
    assert ExitCode.of("interrupted", answer["error"]["signal"]) == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_tfx_is_imported_ends_a_run_at_once_with_its_whole_answer(number, tmp_path):
    root, tmpdir = tmp_path / "root", tmp_path / "tmp"
    tmpdir.mkdir()
    process = start("run", "--root", root, "--json", python=("-X", "importtime"), env={"TMPDIR": str(tmpdir)})
    deadline = time.monotonic() + 120
    while not any(b" tfx.utils" in log.read_bytes() for log in root.glob("logs/*.log")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert process.returncode == 128 + number
    answer = checked(json.loads(out))
    assert (answer["command"], answer["status"], answer["data"]) == ("run", "interrupted", None)
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"mnist-tfx: interrupted by {signal.Signals(number).name}"
    assert list(tmpdir.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_signal_at_any_time_of_a_short_command_never_shows_a_traceback(seed):
    """Before our first statement it is the interpreter that ends, by the signal."""
    drawn = random.Random(seed)  # a reproducible moment, no secret
    for _ in range(8):
        process = start("doctor", "--no-devices", "--json")
        time.sleep(drawn.uniform(0.15, 0.8))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert process.returncode in (0, 1, 4, 128 + signal.SIGTERM, -signal.SIGTERM), err
        assert process.returncode == -signal.SIGTERM or json.loads(out)["schema_version"] == 1


def test_a_signal_that_is_ignored_from_outside_stays_ignored():
    script = (
        "import os, signal; from pipeline.__main__ import PROCESS; PROCESS.install(); "
        "os.kill(os.getpid(), signal.SIGHUP); print('alive')"
    )
    command = ["nohup", sys.executable, "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert process.stdout == "alive\n"


def test_what_is_held_back_is_told_afterwards_and_only_then():
    interruptions, done = Interruptions(), []
    with interruptions.watched():
        with interruptions.held_back():
            signal.raise_signal(signal.SIGTERM)
            done.append("recorded")
        with pytest.raises(Interrupted, match="SIGTERM"):
            interruptions.check()
    assert done == ["recorded"]


def test_what_a_library_swallows_is_raised_by_the_next_check():
    interruptions = Interruptions()
    with interruptions.watched():
        with contextlib.suppress(Exception):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            interruptions.check()


def test_a_signal_that_meets_an_import_is_raised_when_the_import_is_done(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(0.2)\nWHOLE = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    interruptions = Interruptions()
    with interruptions.watched(), pytest.raises(Interrupted):  # noqa: PT012  # the exception comes some time later
        import slow_module

        assert slow_module.WHOLE
        threading.Event().wait(5)
    assert sys.modules.pop("slow_module").WHOLE


def test_a_signal_just_before_a_system_call_that_waits_is_not_slept_through():
    """The C part of the handler has run, Python's has not, and the call below would wait for ever."""
    script = """
import os, signal, threading, time
from pipeline.process.signals import Interrupted, PROCESS
PROCESS.install()
reader, writer = os.pipe()
real = PROCESS._arrived
seen = []
def late(number, frame):
    seen.append(number)
    if len(seen) > 1:
        real(number, frame)
signal.signal(signal.SIGTERM, late)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    os.read(reader, 1)
except Interrupted:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=PROJECT,
                          timeout=30)  # fmt: skip
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
