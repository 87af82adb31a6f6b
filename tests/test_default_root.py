"""The root of a command that was given none."""

import pytest
from click.testing import CliRunner
from command_line import Answer, in_process

from components.errors import BadInput
from pipeline.cli.main import cli
from pipeline.provenance import default_root
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

READING = [["runs", "list"], ["serving", "list"], ["lineage", "orphans"], ["lineage", "gc", "--dry-run"]]
CHANGING = [
    ["serving", "rollback", "1"],
    ["serving", "prune", "--keep", "1"],
    ["lineage", "gc"],
    ["lineage", "repair"],
    ["lineage", "rebuild"],
]


@pytest.fixture
def below(tmp_path):
    (tmp_path / "runs" / "no-root").mkdir(parents=True)
    (tmp_path / "runs" / "file").touch()
    return tmp_path / "runs"


def used(folder, *seconds):
    """Makes a root of a folder, with a line in its ledger at each time."""
    folder.mkdir()
    for time in seconds:
        Ledger.open(RunPaths(folder).ledger, clock=lambda time=time: time).intent(node="ExampleGen", run_id="a-run")
    RunPaths(folder).records.mkdir(exist_ok=True)


@pytest.mark.parametrize("changes", [False, True])
def test_the_only_root_is_taken_whatever_lies_beside_it(below, changes):
    used(below / "letters")
    assert default_root.choose(changes=changes, parent=below) == default_root.Choice(root=below / "letters", others=0)


def test_of_several_the_one_whose_ledger_has_the_newest_line_is_read(below):
    for name, seconds in {"a": (1, 50), "b": (2, 3, 80), "c": (70,), "never-used": ()}.items():
        used(below / name, *seconds)
    assert default_root.choose(changes=False, parent=below) == default_root.Choice(root=below / "b", others=3)


def test_one_that_may_be_changed_is_never_chosen_of_several(below):
    for number in range(7):
        used(below / f"r{number}", number)
    with pytest.raises(BadInput, match=r"it has to be named: got .*/r0, .*/r4 and 2 more"):
        default_root.choose(changes=True, parent=below)


@pytest.mark.parametrize("last", [b"", b"not a line\n"])
def test_a_ledger_that_does_not_tell_is_not_guessed_about(below, last):
    used(below / "a", 5)
    used(below / "b", 5 if not last else 6)
    with RunPaths(below / "b").ledger.open("ab") as ledger:
        ledger.write(last)
    with pytest.raises(BadInput, match=r"do not tell which one was used last: got .*/a, .*/b"):
        default_root.choose(changes=False, parent=below)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_that_reads_says_which_of_several_it_took(below, command, monkeypatch):
    used(below / "a", 10)
    used(below / "b", 20)
    monkeypatch.chdir(below.parent)
    told = CliRunner().invoke(cli, command).stderr  # whatever it then finds in a root with nothing but a ledger
    assert told.splitlines()[0] == "root runs/b, the one of 2 below ./runs that was used last; --root names another"
    assert told.count("--root names another") == 1


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_a_command_that_changes_something_wants_one_to_be_named(below, command, monkeypatch):
    used(below / "a", 10)
    used(below / "b", 20)
    monkeypatch.chdir(below.parent)
    wanted = "--root: which root? This command changes one, so it has to be named: got runs/a, runs/b"
    assert in_process(*command) == Answer(2, "", wanted)


@pytest.mark.parametrize("command", [*READING, *CHANGING, ["lineage", "audit"]], ids=" ".join)
def test_where_there_is_no_root_one_sentence_says_so(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = (
        "--root: no pipeline has run below ./runs: `mnist-tfx run` makes one; one that lies elsewhere is named with"
    )
    assert in_process(*command) == Answer(2, "", f"{wanted} --root")
