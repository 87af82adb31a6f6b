"""Collecting garbage: what is reachable from what is served or recent stays, the rest goes and is noted before."""

import json
import shutil

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy

from components.digest import tree_digest
from components.errors import EnvironmentProblem
from pipeline.audit.audit import audit_version
from pipeline.maintenance.gc import collect
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.prune import prune
from pipeline.metadata.store import open_store
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import RecordMissing


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def leave(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def removed(paths, **options):
    return {(one.kind, one.path) for one in collect(paths.root, pytest.fail, **options)}


def test_nothing_goes_that_a_served_version_was_made_from(paths):
    before = tree_digest(paths.root)
    assert removed(paths, keep_runs=0) == set()
    assert tree_digest(paths.root) == before


def test_what_no_version_and_no_recent_run_needs_goes(paths):
    prune(paths.root, 1)
    gone = removed(paths, keep_runs=1)
    assert ("artifact", "artifacts/Classifier/model/run-1") in gone
    assert ("artifact", "artifacts/Autoencoder/model/run-1") not in gone  # version 2 has it embedded
    assert not (paths.artifacts / "Classifier/model/run-1").exists()
    assert (paths.artifacts / "Autoencoder/model/run-1").exists()


def test_the_last_runs_keep_their_files_whatever_is_served(paths):
    prune(paths.root, 1)
    assert removed(paths, keep_runs=3) == set()


def test_records_and_ledger_only_grow(paths):
    prune(paths.root, 1)
    before, records = paths.ledger.read_bytes(), sorted(paths.records.iterdir())
    removed(paths, keep_runs=1)
    assert paths.ledger.read_bytes().startswith(before)
    assert sorted(paths.records.iterdir()) == records


def test_what_is_removed_is_noted_by_record_and_path(paths):
    prune(paths.root, 1)
    gone = {path for _, path in removed(paths, keep_runs=1)}
    ledger = read_ledger(paths.ledger)
    assert ledger.collected() == gone
    lines = [line for line in ledger.lines if line.event == Event.COLLECTED]
    for line in lines:
        made = json.loads((paths.records / f"{line.record}.json").read_text())["outputs"]
        assert set(line.details["paths"]) == {entry["path"] for entries in made.values() for entry in entries}
        assert (line.node, line.run_id) == ("Classifier", "run-1") or line.run_id == "run-1"


def test_what_was_collected_is_neither_an_orphan_nor_missing_to_the_audit(paths):
    prune(paths.root, 1)
    removed(paths, keep_runs=1)
    assert orphans(paths.root, pytest.fail) == ()
    assert audit_version(paths.root, 2).passed()


def test_the_store_calls_it_deleted(paths):
    prune(paths.root, 1)
    removed(paths, keep_runs=1)
    store = open_store(paths, say=pytest.fail).raw
    states = {a.uri.split("/artifacts/")[1]: a.state == a.DELETED for a in store.get_artifacts()}
    assert states["Classifier/model/run-1"]
    assert not states["Classifier/model/run-3"]


def test_a_second_collection_finds_nothing(paths):
    prune(paths.root, 1)
    removed(paths, keep_runs=1)
    before = paths.ledger.read_bytes()
    assert removed(paths, keep_runs=1) == set()
    assert paths.ledger.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("artifact", "artifacts/Transform/transform_graph/77"),
        ("input", "inputs/abc"),
        ("checkpoint", "checkpoints/abc"),
        ("log", "logs/run-0.log"),
        ("working-folder", "artifacts/Transform/.system/executor_execution/77"),
        ("half-written-record", "records/.new-1"),
        ("stage", "serving/.stage-1"),
    ],
)
def test_leftovers_of_every_kind_go(paths, kind, path):
    leave(paths.root / path if "." in path.rsplit("/", 1)[-1] and kind != "stage" else paths.root / path / "file")
    assert removed(paths) == {(kind, path)}
    assert not (paths.root / path).exists()
    assert removed(paths) == set()


def test_reports_of_forgotten_runs_go_and_no_other_page(paths):
    names = ("run-2.html", "run-2.lineage.html", "run-3.html", "run-3.lineage.html", "mine.html", ".answers/a.npz")
    for name in names:
        leave(paths.root / "reports" / name)
    prune(paths.root, 1)
    gone = {path for kind, path in removed(paths, keep_runs=1) if kind == "report"}
    assert gone == {"reports/run-2.html", "reports/run-2.lineage.html"}
    assert {name for name in names if (paths.root / "reports" / name).exists()} == set(names[2:])


def test_the_report_of_a_run_whose_version_is_served_stays(paths):
    leave(paths.report("run-1"))
    removed(paths, keep_runs=0)
    assert paths.report("run-1").exists()


