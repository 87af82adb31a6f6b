"""What crosses between a run and its processes, and where the stack's output goes; whole runs are in e2e/."""

import io
import os

import pytest
from rich.console import Console

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from pipeline.process import output
from pipeline.process.forkserver_client import StageProcesses, _error
from pipeline.runner.progress import RunView


@pytest.mark.parametrize("kind", [BadInput, Refused, EnvironmentProblem])
def test_a_known_error_crosses_the_process_boundary_whole(kind, tmp_path):
    sent = kind("wrong", where="file", wanted=1, got=2, hint="mend it")
    arrived = _error("Node", sent.to_dict(), tmp_path / "log")
    assert type(arrived) is kind
    assert (str(arrived), arrived.exit_code) == (str(sent), sent.exit_code)


def test_a_foreign_error_becomes_one_line_that_names_the_log(tmp_path):
    arrived = _error("Trainer", {"kind": "ValueError", "what": "no such thing"}, tmp_path / "log")
    assert isinstance(arrived, EnvironmentProblem)
    assert str(arrived) == f"Trainer: ValueError: no such thing: the traceback is in {tmp_path / 'log'}"


def test_ending_a_fork_server_that_is_still_importing_leaves_no_process(tmp_path):
    processes = StageProcesses(tmp_path / "log")
    processes.start()
    server = processes._server.process
    processes.close()
    assert server.returncode is not None


def test_messages_stay_on_one_line_whatever_the_values_hold():
    error = MnistTfxError("odd name", where="a\nb\x1b[31m", got="\x00")
    assert str(error) == "a\\nb\\x1b[31m: odd name: got \\x00"


def test_what_the_stack_prints_goes_to_the_log_and_ours_to_the_terminal(tmp_path, capfd):
    console = output.own_console(stderr=False)
    with output.redirect_output(tmp_path / "log"):
        os.write(2, b"from C++\n")
        os.write(1, b"from Beam\n")
        console.print("ours")
        console.file.flush()
    assert capfd.readouterr().out == "ours\n"
    assert (tmp_path / "log").read_text() == "from C++\nfrom Beam\n"


def test_the_table_keeps_its_columns_while_a_bar_is_drawn():
    view = RunView(Console(width=80))
    view.open(["Autoencoder"])
    view.started("Autoencoder")
    view.progress("Autoencoder", {"stage": "epoch", "done": 3, "total": 60, "loss": 0.0784, "val_loss": 0.0712})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(view._table())
    drawn = console.export_text()
    assert "running" in drawn
    assert "epoch 3/60" in drawn
