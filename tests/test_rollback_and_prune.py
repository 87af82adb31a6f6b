"""Going back to a version, and removing old ones: numbers only grow, and what is served stays whole."""

import contextlib
import os
import shutil
import subprocess

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, Refused
from components.publish import publish
from components.serving import PROVENANCE, SIGNATURE, highest_claimed, versions
from pipeline.audit.audit import audit_all, audit_version
from pipeline.lineage import show
from pipeline.maintenance import rollback as rolling_back
from pipeline.maintenance.orphans import Survey, orphans
from pipeline.maintenance.prune import prune
from pipeline.maintenance.repair import repair
from pipeline.maintenance.rollback import rollback
from pipeline.metadata import writer
from pipeline.metadata.store import StoreLost
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.record_store import RecordMissing
from pipeline.provenance.runs import runs


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def numbers(paths):
    return [found.version for found in versions(paths.serving)]


def test_a_rollback_serves_the_old_bytes_under_the_next_number(paths):
    done = rollback(paths.root, 1, pytest.fail)
    assert (done.version, done.restored, done.rolled_back_from) == (3, 1, 2)
    assert numbers(paths) == [1, 2, 3]
    assert tree_digest(paths.serving / "3") == tree_digest(paths.serving / "1")
    assert (paths.serving / "3" / PROVENANCE).read_bytes() == (paths.serving / "1" / PROVENANCE).read_bytes()


def test_a_signature_goes_along_with_the_manifest_that_it_signs(paths):
    (paths.serving / "1" / SIGNATURE).write_text("{}")
    rollback(paths.root, 1, pytest.fail)
    assert (paths.serving / "3" / SIGNATURE).read_text() == "{}"


def test_a_rollback_leads_to_the_original_training(paths):
    rollback(paths.root, 1, pytest.fail)
    new, old = show.show(paths.root, 3), show.show(paths.root, 1)
    made_by = {node.name: node.id for node in new.graph.nodes.values()}
    assert made_by["Classifier"] == {node.name: node.id for node in old.graph.nodes.values()}["Classifier"]
    assert made_by["Pusher"] not in old.graph.nodes
    assert new.run_id.startswith("rollback-")


def test_a_rollback_is_on_record_as_a_run_that_reused_everything_but_the_push(paths):
    done = rollback(paths.root, 1, pytest.fail)
    last = runs(paths.root)[-1]
    assert (last.run_id, last.version) == (done.run_id, 3)
    assert {node.id for node in last.nodes if node.state == "executed"} == {"Pusher"}
    [line] = [x for x in read_ledger(paths.ledger).lines if x.event == Event.PUSHED and x.details["version"] == 3]
    assert (line.details["restored"], line.details["rolled_back_from"]) == (1, 2)
    assert Survey.of(paths).committed[done.record].extra["rolled_back"]["run_id"] == "run-1"


def test_nothing_is_orphaned_by_a_rollback(paths):
    rollback(paths.root, 1, pytest.fail)
    assert orphans(paths.root, pytest.fail) == ()
    assert repair(paths.root, pytest.fail) == ()


def test_integrity_and_completeness_hold_after_a_rollback(paths):
    rollback(paths.root, 1, pytest.fail)
    found = audit_version(paths.root, 3)
    told = [f"{one.where}: {one.what}" for one in found.findings if one.verdict in ("INTEGRITY", "COMPLETENESS")]
    assert told == []


def test_a_rollback_can_be_rolled_back(paths):
    rollback(paths.root, 1, pytest.fail)
    done = rollback(paths.root, 2, pytest.fail)
    assert (done.version, done.rolled_back_from) == (4, 3)
    assert tree_digest(paths.serving / "4") == tree_digest(paths.serving / "2")


@pytest.mark.parametrize(
    ("version", "what"), [(2, "is what is served now"), (7, "no such version: wanted one of 1, 2, got 7")]
)
def test_a_version_to_which_one_cannot_go_back_is_bad_input(paths, version, what):
    with pytest.raises(BadInput, match=what):
        rollback(paths.root, version, pytest.fail)
    assert numbers(paths) == [1, 2]


def test_a_version_with_the_bytes_of_the_served_one_is_bad_input(paths):
    rollback(paths.root, 1, pytest.fail)
    with pytest.raises(BadInput, match="version 3 serves the same bytes as version 1"):
        rollback(paths.root, 1, pytest.fail)


