"""Runs as their records tell them, and runs that left none."""

import pytest
from command_line import in_process

from components.errors import BadInput, CannotTell, SeveralProblems
from pipeline.provenance import at_work
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.runs import find, require
from pipeline.root.paths import RunPaths

BEGUN = "20260101T120000.000001Z"


@pytest.fixture
def root(tmp_path):
    paths = RunPaths(tmp_path / "root")
    paths.root.mkdir()
    Ledger.open(paths.ledger).intent(node="ExampleGen", run_id=BEGUN)
    return paths.root


@pytest.mark.parametrize("run_id", [BEGUN, "20260101", None])
def test_a_run_that_was_killed_is_not_called_one_that_never_was(root, run_id):
    with pytest.raises(CannotTell, match=f"run {BEGUN}: it began, and left no record of how it ended"):
        find(root, run_id)


def test_a_run_that_never_was_is_refused(root):
    with pytest.raises(BadInput, match="no such run"):
        find(root, "2027")


def test_all_runs_that_never_were_are_said_at_once(root):
    with pytest.raises(SeveralProblems) as caught:
        require(root, ["2027", BEGUN, "2028"])
    assert [problem.where for problem in caught.value.problems] == ["2027", "2028"]


def test_a_run_that_was_killed_is_not_called_unknown_beside_another(root):
    with pytest.raises(CannotTell, match=f"run {BEGUN}"):
        require(root, [BEGUN])


def test_a_run_at_work_is_listed_and_shown_with_its_phase(root):
    with at_work.announced(RunPaths(root), "20260101T130000.000001Z", "letters") as announcement:
        announcement.phase("Classifier, epoch 3/8")
        listed, shown = in_process("runs", "list", "--root", root), in_process("runs", "show", "--root", root)
        (_, running) = in_process("runs", "list", "--root", root, "--json").json["unrecorded"]
        with pytest.raises(CannotTell, match="it is still at work: got Classifier, epoch 3/8"):
            find(root, "20260101T13")
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [
        [BEGUN, "unfinished"],
        ["20260101T130000.000001Z", "running"],
    ]
    assert "doing     Classifier, epoch 3/8, since 20" in shown.out
    assert (running["state"], running["phase"], running["recipe"]) == ("running", "Classifier, epoch 3/8", "letters")


def test_a_run_that_was_killed_is_never_shown_as_running(root):
    with at_work.announced(RunPaths(root), BEGUN, "digits") as announcement:
        announcement.phase("Autoencoder")
        left = RunPaths(root).presence(BEGUN).read_bytes()
    RunPaths(root).presence(BEGUN).write_bytes(left)  # as after a kill: nobody holds it
    (killed,) = in_process("runs", "list", "--root", root, "--json").json["unrecorded"]
    assert (killed["run_id"], killed["state"], killed["phase"]) == (BEGUN, "killed", "Autoencoder")
    with pytest.raises(CannotTell, match=f"run {BEGUN}: it was killed"):
        find(root, None)
