"""The envelope of every answer: its schema is generated, and every command keeps to it however it ends."""

import json
import os
import signal

import click
import pytest
from command_line import SCHEMA, checked, in_process, validator
from jsonschema import Draft202012Validator

from components.errors import BadInput, CannotTell, EnvironmentProblem, ExitCode, Refused
from pipeline.cli import answers, main
from pipeline.cli.main import cli
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parsing import COMMAND, Command, set_command
from pipeline.process.signals import PROCESS, Interrupted


def commands(group=cli, path=()):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


WITHOUT = {"completion"}
"""Prints a script."""

COMMANDS = [command for command in commands() if command not in WITHOUT]

ENDS = [
    (BadInput("wrong", where="a\nb", got="x" * 100_000), "usage", 2),
    (BadInput.of_several([BadInput("one"), EnvironmentProblem("two")]), "usage", 2),
    (Refused("not blessed", where="Evaluator", wanted="more", got=0.1), "refused", 3),
    (EnvironmentProblem("disk full", hint="make room"), "environment", 4),
    (CannotTell("rows"), "unknown", 5),
    (Interrupted(signal.SIGINT), "interrupted", 130),
    (Interrupted(signal.SIGTERM, hint="it goes on"), "interrupted", 143),
    (Interrupted(signal.SIGHUP), "interrupted", 129),
]


def command_line(monkeypatch, capsys, *arguments):
    """Runs the command line as a process does, but for its streams; returns exit code and answer."""
    monkeypatch.setattr("sys.argv", ["mnist-tfx", *arguments, "--json"])
    COMMAND.set(None)
    code = main.run()
    return code, checked(json.loads(capsys.readouterr().out))


def test_the_committed_schema_is_generated_from_the_models():
    """UPDATE_GOLDEN=1 writes it again."""
    if os.environ.get("UPDATE_GOLDEN"):
        answers.SCHEMA_FILE.write_text(answers.schema_text())
    assert answers.SCHEMA_FILE.read_text() == answers.schema_text()
    Draft202012Validator.check_schema(SCHEMA)


def test_every_command_has_a_model_and_every_model_a_command():
    assert sorted(answers.DATA) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json(command):
    assert "--json" in in_process(*command.split(), "--help").out


def test_a_signal_that_was_held_back_is_in_the_answer_as_it_is_in_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(type(PROCESS), "arrived", Interrupted(signal.SIGTERM))
    COMMAND.set(None)
    print_answer(Answer(data={}))
    assert json.loads(capsys.readouterr().out)["error"]["signal"] == "SIGTERM"
    print_answer(Answer(data={}, findings=True))
    assert json.loads(capsys.readouterr().out)["status"] == "findings"


@pytest.mark.parametrize(("error", "status", "code"), ENDS, ids=[code for *_, code in ENDS])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_stopped_answers_in_the_same_shape(command, error, status, code, monkeypatch, capsys):
    def stopped(_: Command, ctx: click.Context, __: list[str]) -> list[str]:
        set_command(ctx.command_path)
        raise error

    monkeypatch.setattr(Command, "parse_args", stopped)
    ended, answer = command_line(monkeypatch, capsys, *command.split())
    assert (ended, answer["command"], answer["status"], answer["data"]) == (code, command, status, None)
    assert ExitCode.of(status, answer["error"]["signal"]) == code
    assert len(answer["error"]["problems"]) == len(getattr(error, "problems", ()))
    assert all(
        value is None or (len(str(value)) < 1000 and "\n" not in str(value)) for value in answer["error"].values()
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_a_usage_error_with_all_that_is_wrong(command, monkeypatch, capsys):
    code, answer = command_line(monkeypatch, capsys, *command.split(), "--nothing", "--neither")
    assert (code, answer["command"], answer["status"]) == (2, command, "usage")
    named = [problem["what"] for problem in answer["error"]["problems"]]
    assert [name for name in ("--nothing", "--neither") if any(name in what for what in named)] == [
        "--nothing",
        "--neither",
    ]


@pytest.mark.parametrize(
    ("arguments", "command"), [(["--nothing"], None), (["lineage", "--nothing"], "lineage"), (["runs", "lits"], "runs")]
)
def test_a_usage_error_names_the_command_as_far_as_it_is_known(arguments, command, monkeypatch, capsys):
    code, answer = command_line(monkeypatch, capsys, *arguments)
    assert (code, answer["command"], answer["status"]) == (2, command, "usage")


@pytest.mark.parametrize(("findings", "status", "code"), [(False, "ok", 0), (True, "findings", 1)])
def test_an_answer_without_an_error_is_ok_or_has_findings(findings, status, code):
    answer = Answer(data={}, findings=findings)
    assert (answer.status, answer.exit_code, ExitCode.of(status)) == (status, code, code)


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_does_not_fit_its_model_is_refused(command):
    with pytest.raises(ValueError, match="not_there"):
        answers.checked(command, {"not_there": 1})


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"status": "ok", "error": None, "data": None}, "None is not of type 'object'"),
        ({"status": "unknown", "error": None, "data": None}, "None is not of type 'object'"),
        ({"status": "failed", "error": None, "data": {}}, "'failed' is not one of"),
        ({"status": "ok", "error": None, "data": {"files": [{"path": "a"}]}}, "is not valid under any"),
    ],
)
def test_the_schema_refuses_what_no_command_prints(envelope, message):
    found = validator().iter_errors({"schema_version": 1, "command": "data fetch", **envelope})
    assert any(message in error.message for error in found)