def test_a_version_that_was_changed_is_refused(paths):
    (paths.serving / "1" / "saved_model.pb").write_bytes(b"forged")
    with pytest.raises(Refused, match="not the bytes that were pushed"):
        rollback(paths.root, 1, pytest.fail)
    assert numbers(paths) == [1, 2]


def test_a_version_without_a_record_is_refused(paths):
    shutil.copytree(paths.serving / "1", paths.serving / "0")
    with pytest.raises(Refused, match="lineage repair"):
        rollback(paths.root, 0, pytest.fail)


def test_a_rollback_that_lacks_a_record_serves_nothing(paths):
    baseline = next(h for h, record in Survey.of(paths).committed.items() if record.node == "Baseline")
    (paths.records / f"{baseline}.json").unlink()
    with pytest.raises(RecordMissing):
        rollback(paths.root, 1, pytest.fail)
    assert numbers(paths) == [1, 2]
    assert read_ledger(paths.ledger).unsettled() == ()


def test_a_rollback_does_without_the_record_of_the_run(paths):
    (paths.records / f"{read_ledger(paths.ledger).run_record('run-1')}.json").unlink()
    done = rollback(paths.root, 1, pytest.fail)
    assert read_ledger(paths.ledger).push(3).record == done.record


def test_without_a_store_nothing_is_pushed(paths):
    paths.metadata.unlink()
    with pytest.raises(StoreLost):
        rollback(paths.root, 1, pytest.fail)
    assert numbers(paths) == [1, 2]
    assert read_ledger(paths.ledger).unsettled() == ()


def test_a_push_that_fails_leaves_nothing_open(paths, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rolling_back, "publish", full)
    with pytest.raises(EnvironmentProblem, match="No space"):
        rollback(paths.root, 1, pytest.fail)
    assert orphans(paths.root, pytest.fail) == ()


