"""Repair: what a killed run left is settled on evidence alone, and served bytes stay as they are."""

import shutil

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy
from lineage.conftest import execution_record

from components.digest import tree_digest
from components.serving import PROVENANCE
from pipeline.audit.audit import audit_all
from pipeline.cli.output import audit_answer
from pipeline.lineage import show
from pipeline.maintenance.orphans import Survey, orphans
from pipeline.maintenance.recovery import blessed
from pipeline.maintenance.repair import repair
from pipeline.metadata.store import open_store
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import write
from pipeline.provenance.records import RunRecord


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def push_killed_after_the_rename(paths):
    """Version 3 with the bytes of version 1, and what a killed Pusher leaves of itself."""
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    Ledger.open(paths.ledger).intent(node="Pusher", run_id="run-4", key="asked for")


def fixed(paths, **options):
    return [(one.kind, one.where) for one in repair(paths.root, pytest.fail, **options)]


def test_there_is_nothing_to_do_in_a_whole_root(paths):
    before = paths.ledger.read_bytes()
    assert fixed(paths) == []
    assert paths.ledger.read_bytes() == before


def test_a_served_version_with_the_bytes_of_a_blessed_model_is_attached(paths):
    push_killed_after_the_rename(paths)
    before = tree_digest(paths.serving / "3")
    assert ("attached", "serving/3") in fixed(paths)
    assert orphans(paths.root, pytest.fail) == ()
    found = show.show(paths.root, 3)
    assert found.recorded
    assert found.sha256 == before == tree_digest(paths.serving / "3")
    assert {node.name for node in found.graph.nodes.values()} >= {"ExampleGen", "Autoencoder", "Classifier", "Pusher"}


def test_what_a_repair_wrote_is_marked_as_such(paths):
    push_killed_after_the_rename(paths)
    repair(paths.root, pytest.fail)
    ledger = read_ledger(paths.ledger)
    [pushed] = [x for x in ledger.lines if x.event == Event.PUSHED and x.details["version"] == 3]
    assert pushed.details["repaired"] is True
    record = Survey.of(paths).committed[ledger.order[-1]]
    assert record.extra["repaired"]["why"] == "served, but not recorded"


def test_the_run_that_was_killed_gets_its_record(paths):
    push_killed_after_the_rename(paths)
    repair(paths.root, pytest.fail)
    survey = Survey.of(paths)
    last = [survey.records[x.record] for x in survey.ledger.lines if x.event == Event.RUN][-1]
    assert isinstance(last, RunRecord)
    assert (last.version, last.status) == (3, "interrupted")
    assert {node.id for node in last.nodes} >= {"ExampleGen", "Pusher"}


