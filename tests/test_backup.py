"""Copies of a root that are made while it changes, and the way back."""

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import threading

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from components.serving import versions
from pipeline.audit.audit import audit_all
from pipeline.maintenance import backup as copying
from pipeline.maintenance.backup import NOTE, backup, restore
from pipeline.maintenance.gc import collect
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.prune import prune
from pipeline.maintenance.rollback import rollback
from pipeline.metadata.store import open_store
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "backups" / "monday"


def test_what_a_killed_copy_left_goes_with_the_next_to_the_same_place_and_what_one_at_work_holds_stays(paths, target):
    killed, at_work, other = (
        target.parent / f".{name}-{digit * 32}.part"
        for name, digit in ((target.name, "0"), (target.name, "1"), ("x", "2"))
    )
    for part in (killed, at_work, other):
        part.mkdir(parents=True)
        (part / "ledger.jsonl").touch()
    held = os.open(at_work, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    backup(paths.root, target)
    os.close(held)
    assert set(target.parent.iterdir()) == {target, at_work, other}


def results(root):
    return [(audit.version, audit.result, [str(one) for one in audit.findings]) for audit in audit_all(root)]


def everything(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_backup_audits_as_its_root_does_and_leaves_it_as_it_was(paths, target):
    before, found = everything(paths.root), results(paths.root)
    done = backup(paths.root, target)
    assert (results(target), everything(paths.root)) == (found, before)
    assert (done.head, done.missing, done.settled) == (read_ledger(paths.ledger).head, (), ())
    assert orphans(target, pytest.fail) == orphans(paths.root, pytest.fail)


def test_a_restored_root_has_the_bytes_of_its_backup_and_goes_on(paths, target):
    backup(paths.root, target)
    shutil.rmtree(paths.root)
    restore(target, paths.root)
    kept = everything(target)
    del kept[NOTE]
    assert everything(paths.root) == kept
    assert rollback(paths.root, 1, pytest.fail).version == 3


def test_backups_made_while_versions_come_and_go_are_all_whole(paths, tmp_path):
    ended, heads = threading.Event(), []

    def change():
        with contextlib.ExitStack() as stack:
            stack.callback(ended.set)
            for turn in range(6):
                rollback(paths.root, 1 + turn % 2, lambda _: None)
            prune(paths.root, keep=3)
            collect(paths.root, lambda _: None, keep_runs=1)

    changing = threading.Thread(target=change)
    changing.start()
    while not ended.is_set() or not heads:
        target = tmp_path / "backups" / str(len(heads))
        heads.append(backup(paths.root, target).head)
        wrong = [str(one) for audit in audit_all(target) for one in audit.findings if one.verdict != "POLICY"]
        assert wrong == []
    changing.join()
    assert numbers(paths)[-1] == 8
    assert len(set(heads)) > 1


def numbers(paths):
    return [one.version for one in versions(paths.serving)]


def test_what_a_run_has_begun_is_settled_in_the_copy_and_stays_open_in_the_root(paths, target):
    ledger = Ledger.open(paths.ledger)
    ledger.intent(node="Autoencoder", run_id="at-work")
    done = backup(paths.root, target)
    assert [one.kind for one in done.settled] == ["lost"]
    assert read_ledger(target / "ledger.jsonl").unsettled() == ()
    assert len(read_ledger(paths.ledger).unsettled()) == 1


def test_half_a_line_of_the_ledger_is_not_copied(paths, target):
    whole = paths.ledger.read_bytes()
    paths.ledger.write_bytes(whole + b'{"sequence": ')
    backup(paths.root, target)
    assert (target / "ledger.jsonl").read_bytes() == whole


@pytest.mark.parametrize("name", ["checkpoints/a/b", "samples/1/x.json", "serving/.stage-1/f", "records/.new-1"])
def test_what_is_unfinished_or_private_is_not_copied(paths, target, name):
    place = paths.root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x")
    backup(paths.root, target)
    assert not (target / name).exists()


def test_a_damaged_root_is_copied_as_it_is_and_its_audit_says_so(paths, target):
    model = next(path for path in paths.artifacts.rglob("saved_model.pb"))
    model.write_bytes(model.read_bytes() + b"!")
    backup(paths.root, target)
    assert "FAIL" in {result for _, result, _ in results(target)}


def test_an_artifact_that_is_gone_is_named(paths, target):
    folder = next(path for path in paths.artifacts.glob("*/*/*") if path.is_dir())
    shutil.rmtree(folder)
    assert backup(paths.root, target).missing == (folder.relative_to(paths.root).as_posix(),)


def test_a_copy_is_made_again_when_something_was_removed_meanwhile(paths, target, monkeypatch):
    made = copying._made
    passes = []

    def made_while_pruning(*given):
        passes.append(1)
        if len(passes) == 1:
            rollback(paths.root, 1, lambda _: None)
            prune(paths.root, keep=1)
        return made(*given)

    monkeypatch.setattr(copying, "_made", made_while_pruning)
    backup(paths.root, target)
    assert len(passes) == 2
    assert numbers(RunPaths(target)) == numbers(paths) == [3]


def test_a_store_that_is_elsewhere_becomes_a_file_of_the_copy(paths, target, tmp_path):
    elsewhere = tmp_path / "store.db"
    paths.metadata.rename(elsewhere)
    fields = json.loads(paths.identity.read_text()) if paths.identity.exists() else {}
    paths.identity.write_text(json.dumps({**fields, "metadata": str(elsewhere)}))
    before = elsewhere.read_bytes()
    backup(paths.root, target)
    assert elsewhere.read_bytes() == before
    assert "metadata" not in json.loads((target / "root.json").read_text())
    assert open_store(RunPaths(target), say=pytest.fail).unfinished() == []


@pytest.mark.parametrize("there", ["file", "folder", "root"])
def test_a_target_that_is_taken_is_refused_and_nothing_is_written(paths, tmp_path, there):
    target = {"file": tmp_path / "taken", "folder": tmp_path, "root": paths.root / "backup"}[there]
    if there == "file":
        target.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput):
        backup(paths.root, target)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_leaves_nothing(paths, target, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(EnvironmentProblem, match="no space left"):
        backup(paths.root, target)
    assert os.listdir(target.parent) == []


def test_a_disk_without_room_is_told_before_anything_is_copied(paths, target, monkeypatch):
    usage = shutil.disk_usage(paths.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(EnvironmentProblem, match=r"no space left: wanted \d+ bytes|no space left"):
        backup(paths.root, target)
    assert os.listdir(target.parent) == []


def test_a_store_that_is_no_store_is_named(paths, target):
    with sqlite3.connect(paths.metadata) as store:
        store.execute("PRAGMA user_version")
    paths.metadata.write_bytes(b"no store")
    with pytest.raises(EnvironmentProblem, match="metadata"):
        backup(paths.root, target)


def test_a_folder_that_is_no_backup_is_not_restored(paths, tmp_path):
    with pytest.raises(BadInput, match="is no backup"):
        restore(paths.root, tmp_path / "new")


def test_a_backup_whose_ledger_was_exchanged_is_not_restored(paths, target, tmp_path):
    backup(paths.root, target)
    (target / "ledger.jsonl").write_bytes(b"")
    with pytest.raises(BadInput, match="another one than it was made with"):
        restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_copy_that_is_not_whole_ends_with_a_finding(paths, target):
    model = next(path for path in paths.artifacts.rglob("saved_model.pb"))
    model.write_bytes(model.read_bytes() + b"!")
    answer = in_process("root", "backup", str(target), "--root", str(paths.root))
    assert answer.code == 1
    assert "INTEGRITY FAIL" in answer.out


def test_the_commands_print_the_audit_and_end_as_it_does(paths, target, tmp_path):
    root = ("--root", str(paths.root))
    answer = in_process("root", "backup", str(target), *root, "--json")
    assert (answer.code, answer.envelope["status"]) == (0, "ok")
    shown = answer.envelope["data"]
    assert (shown["root"], shown["missing"], len(shown["audits"])) == (str(paths.root), [], 2)
    again = in_process("root", "restore", str(target), "--root", str(tmp_path / "new"), "--no-audit")
    assert (again.code, tree_digest(tmp_path / "new" / "serving")) == (0, tree_digest(target / "serving"))
    assert again.out.startswith("restored")