def test_a_rollback_killed_after_the_rename_is_attached_by_repair(paths, monkeypatch):
    def killed(*arguments, **options):
        publish(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(rolling_back, "publish", killed)
    monkeypatch.setattr("pipeline.maintenance.push_record.PushRecorder.give_up", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        rollback(paths.root, 1, pytest.fail)
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {
        "served-unrecorded", "open-intent", "dead-execution",
    }  # fmt: skip
    assert all(one.settled for one in repair(paths.root, pytest.fail))
    assert orphans(paths.root, pytest.fail) == ()


@contextlib.contextmanager
def killed_after(reused, monkeypatch):
    """A kill within, after so many executions were put as reused."""
    put, left = writer.put_cached, [None] * reused

    def killed(*arguments):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        put(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(writer, "put_cached", killed)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("reused", [0, 2, 5])
def test_a_rollback_killed_before_it_put_all_that_it_reuses_passes_the_audit_after_repair(paths, monkeypatch, reused):
    with killed_after(reused, monkeypatch):
        rollback(paths.root, 1, pytest.fail)
    assert all(one.settled for one in repair(paths.root, pytest.fail))
    assert untrue(paths, 1, 2, 3) == []


def test_a_rollback_killed_between_its_record_and_the_store_passes_the_audit_after_repair(paths, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("pipeline.maintenance.push_record.PushRecorder._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            rollback(paths.root, 1, pytest.fail)
    assert all(one.settled for one in repair(paths.root, pytest.fail))
    assert untrue(paths, 1, 2, 3) == []


def untrue(paths, *served):
    findings = [one for version in served for one in audit_version(paths.root, version).findings]
    return [f"{one.where}: {one.what}" for one in findings if one.verdict in ("INTEGRITY", "COMPLETENESS")]


def test_the_run_of_a_rollback_that_was_killed_before_it_could_record_it_is_recorded_by_what_comes_next(
    paths, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(rolling_back, "_run_again", killed)
        with pytest.raises(KeyboardInterrupt):
            rollback(paths.root, 1, pytest.fail)
    assert untrue(paths, 3)
    said = []
    rollback(paths.root, 2, said.append)
    assert [line.partition(" rollback-")[0] for line in said] == ["recovered from a crash: run-recorded: run"]
    assert untrue(paths, 1, 2, 3, 4) == []


KILLED_AT = {
    "before its record": "pipeline.maintenance.push_record.PushRecorder.reuse",
    "before the store has it": "pipeline.maintenance.push_record.PushRecorder._publish",
    "before its run is recorded": "pipeline.maintenance.rollback._run_again",
}


@pytest.mark.parametrize("where", KILLED_AT)
def test_a_rollback_that_was_killed_after_its_push_is_ended_by_the_same_command(paths, monkeypatch, where):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(KILLED_AT[where], killed)
        broken.setattr("pipeline.maintenance.push_record.PushRecorder.give_up", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            rollback(paths.root, 1, pytest.fail)
    done = rollback(paths.root, 1, lambda _: None)
    assert (done.version, done.restored, done.rolled_back_from) == (3, 1, 2)
    assert untrue(paths, 1, 2, 3) == []
    with pytest.raises(BadInput, match="version 3 serves the same bytes as version 1"):
        rollback(paths.root, 1, pytest.fail)


@pytest.mark.parametrize("reused", [0, 2])
def test_a_repair_killed_after_the_push_that_it_attached_is_done_by_the_next(paths, monkeypatch, reused):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    with killed_after(reused, monkeypatch):
        repair(paths.root, pytest.fail)
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {"run-unrecorded"}
    assert [one.kind for one in repair(paths.root, pytest.fail)] == ["run-recorded"]
    assert untrue(paths, 1, 2, 3) == []


@pytest.mark.parametrize("left", ["empty", "gone", "file"])
def test_versions_that_were_pushed_and_are_not_there_are_a_finding_and_not_said_to_be_yet_to_come(paths, left):
    shutil.rmtree(paths.serving)
    if left == "empty":
        paths.serving.mkdir()
    elif left == "file":
        paths.serving.write_text("in the way")
    for audit in (*audit_all(paths.root), audit_version(paths.root)):
        assert not audit.passed(allow_unknown=True)
        assert "versions 1 and 2 were pushed and not pruned, and no version is there" in "; ".join(
            one.what for one in audit.findings
        )
    with pytest.raises(EnvironmentProblem, match="versions 1 and 2 were pushed, and no version is there"):
        show.show(paths.root)


def test_pruning_removes_the_oldest_and_keeps_the_highest(paths):
    rollback(paths.root, 1, pytest.fail)
    before = tree_digest(paths.serving / "3")
    assert [one.version for one in prune(paths.root, 1).pruned] == [1, 2]
    assert numbers(paths) == [3]
    assert tree_digest(paths.serving / "3") == before
    assert not list(paths.serving.glob(".stage-*"))


def test_a_pruned_number_is_not_used_again(paths):
    prune(paths.root, 1)
    (paths.serving / ".versions").unlink()
    shutil.rmtree(paths.serving / "2")
    prune(paths.root, 1)
    assert highest_claimed(paths.serving) in (0, 2)
    with pytest.raises(BadInput):
        rollback(paths.root, 1, pytest.fail)


def test_what_is_pruned_is_in_the_ledger_with_its_digest(paths):
    digest = tree_digest(paths.serving / "1")
    prune(paths.root, 1)
    [line] = [x for x in read_ledger(paths.ledger).lines if x.event == Event.PRUNED]
    assert (line.details["version"], line.details["sha256"]) == (1, digest)


@pytest.mark.parametrize("keep", [2, 50])
def test_there_may_be_nothing_to_prune(paths, keep):
    before = paths.ledger.read_bytes()
    assert prune(paths.root, keep).pruned == ()
    assert paths.ledger.read_bytes() == before


def test_the_highest_cannot_be_pruned(paths):
    with pytest.raises(BadInput, match="the highest version always stays"):
        prune(paths.root, 0)


def test_a_dry_run_removes_nothing(paths):
    before = tree_digest(paths.root)
    assert [one.version for one in prune(paths.root, 1, dry_run=True).pruned] == [1]
    assert tree_digest(paths.root) == before


def test_the_commands_say_what_they_did(paths):
    def run(*arguments):
        return in_process("serving", *arguments, "--root", paths.root)

    assert run("rollback", "1").out == "version 3 serves what version 1 served, not 2 any more\n"
    assert "serving/1" in run("prune", "--keep", "2").out
    assert run("prune", "--keep", "1", "--json").json["pruned"][0]["version"] == 2
    assert run("prune", "--keep", "1").out == "nothing to remove\n"


FOREIGN = {
    "an empty folder": lambda serving: (serving / "99").mkdir(),
    "a model of somebody else's": lambda serving: other_model(serving / "99"),
    "a file": lambda serving: (serving / "99").write_text("x"),
    "a folder with an odd name": lambda serving: shutil.copytree(serving / "1", serving / "+99"),
    "a link to a version": lambda serving: (serving / "99").symlink_to("1"),
    "a link to everything": lambda serving: (serving / "9").symlink_to("/"),
    "a link to nothing": lambda serving: (serving / "99").symlink_to("gone"),
}


def other_model(folder):
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"somebody else's")


@pytest.mark.parametrize("kind", FOREIGN)
def test_prune_counts_and_removes_recorded_versions_only(paths, kind):
    FOREIGN[kind](paths.serving)
    before = set(paths.serving.iterdir())
    done = prune(paths.root, 1)
    assert [one.version for one in done.pruned] == [1]
    assert done.kept == (2,)
    assert set(paths.serving.iterdir()) - {paths.serving / ".lock"} == before - {paths.serving / "1"}
    [line] = done.left
    assert "move it out of there: mv" in line


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_serves_a_foreign_entry_is_refused_and_pushes_nothing(paths, kind):
    FOREIGN[kind](paths.serving)
    before = sorted(os.listdir(paths.serving))
    with pytest.raises(EnvironmentProblem, match="move it out of there") as caught:
        rollback(paths.root, 1, pytest.fail)
    assert str(paths.serving) in str(caught.value)
    assert sorted(os.listdir(paths.serving)) == before
    assert read_ledger(paths.ledger).unsettled() == ()


def test_the_hint_of_the_refusal_clears_the_way(paths):
    (paths.serving / "9 ").symlink_to("/")
    with pytest.raises(EnvironmentProblem) as caught:
        rollback(paths.root, 1, pytest.fail)
    command = caught.value.hint.removeprefix("move it out of there: ")
    subprocess.run(command, shell=True, check=True)
    assert rollback(paths.root, 1, pytest.fail).version == 3


def test_prune_leaves_a_version_whose_bytes_are_not_those_that_were_pushed_and_does_not_count_it(paths):
    shutil.rmtree(paths.serving / "2")
    (paths.serving / "2").mkdir()
    done = prune(paths.root, 1)
    assert (done.pruned, done.kept) == ((), (1,))
    assert "serving/2: not the bytes that were pushed" in done.left[0]
    assert numbers(paths) == [1, 2]


def test_prune_leaves_a_link_in_the_place_of_a_version_and_does_not_count_it(paths, tmp_path):
    (paths.serving / "2").rename(tmp_path / "moved")
    (paths.serving / "2").symlink_to(tmp_path / "moved")
    done = prune(paths.root, 1)
    assert (done.pruned, done.kept) == ((), (1,))
    assert f"serving/2: a link to {tmp_path / 'moved'}" in done.left[0]
    assert (tmp_path / "moved" / "saved_model.pb").is_file()


def test_prune_leaves_a_version_whose_push_is_not_recorded(paths):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    done = prune(paths.root, 1)
    assert ([one.version for one in done.pruned], done.kept) == ([1], (2,))
    assert "lineage repair" in done.left[0]
    assert numbers(paths) == [2, 3]


def test_a_prune_that_was_killed_before_it_removed_anything_is_finished_by_the_next(paths, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("pipeline.maintenance.prune.os.rename", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(paths.root, 1)
    assert numbers(paths) == [1, 2]
    assert [one.version for one in prune(paths.root, 1).pruned] == [1]
    assert numbers(paths) == [2]
    assert [x.event for x in read_ledger(paths.ledger).lines].count(Event.PRUNED) == 1


def test_the_number_of_a_foreign_folder_that_went_again_does_not_bring_back_an_old_one(paths):
    (paths.serving / ".versions").unlink(missing_ok=True)
    (paths.serving / "99").mkdir()
    prune(paths.root, 1)
    (paths.serving / "99").rmdir()
    shutil.rmtree(paths.serving / "2")
    assert highest_claimed(paths.serving) == 2


@pytest.mark.parametrize("kind", FOREIGN)
def test_the_list_names_what_is_foreign_and_follows_nothing(paths, kind):
    FOREIGN[kind](paths.serving)
    listed = in_process("serving", "list", "--root", paths.root, "--json").json
    assert [one["version"] for one in listed["versions"]] == [1, 2]
    [foreign] = listed["foreign"]
    assert foreign["preferred"]
    assert foreign["remedy"].startswith("mv -- ")


def test_pushed_is_when_the_ledger_says_so_and_not_the_folders_time(paths):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    for version in (1, 2, 3):
        os.utime(paths.serving / str(version), (0, 0))
    wanted = {x.details["version"]: x.time for x in read_ledger(paths.ledger).lines if x.event == Event.PUSHED}
    listed = in_process("serving", "list", "--root", paths.root, "--json").json["versions"]
    assert {one["version"]: one["pushed"] for one in listed} == {**wanted, 3: None}
    shown = in_process("serving", "list", "--root", paths.root).out
    assert "1970" not in shown
    assert "not recorded" in shown
