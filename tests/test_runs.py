"""Runs as their records tell them, and runs that left none."""

import pytest

from components.errors import BadInput, CannotTell, SeveralProblems
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
    with pytest.raises(CannotTell, match=f"run {BEGUN}: it began and left no record of how it ended"):
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