@pytest.mark.parametrize("change", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_served_version_that_is_no_blessed_model_is_left_as_it_is(paths, change):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    (paths.serving / "3" / change).write_bytes(b"forged")
    before, ledger = tree_digest(paths.serving), paths.ledger.read_bytes()
    [left] = repair(paths.root, pytest.fail)
    assert (left.kind, left.where, left.settled) == ("left", "serving/3", False)
    assert (tree_digest(paths.serving), paths.ledger.read_bytes()) == (before, ledger)


@pytest.mark.parametrize("node", ["Evaluator", "SavedModelCheck"])
def test_a_model_whose_newest_verdict_is_no_is_not_blessed(paths, node):
    survey = Survey.of(paths)
    [model] = {e.sha256 for r in survey.committed.values() if r.node == "Classifier" and r.run_id == "run-1"
               for e in r.outputs["model"]}  # fmt: skip
    assert blessed(survey, model) is not None
    known = [r for r in survey.committed.values() if r.node == node and r.run_id == "run-1"][-1]
    fields = known.to_dict()
    fields["outputs"]["blessing"][0]["properties"]["blessed"] = 0
    del fields["schema_version"], fields["kind"]
    again = type(known).from_dict({**fields, "run_id": "run-5"})
    ledger = Ledger.open(paths.ledger)
    ledger.commit(ledger.intent(node=node, run_id="run-5", key=again.key), record=write(paths.records, again))
    assert blessed(Survey.of(paths), model) is None


def test_provenance_alone_attaches_nothing(paths):
    """A manifest can be copied; the digest of the bytes decides."""
    made = paths.serving / "3"
    (made / PROVENANCE).parent.mkdir(parents=True)
    (made / "saved_model.pb").write_bytes(b"forged")
    shutil.copy(paths.serving / "1" / PROVENANCE, made / PROVENANCE)
    assert fixed(paths) == [("left", "serving/3")]


def uncommit(paths, count):
    """Cuts the ledger so that it ends with the intent of the last execution, as a kill before the commit does."""
    lines = paths.ledger.read_bytes().splitlines(keepends=True)
    paths.ledger.write_bytes(b"".join(lines[:-count]))


def test_what_was_published_but_not_committed_is_committed(paths):
    uncommit(paths, 3)  # the run, the push, the Pusher's commit
    kinds = [kind for kind, _ in fixed(paths)]
    assert kinds == ["committed", "run-recorded"]
    assert orphans(paths.root, pytest.fail) == ()
    assert read_ledger(paths.ledger).highest_version() == 2


def test_what_was_published_but_changed_since_is_given_up(paths):
    uncommit(paths, 3)
    (paths.artifacts / "Pusher/pushed_model/run-3/pushed.json").write_text("{}")
    kinds = [kind for kind, _ in fixed(paths)]
    assert "committed" not in kinds
    assert "attached" in kinds  # its bytes are still those of a blessed model


def test_what_was_not_published_is_lost(paths):
    key = "k"
    Ledger.open(paths.ledger).intent(node="Evaluator", run_id="run-4", key=key)
    write(paths.records, execution_record(node="Evaluator", run_id="run-4", key=key))
    assert fixed(paths) == [("lost", "Evaluator of run run-4")]
    assert orphans(paths.root, pytest.fail) == ()


def test_an_execution_whose_process_is_gone_is_failed(paths):
    raw = open_store(paths, say=pytest.fail).raw
    [first, *_] = raw.get_executions()
    first.last_known_state = first.RUNNING
    raw.put_executions([first])
    assert fixed(paths) == [("failed", f"execution {first.id}")]
    assert raw.get_executions_by_id([first.id])[0].last_known_state == first.FAILED


def test_a_torn_line_is_repaired(paths):
    with paths.ledger.open("ab") as file:
        file.write(b'{"torn')
    assert fixed(paths) == [("line-repaired", "ledger.jsonl")]
    assert read_ledger(paths.ledger).torn == b""


def test_a_dry_run_names_the_same_and_does_nothing(paths):
    push_killed_after_the_rename(paths)
    before = tree_digest(paths.root)
    named = fixed(paths, dry_run=True)
    assert tree_digest(paths.root) == before
    assert named == [("attached", "serving/3"), ("lost", "Pusher of run run-4")]


def test_the_command_ends_with_1_where_something_is_left(paths):
    def run(*options):
        return in_process("lineage", "repair", "--root", paths.root, *options)

    assert (run().code, run().out) == (0, "nothing to repair\n")
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    (paths.serving / "3" / "saved_model.pb").write_bytes(b"forged")
    assert run("--dry-run").code == 1
    assert run("--json").json["repairs"][0]["kind"] == "left"


DAMAGES = {
    "deleted": lambda file: file.unlink(),
    "changed": lambda file: file.write_text("{}"),
    "replaced by a folder": lambda file: file.unlink() or file.mkdir(),
}


@pytest.mark.parametrize("dry", [False, True], ids=["repair", "repair --dry-run"])
@pytest.mark.parametrize("event", [Event.RUN, Event.COMMIT])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_nothing_can_restore_is_named_and_how_to_get_it_back(paths, damage, event, dry):
    known = [line.record for line in read_ledger(paths.ledger).lines if line.event == event][-1]
    DAMAGES[damage](paths.records / f"{known}.json")
    answer = in_process("lineage", "repair", "--root", paths.root, *["--dry-run"] * dry)
    assert answer.code == 1
    [line] = answer.out.splitlines()
    assert line.startswith(f"left: records/{known}.json: ")
    assert "of run run-3" in line or "for run run-3" in line
    assert "put it back from a copy; until then `mnist-tfx lineage audit` fails" in line
    assert audit_answer(audit_all(paths.root), {}, allow_unknown=True).exit_code == 1


def test_a_version_that_was_pushed_and_is_gone_is_named(paths):
    shutil.rmtree(paths.serving / "1")
    assert fixed(paths) == fixed(paths, dry_run=True) == [("left", "serving/1")]
