"""Orphans: each kind in a root that has it alone, and none in a root that has none."""

import json
import shutil

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy
from lineage.conftest import execution_record

from components.errors import BadInput, EnvironmentProblem
from pipeline.maintenance.orphans import as_dicts, orphans, size
from pipeline.metadata.store import open_store
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import write
from pipeline.root.lock import locked


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def leave(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def start_execution(paths):
    store = open_store(paths, say=pytest.fail).raw
    [first, *_] = store.get_executions()
    first.last_known_state = first.RUNNING
    store.put_executions([first])


def serve_a_copy(paths):
    shutil.copytree(paths.serving / "1", paths.serving / "9")


def forget_the_last_run(paths):
    lines = paths.ledger.read_bytes().splitlines(keepends=True)
    *before, last = lines
    assert json.loads(last)["event"] == "run"
    (paths.records / f"{json.loads(last)['record']}.json").unlink()
    paths.ledger.write_bytes(b"".join(before))


SITUATIONS = {
    "served-unrecorded": (serve_a_copy, "serving/9", "lineage repair"),
    "served-stranger": (
        lambda paths: shutil.copytree(paths.serving / "1", paths.serving / "01"),
        "serving/01",
        "",
    ),
    "served-stranger: a folder": (lambda paths: (paths.serving / "99").mkdir(), "serving/99", ""),
    "served-stranger: a link": (lambda paths: (paths.serving / "9").symlink_to("/"), "serving/9", ""),
    "served-missing": (lambda paths: shutil.rmtree(paths.serving / "1"), "serving/1", ""),
    "recorded-missing": (
        lambda paths: shutil.rmtree(paths.artifacts / "Transform/transform_graph/run-1"),
        "artifacts/Transform/transform_graph/run-1",
        "run",
    ),
    "store-lost": (lambda paths: paths.metadata.unlink(), "metadata.db", "lineage rebuild"),
    "dead-execution": (start_execution, "execution 1", "lineage repair"),
    "open-intent": (
        lambda paths: Ledger.open(paths.ledger).intent(node="Evaluator", run_id="run-4", key="k"),
        "ledger line ",
        "lineage repair",
    ),
    "uncommitted-record": (
        lambda paths: write(paths.records, execution_record(node="Evaluator", run_id="run-4")),
        "records/",
        "lineage repair",
    ),
    "unreadable-record": (
        lambda paths: next(paths.records.glob("*.json")).write_text("{}"), "records/", "lineage audit",
    ),
    "unknown-artifact": (
        lambda paths: leave(paths.artifacts / "Transform/transform_graph/77/half"),
        "artifacts/Transform/transform_graph/77",
        "lineage gc",
    ),
    "unused-input": (lambda paths: leave(paths.inputs / "abc/train-images"), "inputs/abc", "lineage gc"),
    "stale-checkpoint": (
        lambda paths: leave(paths.checkpoints / "abc/training.npz"), "checkpoints/abc", "lineage gc",
    ),
    "staged-unrecorded": (
        lambda paths: shutil.copytree(paths.serving / "1", paths.staged / "9"), "staged/9", "serving prune --staged",
    ),
    "run-unrecorded": (forget_the_last_run, "run run-3", "lineage repair"),
    "stage": (lambda paths: leave(paths.serving / ".stage-1/saved_model.pb"), "serving/.stage-1", "lineage gc"),
}  # fmt: skip


def test_a_whole_root_has_none(paths):
    assert orphans(paths.root, pytest.fail) == ()


@pytest.mark.parametrize("kind", SITUATIONS)
def test_what_lacks_its_counterpart_is_named_with_what_deals_with_it(paths, kind):
    make, where, remedy = SITUATIONS[kind]
    make(paths)
    [found] = orphans(paths.root, pytest.fail)
    assert (found.kind, found.remedy) == (kind.split(":")[0], remedy)
    assert found.where.startswith(where)
    assert in_process("lineage", "orphans", "--root", paths.root, "--json").json["orphans"] == as_dicts([found])


@pytest.mark.fault(1)
def test_the_record_and_the_partial_output_of_a_failed_execution_are_accounted_for_once_it_is_given_up(paths):
    ledger = Ledger.open(paths.ledger)
    intent = ledger.intent(node="Evaluator", run_id="run-4", key="k")
    write(paths.records, execution_record(node="Evaluator", run_id="run-4"))
    ledger.lost(intent, why="killed")
    assert orphans(paths.root, pytest.fail) == ()


def test_the_record_that_a_killed_repair_wrote_and_the_next_one_replaced_is_accounted_for(paths):
    ledger = Ledger.open(paths.ledger)
    intent = ledger.intent(node="Evaluator", run_id="run-4", key="k")
    write(paths.records, execution_record(node="Evaluator", run_id="run-4"))
    ledger.commit(intent, record=write(paths.records, execution_record(node="Evaluator", run_id="run-4", seconds=2.0)))
    assert [one for one in orphans(paths.root, pytest.fail) if one.kind == "uncommitted-record"] == []


def test_the_checkpoint_of_a_training_that_may_be_resumed_is_none(paths):
    Ledger.open(paths.ledger).intent(node="Classifier", run_id="run-4", key="abc")
    leave(paths.checkpoints / "abc/training.npz")
    assert [found.kind for found in orphans(paths.root, pytest.fail)] == ["open-intent"]


def test_with_a_record_that_cannot_be_read_no_artifact_is_called_nobodys(paths):
    for file in paths.records.glob("*.json"):
        file.write_text("{}")
    assert {found.kind for found in orphans(paths.root, pytest.fail)} == {"unreadable-record"}


def test_the_record_of_a_run_that_is_gone_is_named_and_hides_nothing_else(paths):
    run = [line.record for line in Ledger.open(paths.ledger).chain.lines if line.event == "run"][-1]
    (paths.records / f"{run}.json").unlink()
    leave(paths.inputs / "abc/train-images")
    found = {one.kind: one.why for one in orphans(paths.root, pytest.fail)}
    assert found.keys() == {"unreadable-record", "unused-input"}
    assert "what became of run run-3" in found["unreadable-record"]


def test_an_artifact_that_was_collected_is_not_missing(paths):
    [entry] = [e for e in _outputs(paths) if e == "artifacts/Transform/transform_graph/run-1"]
    shutil.rmtree(paths.root / entry)
    Ledger.open(paths.ledger).collected(node="Transform", run_id="run-1", record="0" * 64, paths=[entry])
    assert orphans(paths.root, pytest.fail) == ()


def _outputs(paths):
    for file in paths.records.glob("*.json"):
        for made in json.loads(file.read_text()).get("outputs", {}).values():
            yield from (entry["path"] for entry in made)


def test_a_link_counts_as_itself_and_is_not_followed(tmp_path):
    leave(tmp_path / "elsewhere/big", bytes(5000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to(tmp_path / "elsewhere")
    assert size(tmp_path / "folder") < 1000


def test_during_a_run_it_leaves_and_says_why(paths):
    with locked(paths, pytest.fail), pytest.raises(EnvironmentProblem, match="a run is under way"):
        orphans(paths.root, pytest.fail)


def test_a_folder_without_a_pipeline_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no pipeline has run here"):
        orphans(tmp_path, pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_1_when_there_are_any(paths):
    def run(*options):
        return in_process("lineage", "orphans", "--root", paths.root, *options)

    assert (run().code, run().out) == (0, "nothing is orphaned\n")
    serve_a_copy(paths)
    assert run().code == 1
    assert "serving/9" in run().out
    assert run("--json").status == "findings"