STAGES = {
    "a link to a folder": lambda stage: stage.symlink_to(stage.parent / "1"),
    "a link to everything": lambda stage: stage.symlink_to("/"),
    "a link to nothing": lambda stage: stage.symlink_to("gone"),
    "a file": lambda stage: stage.write_text("x"),
}


@pytest.mark.parametrize("kind", STAGES)
def test_a_stage_that_is_no_folder_goes_and_what_it_points_at_stays(paths, kind):
    before = tree_digest(paths.serving / "1")
    STAGES[kind](paths.serving / ".stage-1")
    assert removed(paths) == {("stage", "serving/.stage-1")}
    assert removed(paths) == set()
    assert tree_digest(paths.serving / "1") == before


@pytest.mark.parametrize("kind", ["a folder", "a link to everything", "provenance of nobody"])
def test_a_foreign_entry_of_the_serving_directory_neither_stops_a_collection_nor_goes(paths, kind):
    foreign = paths.serving / "99"
    if kind == "a link to everything":
        foreign.symlink_to("/")
    else:
        leave(foreign / "assets.extra/provenance.json", b"{" if kind == "provenance of nobody" else b"")
    leave(paths.inputs / "abc/file")
    assert removed(paths) == {("input", "inputs/abc")}
    assert foreign.is_symlink() or foreign.is_dir()


def test_the_checkpoint_of_a_training_that_may_be_resumed_stays(paths):
    Ledger.open(paths.ledger).intent(node="Classifier", run_id="run-4", key="abc")
    leave(paths.checkpoints / "abc/training.npz")
    said = []
    assert collect(paths.root, said.append) == ()
    assert len(said) == 1
    assert "recovered from a crash: lost: Classifier of run run-4" in said[0]


def test_a_link_goes_and_what_it_points_at_stays(paths, tmp_path):
    leave(tmp_path / "elsewhere/file")
    (paths.inputs / "abc").symlink_to(tmp_path / "elsewhere")
    assert removed(paths) == {("input", "inputs/abc")}
    assert (tmp_path / "elsewhere/file").exists()


BEHIND_LINKS = {
    "artifacts": "artifacts/Trainer/.system/stateful_working_dir/left",
    "artifacts/Trainer": ".system/stateful_working_dir/left",
    "artifacts/Trainer/.system": "stateful_working_dir/left",
    "records": ".new-half",
    "checkpoints": "abc/training.npz",
    "inputs": "abc/train-images",
    "logs": "run-0.log",
    "reports": "run-2.html",
}


@pytest.mark.parametrize("place", BEHIND_LINKS)
def test_nothing_behind_a_linked_folder_of_a_root_is_removed(paths, tmp_path, place):
    linked = paths.root / place
    linked.parent.mkdir(parents=True, exist_ok=True)
    if linked.exists():
        linked.rename(tmp_path / "elsewhere")
    file = tmp_path / "elsewhere" / BEHIND_LINKS[place].removeprefix(f"{place}/")
    leave(file)
    linked.symlink_to(tmp_path / "elsewhere")
    assert removed(paths, keep_runs=0) == set()
    assert file.exists()


def test_with_a_record_missing_nothing_is_removed(paths):
    leave(paths.inputs / "abc/train-images")
    some = next(line.record for line in read_ledger(paths.ledger).lines if line.node == "Transform" and line.record)
    (paths.records / f"{some}.json").unlink()
    with pytest.raises(RecordMissing):
        removed(paths)
    assert (paths.inputs / "abc").exists()


def test_without_a_store_nothing_is_removed(paths):
    leave(paths.inputs / "abc/train-images")
    paths.metadata.unlink()
    with pytest.raises(EnvironmentProblem, match="lineage rebuild"):
        removed(paths)
    assert (paths.inputs / "abc").exists()


def test_the_command_says_how_many_bytes_are_freed_and_a_dry_run_frees_none(paths):
    leave(paths.inputs / "abc/train-images", bytes(5000))

    def run(*options):
        return in_process("lineage", "gc", "--root", paths.root, *options)

    assert "5000 bytes would be freed" in run("--dry-run").out
    assert run("--dry-run", "--json").json["bytes"] == 5000
    assert (paths.inputs / "abc").exists()
    assert "1 files and folders, 5000 bytes freed" in run().out
    assert not (paths.inputs / "abc").exists()


def test_a_hard_link_elsewhere_frees_nothing(paths):
    shutil.rmtree(paths.serving / "1")
    leave(paths.inputs / "abc/file", bytes(100))
    (paths.inputs / "other").hardlink_to(paths.inputs / "abc/file")
    [folder] = [one for one in collect(paths.root, pytest.fail, dry_run=True) if one.path == "inputs/abc"]
    assert folder.bytes == 0
