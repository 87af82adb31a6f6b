"""A metadata store made again says what the lost one said."""

import subprocess
import sys

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy

from components.errors import EnvironmentProblem, Refused
from pipeline.audit.audit import audit_all, audit_version
from pipeline.maintenance.rebuild import opens, rebuild
from pipeline.maintenance.rollback import rollback
from pipeline.metadata.executions import RecordedExecution, highest_number, in_order_of_numbers, recorded_executions
from pipeline.metadata.store import connect
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import RecordChanged, scan
from pipeline.provenance.records import from_dict, utc


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def contents(file):
    """A store's content without its numbers: executions by run and node, with what they read and made."""
    store = connect(file)
    uris = {a.id: a.uri.split("/root/")[1] for a in store.get_artifacts()}
    found = []
    for execution in store.get_executions():
        contexts = sorted((c.type, c.name) for c in store.get_contexts_by_execution(execution.id))
        events = store.get_events_by_execution_ids([execution.id])
        edges = sorted((e.type, e.path.steps[0].key, e.path.steps[1].index, uris[e.artifact_id]) for e in events)
        found.append((contexts, execution.last_known_state, edges))
    properties = {
        (uris[a.id], name): value.SerializeToString()
        for a in store.get_artifacts()
        for name, value in a.custom_properties.items()
        if name != "pushed_destination"
    }
    return sorted(found), properties


def test_it_holds_what_the_lost_one_held(paths, tmp_path):
    rebuild(paths.root, tmp_path / "new.db")
    before, after = contents(paths.metadata), contents(tmp_path / "new.db")
    assert after[0] == before[0]
    assert after[1] == before[1]


def test_an_audit_passes_with_it(paths):
    paths.metadata.unlink()
    rebuild(paths.root)
    assert audit_version(paths.root).passed()


def test_a_rollback_in_a_root_that_was_moved_finds_its_artifacts_in_a_store_that_was_made_again(paths):
    paths.metadata.unlink()
    rebuild(paths.root)
    rollback(paths.root, 1, pytest.fail)
    assert {audit.verdicts["COMPLETENESS"] for audit in audit_all(paths.root)} == {"PASS"}


def test_runs_belong_to_the_pipeline(paths, tmp_path):
    made = rebuild(paths.root, tmp_path / "new.db")
    assert made.runs == 3
    store = connect(tmp_path / "new.db")
    for run in store.get_contexts_by_type("pipeline_run"):
        assert [parent.name for parent in store.get_parent_contexts_by_context(run.id)] == ["digits"]


@pytest.mark.parametrize(
    ("damage", "kept"), [(None, False), (b"", False), (b"garbage" * 99, True)], ids=["missing", "empty", "garbage"]
)
def test_a_lost_store_is_replaced_and_what_was_unreadable_kept(paths, damage, kept):
    paths.metadata.unlink()
    if damage is not None:
        paths.metadata.write_bytes(damage)
    made = rebuild(paths.root)
    assert opens(paths.metadata)
    assert (made.kept is not None) == kept
    if made.kept is not None:
        assert made.kept.read_bytes() == damage


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_store_that_opens_is_never_replaced(paths, tmp_path, elsewhere):
    target = tmp_path / "new.db" if elsewhere else None
    if target is not None:
        rebuild(paths.root, target)
    place = target or paths.metadata
    before = place.read_bytes()
    with pytest.raises(Refused, match="a store that opens is here"):
        rebuild(paths.root, target)
    assert place.read_bytes() == before


def test_a_changed_record_ends_it_with_nothing_written(paths):
    known = read_ledger(paths.ledger).order[3]
    (paths.records / f"{known}.json").write_text("{}")
    paths.metadata.unlink()
    with pytest.raises(RecordChanged, match=known):
        rebuild(paths.root)
    assert not list(paths.root.glob("*metadata.db*"))


def test_an_intent_that_came_to_nothing_is_a_failed_execution(paths):
    ledger = Ledger.open(paths.ledger)
    ledger.lost(ledger.intent(node="Evaluator", run_id="run-4", key="k"), why="killed")
    found = recorded_executions(read_ledger(paths.ledger), scan(paths.records))
    assert [(one.node, one.state, one.pipeline) for one in found if one.run_id == "run-4"] == [
        ("Evaluator", "FAILED", "digits")
    ]


def _at(make_execution, number, node="Transform"):
    fields = make_execution(node=node).to_dict()
    output = {"type": "Model", "path": f"artifacts/{node}/model/{number}", "sha256": "0" * 64, "bytes": 1, "files": {}}
    record = from_dict({**fields, "outputs": {"model": [{**output, "properties": {}}]}, "started": utc(0)})
    return RecordedExecution(
        node=node, run_id="run-1", pipeline="digits", state="COMPLETE", hash="0" * 64, record=record
    )


def test_executions_get_their_old_numbers_and_gaps_are_filled(make_execution):
    cached = RecordedExecution(node="Pusher", run_id="run-1", pipeline="digits", state="CACHED")
    ordered = in_order_of_numbers([_at(make_execution, 5), cached, _at(make_execution, 2)], highest=7)
    assert [one.node for one in ordered] == ["Pusher", "Transform", None, None, "Transform", None, None]
    assert {one.state for one in ordered if one.node is None} == {"FAILED"}


def test_two_records_with_one_number_are_both_there(make_execution):
    twice = [_at(make_execution, 1, "Transform"), _at(make_execution, 1, "Evaluator")]
    assert [one.node for one in in_order_of_numbers(twice, highest=0)] == ["Transform", "Evaluator"]


def test_the_next_number_is_above_every_folder(tmp_path):
    for name in ("9", "10", ".system/executor_execution/99", "backup", "9" * 30):
        (tmp_path / "Transform/transform_graph" / name).mkdir(parents=True)
    (tmp_path / "Transform/.system/99").mkdir(parents=True)
    assert highest_number(tmp_path) == 10


def test_the_command_imports_neither_tensorflow_nor_tfx(paths, tmp_path):
    script = (
        "import sys; from pipeline.cli.main import main\n"
        "sys.argv = ['mnist-tfx', 'lineage', 'rebuild', '--root', sys.argv[1], '--to', sys.argv[2]]\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'tfx'} & set(sys.modules), 'heavy import'\n"
    )
    subprocess.run([sys.executable, "-c", script, str(paths.root), str(tmp_path / "new.db")], check=True)


def test_the_command_answers_with_what_it_wrote(paths):
    paths.metadata.unlink()
    assert in_process("lineage", "rebuild", "--root", paths.root, "--json").json["path"] == str(paths.metadata)


def test_a_target_that_cannot_be_written_is_an_environment_problem(paths, tmp_path):
    with pytest.raises(EnvironmentProblem):
        rebuild(paths.root, tmp_path / "none" / "new.db")
