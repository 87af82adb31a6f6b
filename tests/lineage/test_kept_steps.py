"""What was read of a large store's records is kept for its user: the same answers, none read twice, and nobody else believed."""

import os

import many_records
import pytest

from components.errors import EnvironmentProblem
from pipeline.lineage import kept_steps
from pipeline.lineage.impact import impact
from pipeline.lineage.index import open_lineage
from pipeline.lineage.kept_steps import KeptSteps
from pipeline.lineage.trace import trace
from pipeline.provenance import record_store
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import RecordMissing


@pytest.fixture
def many(tmp_path):
    return many_records.build(tmp_path / "root", generations=4, runs=2)


@pytest.fixture
def kept(monkeypatch, tmp_path, wanted):
    """Stores of any size are kept, once the answers from memory are there; returns the folder."""
    del wanted
    monkeypatch.setattr(kept_steps, "FEWEST", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist-tfx" / "lineage"


def answers(many):
    lineage = open_lineage(many.root)
    asked = [
        many.first_payload,
        many_records.sha("Classifier 3.py"),
        many_records.sha("lock"),
        min(lineage.code),
    ]
    found = [impact(lineage, [one]).to_dict() for one in asked]
    return type(lineage.steps), trace(lineage).to_dict(), found, lineage.names, lineage.containers


@pytest.fixture
def wanted(many):
    return answers(many)[1:]


@pytest.mark.usefixtures("kept")
def test_answers_are_those_from_memory_and_no_record_is_read_twice(many, wanted, monkeypatch):
    first = answers(many)
    monkeypatch.setattr(record_store, "read_record_bytes", lambda *_: pytest.fail("was read again"))
    assert first == answers(many) == (KeptSteps, *wanted)


@pytest.mark.usefixtures("kept")
def test_the_records_of_runs_are_known_as_such_when_they_are_kept(root):
    expected = {read_ledger(root.paths.ledger).run_record(root.run_id)}
    assert open_lineage(root.path).run_records == open_lineage(root.path).run_records == expected


@pytest.mark.usefixtures("kept")
def test_a_record_that_came_since_is_read_too(many):
    open_lineage(many.root)
    path = min((many.root / "records").iterdir())
    data = path.read_bytes().replace(b'"started":"2026-01-01', b'"started":"2027-01-01')
    many_records.write_as_record(path.parent, data)
    assert len(open_lineage(many.root).steps) == many.records + 1


@pytest.mark.usefixtures("kept")
def test_a_committed_record_that_is_gone_is_missed_and_welcome_back(many, wanted):
    open_lineage(many.root)
    path = min((many.root / "records").iterdir())
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(RecordMissing):
        open_lineage(many.root)
    path.write_bytes(data)
    assert answers(many)[1:] == wanted


@pytest.mark.usefixtures("kept")
def test_what_was_read_under_another_chain_is_forgotten(many):
    ledger = Ledger.open(many.root / "ledger.jsonl")
    before = ledger.path.read_bytes()
    ledger.intent(node="Trainer", run_id="one")
    open_lineage(many.root)
    ledger.path.write_bytes(before)
    Ledger.open(ledger.path).intent(node="Trainer", run_id="two")
    with open_file(many) as file:
        assert len(file.steps) == 0


def open_file(many):
    from pipeline.provenance.ledger import read_ledger

    return kept_steps.opened(read_ledger(many.root / "ledger.jsonl"))


@pytest.mark.parametrize("mode", [0o660, 0o602])
def test_a_file_that_others_can_write_to_is_not_believed(many, wanted, kept, mode):
    open_lineage(many.root)
    [file] = kept.glob("*.db")
    file.chmod(mode)
    kind, *found = answers(many)
    assert kind is not KeptSteps
    assert tuple(found) == wanted


def test_a_file_that_is_none_is_made_anew(many, wanted, kept):
    open_lineage(many.root)
    for file in kept.iterdir():
        file.write_bytes(b"x" * 5000)
    assert answers(many)[1:] == wanted


def test_without_a_place_to_keep_it_all_is_read(many, wanted, kept):
    kept.parent.parent.mkdir()
    kept.parent.write_bytes(b"")
    kind, *found = answers(many)
    assert (kind is KeptSteps, tuple(found)) == (False, wanted)


@pytest.mark.usefixtures("kept")
def test_an_error_of_the_file_while_it_is_asked_is_one_of_ours(many):
    lineage = open_lineage(many.root)
    lineage.steps._connection.close()
    with pytest.raises(EnvironmentProblem, match="what was kept of records cannot be read"):
        len(lineage.steps)


def test_the_folder_is_the_users_own(many, kept):
    open_lineage(many.root)
    [file] = kept.glob("*.db")
    assert (os.stat(file).st_mode & 0o777, os.stat(kept).st_mode & 0o777) == (0o600, 0o700)
