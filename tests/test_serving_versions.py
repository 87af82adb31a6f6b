"""Going back to a version, and removing old ones: numbers only grow, and what is served stays whole."""

import json
import shutil

import pytest
from click.testing import CliRunner
from lineage.audited_copy import audited_copy

from components.digest import tree_digest
from components.errors import BadInput, Refused
from components.publish import publish
from components.serving import PROVENANCE, SIGNATURE, highest_claimed, versions
from pipeline import serving_versions
from pipeline.commands.serving import serving as commands
from pipeline.lineage import chain, served
from pipeline.lineage.audit.run import audit_version
from pipeline.lineage.orphans import Survey, orphans
from pipeline.lineage.repair import repair
from pipeline.lineage.store import StoreLost
from pipeline.runs import runs
from pipeline.serving_versions import prune, rollback


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
    new, old = served.show(paths.root, 3), served.show(paths.root, 1)
    made_by = {node.name: node.id for node in new.graph.nodes.values()}
    assert made_by["Classifier"] == {node.name: node.id for node in old.graph.nodes.values()}["Classifier"]
    assert made_by["Pusher"] not in old.graph.nodes
    assert new.run_id.startswith("rollback-")


def test_a_rollback_is_on_record_as_a_run_that_reused_everything_but_the_push(paths):
    done = rollback(paths.root, 1, pytest.fail)
    last = runs(paths.root)[-1]
    assert (last.run_id, last.version) == (done.run_id, 3)
    assert {node.id for node in last.nodes if node.state == "executed"} == {"Pusher"}
    [line] = [x for x in chain.read(paths.ledger).lines if x.event == chain.PUSHED and x.details["version"] == 3]
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


def test_without_a_store_nothing_is_pushed(paths):
    paths.metadata.unlink()
    with pytest.raises(StoreLost):
        rollback(paths.root, 1, pytest.fail)
    assert numbers(paths) == [1, 2]
    assert chain.read(paths.ledger).unsettled() == ()


def test_a_push_that_fails_leaves_nothing_open(paths, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serving_versions, "publish", full)
    with pytest.raises(OSError, match="No space"):
        rollback(paths.root, 1, pytest.fail)
    assert orphans(paths.root, pytest.fail) == ()


def test_a_rollback_killed_after_the_rename_is_attached_by_repair(paths, monkeypatch):
    def killed(*arguments, **options):
        publish(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(serving_versions, "publish", killed)
    monkeypatch.setattr("pipeline.lineage.attach.Push.give_up", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        rollback(paths.root, 1, pytest.fail)
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {
        "served-unrecorded", "open-intent", "dead-execution",
    }  # fmt: skip
    assert all(one.settled for one in repair(paths.root, pytest.fail))
    assert orphans(paths.root, pytest.fail) == ()


def test_pruning_removes_the_oldest_and_keeps_the_highest(paths):
    rollback(paths.root, 1, pytest.fail)
    before = tree_digest(paths.serving / "3")
    assert [one.version for one in prune(paths.root, 1)] == [1, 2]
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
    [line] = [x for x in chain.read(paths.ledger).lines if x.event == chain.PRUNED]
    assert (line.details["version"], line.details["sha256"]) == (1, digest)


@pytest.mark.parametrize("keep", [2, 50])
def test_there_may_be_nothing_to_prune(paths, keep):
    before = paths.ledger.read_bytes()
    assert prune(paths.root, keep) == ()
    assert paths.ledger.read_bytes() == before


def test_the_highest_cannot_be_pruned(paths):
    with pytest.raises(BadInput, match="the highest version always stays"):
        prune(paths.root, 0)


def test_a_dry_run_removes_nothing(paths):
    before = tree_digest(paths.root)
    assert [one.version for one in prune(paths.root, 1, dry_run=True)] == [1]
    assert tree_digest(paths.root) == before


def test_the_commands_say_what_they_did(paths):
    def run(*arguments):
        command = [*arguments, "--root", str(paths.root)]
        return CliRunner().invoke(commands, command, standalone_mode=False).output

    assert run("rollback", "1") == "version 3 serves what version 1 served, not 2 any more\n"
    assert "serving/1" in run("prune", "--keep", "2")
    assert json.loads(run("prune", "--keep", "1", "--json"))["pruned"][0]["version"] == 2
    assert run("prune", "--keep", "1") == "nothing to remove\n"
