"""The command line: help for everything, quickly, and one line for every known error."""

import subprocess
import sys
import time

import click
import pytest
from command_line import PROJECT, mnist_tfx

from components.errors import ExitCode
from pipeline.cli.main import cli


def _commands(group, path=()):
    yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from _commands(group.get_command(context, name), (*path, name))


@pytest.mark.parametrize(("path", "command"), [(" ".join(path), command) for path, command in _commands(cli)])
def test_every_command_has_help_with_an_example(path, command):
    assert command.help, path
    assert "Example:" in command.help, path


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["lineage", "show", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    script = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        "sys.argv = ['mnist-tfx', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'tfx', 'apache_beam', 'keras', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "    print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert "Usage: mnist-tfx" in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--recipe", "nist"], 2, "unknown recipe: wanted autoencoder-classifier, cnn, digits"),
        (["run", "--data", "/nowhere"], 2, "/nowhere"),
        (["run", "--set", "classifier.epoch=1"], 2, "unknown key classifier.epoch"),
        (["run", "--recipe", "mnist"], 2, "mnist-tfx data fetch"),
        (["runs", "list", "--root", "/nowhere"], 2, "no such folder"),
        (["lineage", "show", "--root", "/nowhere"], 2, "/nowhere"),
        (["run", "--sed", "1"], 2, "No such option"),
        (["data", "fetch", "letters", "--to", "x"], 2, "letters"),
    ],
)
def test_a_known_error_is_one_line_on_stderr_and_its_exit_code(arguments, code, message, tmp_path):
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == code
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("mnist-tfx: ")


@pytest.mark.parametrize("command", [["run"], ["lineage", "show"], ["runs", "list"]])
def test_json_comes_on_failure_too(command):
    answer = mnist_tfx(*command, "--root", "/proc/nowhere", "--json")
    assert answer.code in (2, 4)
    assert answer.envelope["command"] == " ".join(command)
    assert (ExitCode.of(answer.status), answer.json) == (answer.code, None)
    assert answer.error


def test_doctor_finds_nothing_wrong_in_the_locked_environment(tmp_path):
    started = time.monotonic()
    answer = mnist_tfx("doctor", "--no-devices", "--root", tmp_path, "--json")
    found = {finding["check"]: finding for finding in answer.json["findings"]}
    assert answer.code == 0, answer.out
    assert found["tfx"]["wrong"] is None
    assert time.monotonic() - started < 60
