"""The package mnist_tfx: its stable names, what importing it costs, and how it refuses; tests/e2e/test_python_api.py runs it."""

import inspect
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import PROJECT

import mnist_tfx
from components.errors import PARTS, BadInput, CannotTell, EnvironmentProblem, Refused
from pipeline.cli.python import running
from pipeline.cli.run import run as command

GOLDEN = PROJECT / "tests" / "golden" / "mnist_tfx.txt"

OF_A_TERMINAL = {"as_json", "dry_run", "on_failure", "verbose"}
"""Options of the command that say how it prints."""


def _public():
    """Yields a line for each public name: its signature, and that of each public method and property of a class."""
    for name in mnist_tfx.__all__:
        one = getattr(mnist_tfx, name)
        if inspect.isclass(one) and issubclass(one, Exception):
            yield f"{name}, exit code {int(getattr(one, 'exit_code', 130))}"
        elif inspect.isclass(one):
            yield f"{name}{inspect.signature(one)}"
            for attribute, value in sorted(vars(one).items()):
                if attribute == "__call__" or (not attribute.startswith("_") and callable(value)):
                    yield f"  {attribute}{inspect.signature(value)}"
                elif isinstance(value, property):
                    yield f"  {attribute}: {inspect.signature(value.fget).return_annotation}"
        else:
            yield f"{name}{inspect.signature(one)}"


def test_the_public_names_and_their_signatures_are_those_that_were_promised():
    lines = "\n".join(_public()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(lines)
    assert lines == GOLDEN.read_text()


def test_every_public_name_says_what_it_is_for():
    assert [name for name in mnist_tfx.__all__ if not getattr(mnist_tfx, name).__doc__] == []


def test_run_takes_the_options_of_the_command_by_their_names():
    options = {parameter.name for parameter in command.params} - OF_A_TERMINAL - {"help"}
    assert set(inspect.signature(mnist_tfx.run).parameters) - {"say"} == options


def test_every_option_reaches_the_command_under_a_flag_that_it_has():
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    values = dict.fromkeys(inspect.signature(mnist_tfx.run).parameters, "x")
    del values["say"]
    given = values | {
        "resume": False,
        "no_cache": True,
        "overrides": {"a": 1},
        "beam_options": {"b": 2},
        "sweep": {"seed": [0]},
    }
    words = list(running.arguments(given))
    assert len(words) == len(given)
    assert {word.partition("=")[0] for word in words} <= flags


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": "a"}, ["--data=a"]),
        ({"data": ["a", Path("-b")]}, ["--data=a", "--data=-b"]),
        ({"overrides": {"classifier.epochs": 3, "x": [1, 2], "name": "yes"}},
         ["--set=classifier.epochs=3", "--set=x=[1, 2]", "--set=name=yes"]),
        ({"sweep": {"seed": [0, 1], "classifier.layers": [[64], [128, 64]]}},
         ["--sweep=seed=[0, 1]", "--sweep=classifier.layers=[[64], [128, 64]]"]),
        ({"export": ("keras", "h5")}, ["--export=keras,h5"]),
        ({"resume": True, "no_cache": False, "force": (), "seed": None}, []),
        ({"seed": 0, "spans": 7}, ["--seed=0", "--spans=7"]),
    ],
)  # fmt: skip
def test_values_become_the_arguments_that_one_would_type(given, words):
    assert list(running.arguments(given)) == words


def test_importing_it_brings_neither_numpy_nor_tensorflow_and_handles_no_signal():
    script = (
        "import signal, sys; before = [signal.getsignal(n) for n in (2, 15)]\n"
        "import mnist_tfx\n"
        "assert [signal.getsignal(n) for n in (2, 15)] == before\n"
        "heavy = {'numpy', 'tensorflow', 'tfx', 'keras', 'apache_beam', 'ml_metadata', 'click', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", [BadInput, Refused, EnvironmentProblem, CannotTell])
def test_what_ended_the_command_is_raised_as_the_same_error(kind):
    one = kind("what", where="w", wanted="a", got="b", hint="h")
    error = kind("what", where="w", wanted="a", got="b", hint="h", facts=["f"], commands=["c"])
    fields = {name: getattr(error, name) for name in PARTS}
    around = {"facts": ["f"], "commands": ["c"], "page": "p.html", "signal": None, "problems": [fields]}
    found = running._error({"status": kind.exit_code.status, "error": {**fields, **around}, "data": None})
    assert (type(found), str(found), found.page) == (kind, str(error), "p.html")
    assert [str(problem) for problem in found.problems] == [str(one)]


def test_what_ended_a_run_is_raised_and_not_said_as_well():
    said = []
    lines = io.StringIO("ExampleGen executed\nmnist-tfx: refused\n  try this\n  report: page.html\n")
    assert running._pass_on(lines, said.append) == "report: page.html"
    assert said == ["ExampleGen executed"]


def test_a_run_that_was_killed_is_no_result(monkeypatch):
    monkeypatch.setattr(running, "PROCESS", "os")  # has no `main`, so the process ends without an answer
    with pytest.raises(EnvironmentProblem, match="ended without an answer: got exit code 1"):
        mnist_tfx.run(say=lambda _: None)


def test_what_say_raises_ends_the_run(monkeypatch, tmp_path):
    script = tmp_path / "slow.py"
    script.write_text("import sys, time\nprint('begun', file=sys.stderr, flush=True)\ntime.sleep(60)\n")
    started = []

    def start(_, **streams):
        del streams["env"]
        started.append(subprocess.Popen([sys.executable, script], **streams))
        return started[0]

    def say(line):
        raise KeyboardInterrupt(line)

    monkeypatch.setattr(running.child, "start", start)
    with pytest.raises(KeyboardInterrupt, match="begun"):
        mnist_tfx.run(say=say)
    assert started[0].returncode in (-signal.SIGINT, 1)


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "no such folder"), (".", "no pipeline has run here")])
def test_a_folder_without_a_pipeline_is_not_opened(tmp_path, folder, message):
    with pytest.raises(BadInput, match=message):
        mnist_tfx.open(tmp_path / folder)


@pytest.mark.parametrize("image", [np.zeros((1, 8, 8), np.uint8), np.zeros((8, 8))])
def test_used_in_takes_one_image(tmp_path, image):
    with pytest.raises(BadInput, match="not one image: wanted uint8 of H x W"):
        mnist_tfx.Root(path=tmp_path).used_in(image)


def test_used_in_takes_no_name_of_a_missing_file_for_a_digest(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        mnist_tfx.Root(path=tmp_path).used_in(tmp_path / "seven.png")
