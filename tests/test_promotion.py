"""Staged versions and their way into service: atomic, under their own number, and only with the bytes of then."""

import os
import shutil

import pytest
from command_line import in_process
from lineage.staged_root import stage, staged_copy

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, Refused
from components.serving import SIGNATURE, highest_claimed, versions
from pipeline.audit.audit import audit_all, audit_version
from pipeline.maintenance import promotion
from pipeline.maintenance.gc import collect
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.promotion import promote
from pipeline.maintenance.prune import prune, prune_staged
from pipeline.maintenance.repair import repair
from pipeline.maintenance.rollback import rollback
from pipeline.provenance import keys
from pipeline.provenance.approval_writer import Person, add_key
from pipeline.provenance.approvals import read_approvals
from pipeline.provenance.ledger import Chain, Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory

ADA = Person(by="Ada", reason="error below 3 %")


@pytest.fixture
def paths(tmp_path):
    return staged_copy(tmp_path / "root")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    pair = keys.generate(tmp_path_factory.mktemp("ada"), algorithm=keys.ED25519)
    return keys.load_private(pair.private, pytest.fail)


def numbers(folder):
    return [found.version for found in versions(folder)]


def events(paths):
    return [line.event for line in read_ledger(paths.ledger).lines]


def go(paths, version=3, person=None, key=None):
    said = []
    return promote(paths.root, version, person, key, said.append), said


def test_a_promotion_puts_the_staged_bytes_into_service_under_their_number(paths):
    before = tree_digest(paths.staged / "3")
    done, _ = go(paths)
    assert (done.version, done.path, done.before, done.digest) == (3, "serving/3", 2, before)
    assert (numbers(paths.serving), numbers(paths.staged)) == ([1, 2, 3], [])
    assert tree_digest(paths.serving / "3") == before
    assert read_ledger(paths.ledger).push(3).run_id == "run-1"


def test_nothing_is_orphaned_by_a_promotion_and_all_is_whole(paths):
    go(paths)
    assert orphans(paths.root, pytest.fail) == ()
    assert repair(paths.root, pytest.fail) == ()
    assert StagedDirectory.of(paths).stagings == {}


def test_an_approval_is_on_record_before_the_version_is_in_service(paths, key):
    add_key(Ledger.open(paths.ledger), key.public, "Ada", ADA)
    done, _ = go(paths, person=ADA, key=key)
    assert events(paths)[-3:] == [Event.APPROVED, Event.PROMOTING, Event.PROMOTED]
    assert done.approval.valid
    assert read_approvals(read_ledger(paths.ledger)).is_approved(done.digest)


def test_a_key_that_is_not_on_the_list_promotes_nothing(paths, key):
    before = paths.ledger.read_bytes()
    with pytest.raises(Refused, match="keys add"):
        go(paths, person=ADA, key=key)
    assert (paths.ledger.read_bytes(), numbers(paths.staged)) == (before, [3])


def changed_byte(folder):
    file = folder / "saved_model.pb"
    file.write_bytes(b"\x00" + file.read_bytes()[1:])


TAMPERED = {
    "a byte changed": changed_byte,
    "a file more": lambda folder: (folder / "extra").write_text("x"),
    "a file less": lambda folder: (folder / "saved_model.pb").unlink(),
    "a link": lambda folder: (folder / "link").symlink_to("/etc/passwd"),
    "no provenance": lambda folder: (folder / "assets.extra/provenance.json").unlink(),
    "another version": lambda folder: (shutil.rmtree(folder), shutil.copytree(folder.parents[1] / "serving/2", folder)),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_a_version_that_was_changed_since_it_was_staged_is_not_promoted(paths, change):
    TAMPERED[change](paths.staged / "3")
    before = paths.ledger.read_bytes()
    with pytest.raises((Refused, EnvironmentProblem)):
        go(paths)
    assert (numbers(paths.serving), paths.ledger.read_bytes()) == ([1, 2], before)
    assert numbers(paths.staged) == [3]


def test_a_number_below_what_is_in_service_is_refused_and_the_way_out_named(paths):
    stage(paths, 4, paths.serving / "1")
    go(paths, 4)
    with pytest.raises(Refused, match="run --stage --force Pusher"):
        go(paths, 3)
    assert (numbers(paths.serving), numbers(paths.staged)) == ([1, 2, 4], [3])


@pytest.mark.parametrize(("version", "what"), [(2, "is in service already"), (9, "no such staged version")])
def test_what_does_not_wait_is_bad_input(paths, version, what):
    with pytest.raises(BadInput, match=what):
        go(paths, version)


def test_a_promotion_warns_where_something_else_was_served_when_the_version_was_evaluated(paths):
    _, said = go(paths)
    assert said == ["warning: version 3 was compared with none, and version 2 is in service now"]


def test_something_in_the_way_is_named_and_nothing_moves(paths):
    (paths.serving / "3").mkdir()
    (paths.serving / "3" / "saved_model.pb").write_bytes(b"somebody else's")
    with pytest.raises(EnvironmentProblem, match="move it out of there"):
        go(paths)
    assert numbers(paths.staged) == [3]


def test_numbers_are_shared_so_that_none_comes_twice(paths):
    done = rollback(paths.root, 1, pytest.fail)
    assert done.version == 4
    assert read_ledger(paths.ledger).highest_version() == 4
    with pytest.raises(BadInput, match="is staged, and was never in service"):
        rollback(paths.root, 3, pytest.fail)


# Each file operation of a promotion, as the process is killed before or after it.
STEPS = ("require_as_pushed", "promoting", "claim", "rename", "sync_folder", "promoted")


class Killed(BaseException):
    pass


def kill(monkeypatch, step, *, after):
    """Ends the promotion at a step, as a kill does: nothing that follows is done, not even what would tidy up."""
    place, name = {
        "require_as_pushed": (promotion.signing, "require_as_pushed"),
        "promoting": (Ledger, "promoting"),
        "claim": (promotion, "claim"),
        "rename": (promotion.os, "rename"),
        "sync_folder": (promotion, "sync_folder"),
        "promoted": (Ledger, "promoted"),
    }[step]
    real, dead = getattr(place, name), []

    def killed(*arguments, **options):
        if dead:
            raise Killed
        if after:
            real(*arguments, **options)
        dead.append(True)
        raise Killed

    monkeypatch.setattr(place, name, killed)
    if step != "rename":
        rename = os.rename
        monkeypatch.setattr(promotion.os, "rename", lambda *a: rename(*a) if not dead else None)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_wherever_a_promotion_is_killed_the_version_is_staged_or_in_service_and_recorded(
    paths, monkeypatch, step, after
):
    digest = tree_digest(paths.staged / "3")
    with monkeypatch.context() as broken:
        kill(broken, step, after=after)
        with pytest.raises(Killed):
            go(paths)
    assert all(one.settled for one in repair(paths.root, pytest.fail))
    assert orphans(paths.root, pytest.fail) == ()
    in_service = 3 in numbers(paths.serving)
    assert in_service != (3 in numbers(paths.staged))
    assert in_service == (read_ledger(paths.ledger).push(3) is not None)
    if not in_service:
        go(paths)
    assert tree_digest(paths.serving / "3") == digest
    assert events(paths).count(Event.PROMOTED) == 1
    assert [event for event in events(paths) if event == Event.PUSHED] == [Event.PUSHED] * 2


@pytest.mark.parametrize("step", ["rename", "sync_folder", "promoted"])
def test_a_failure_of_the_disk_leaves_the_version_staged_and_what_is_served_as_it_was(paths, monkeypatch, step):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    rename, calls = os.rename, []
    with monkeypatch.context() as broken:
        if step == "rename":
            broken.setattr(promotion.os, "rename", full)
        else:
            broken.setattr(Ledger if step == "promoted" else promotion, step, full)
            broken.setattr(promotion.os, "rename", lambda *a: (calls.append(a), rename(*a))[1])
        with pytest.raises(EnvironmentProblem):
            go(paths)
    assert (numbers(paths.serving), numbers(paths.staged)) == ([1, 2], [3])
    assert orphans(paths.root, pytest.fail) == ()
    go(paths)
    assert numbers(paths.serving) == [1, 2, 3]


def test_the_next_change_of_the_root_records_what_a_killed_promotion_left(paths, monkeypatch):
    with monkeypatch.context() as broken:
        kill(broken, "promoted", after=False)
        with pytest.raises(Killed):
            go(paths)
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {"half-promoted"}
    said = []
    rollback(paths.root, 2, said.append)
    assert "recovered from a crash: promoted: serving/3" in said[0]
    assert numbers(paths.serving) == [1, 2, 3, 4]


def test_the_same_command_ends_a_promotion_that_was_killed_in_service(paths, monkeypatch):
    with monkeypatch.context() as broken:
        kill(broken, "promoted", after=False)
        with pytest.raises(Killed):
            go(paths)
    assert numbers(paths.serving) == [1, 2, 3]
    said = []
    done = promote(paths.root, 3, None, None, said.append)
    assert "recovered from a crash: promoted: serving/3" in said[0]
    assert (done.version, done.before, done.digest) == (3, 2, tree_digest(paths.serving / "3"))
    with pytest.raises(BadInput, match="version 3 is in service already"):
        promote(paths.root, 3, None, None, pytest.fail)


def test_a_version_that_somebody_moved_by_hand_is_no_promotion(paths):
    (paths.staged / "3").rename(paths.serving / "3")
    assert StagedDirectory.of(paths).half_promoted == ()
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {"served-unrecorded", "staged-missing"}


def test_the_audit_audits_what_is_staged_as_well(paths):
    audits = {audit.path: audit for audit in audit_all(paths.root)}
    assert list(audits) == ["serving/1", "serving/2", "staged/3"]
    changed_byte(paths.staged / "3")
    [audit] = [audit for audit in audit_all(paths.root) if audit.path == "staged/3"]
    assert audit.verdicts["INTEGRITY"] == "FAIL"


def test_what_is_staged_keeps_its_artifacts_from_gc(paths):
    prune(paths.root, 1)
    gone = {one.record for one in collect(paths.root, pytest.fail, keep_runs=1, dry_run=True)}
    record = read_ledger(paths.ledger).stagings(3)[0].record
    assert record not in gone


def test_prune_removes_staged_versions_and_their_numbers_do_not_come_again(paths):
    stage(paths, 4, paths.serving / "1")
    done = prune_staged(paths.root, 1)
    assert ([one.version for one in done.pruned], done.kept) == ([3], (4,))
    assert prune_staged(paths.root, 0).kept == ()
    assert (numbers(paths.serving), numbers(paths.staged)) == ([1, 2], [])
    assert highest_claimed(paths.staged) == 4
    assert orphans(paths.root, pytest.fail) == ()


def test_prune_removes_what_a_killed_push_left_and_gc_a_half_written_one(paths):
    shutil.copytree(paths.staged / "3", paths.staged / "7")
    (paths.staged / ".stage-1").mkdir()
    assert {one.kind for one in orphans(paths.root, pytest.fail)} == {"staged-unrecorded", "stage"}
    prune_staged(paths.root, 5)
    collect(paths.root, pytest.fail, keep_runs=99)
    assert sorted(os.listdir(paths.staged)) == [".lock", ".versions", "3"]
    assert orphans(paths.root, pytest.fail) == ()


def test_a_staged_folder_that_is_a_link_is_not_followed(paths, tmp_path):
    paths.staged.rename(tmp_path / "elsewhere")
    paths.staged.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentProblem, match="a link, which is not followed"):
        go(paths)


def test_a_signature_comes_along(paths):
    (paths.staged / "3" / SIGNATURE).write_text("{}")
    go(paths)
    assert (paths.serving / "3" / SIGNATURE).read_text() == "{}"


def test_where_nothing_is_served_yet_what_is_staged_is_the_way_on(paths):
    lines = read_ledger(paths.ledger).lines
    chain = Chain(tuple(line for line in lines if line.event != Event.PUSHED))
    assert "serving promote" in str(ServingDirectory(paths, chain).nothing_served())


def test_a_staged_version_can_be_signed_and_verified(paths, tmp_path):
    pair = keys.generate(tmp_path / "ada")
    assert in_process("lineage", "sign", 3, "--key", pair.private, "--root", paths.root).code == 0
    assert in_process("lineage", "verify", paths.staged / "3", "--key", pair.public).code == 0
    go(paths)
    assert in_process("lineage", "verify", paths.serving / "3", "--key", pair.public).code == 0


def test_the_commands_promote_and_approve_and_the_list_says_who(paths, tmp_path):
    def run(*arguments):
        return in_process(*arguments, "--root", paths.root)

    pair = keys.generate(tmp_path / "ada")
    assert "in force since" in run("keys", "add", pair.public, "--owner", "Ada", "--by", "Ops").out
    listed = run("serving", "list", "--json").json
    assert [one["version"] for one in listed["staged"]] == [3]
    assert run("serving", "promote", 3, "--key", pair.private).code == 2
    told = run("serving", "promote", 3, "--by", "Ada", "--reason", "fine", "--key", pair.private).out
    assert "approved by Ada" in told
    assert told.endswith("version 3 is in service, in place of version 2\n")
    # Version 1 has the same bytes, and an approval is of bytes.
    assert [one["approvals"][0]["by"] for one in run("serving", "list", "--json").json["versions"][::2]] == ["Ada"] * 2
    assert run("serving", "approve", 2, "--by", "Bob", "--json").json["verdict"] == "unsigned"
    assert "Bob (unsigned)" in run("serving", "list").out
    assert "approval   of version 3 by Ada" in run("lineage", "show", 3).out
    assert run("keys", "revoke", pair.public, "--by", "Ops", "--reason", "left").code == 0
    assert run("keys", "list", "--json").json["keys"][0]["state"] == "revoked"


def test_an_audit_wants_an_approval_where_it_is_asked_to(paths, tmp_path):
    def run(*arguments):
        return in_process(*arguments, "--root", paths.root)

    pairs = [keys.generate(tmp_path / name) for name in ("ada", "bob")]
    for pair in pairs:
        run("keys", "add", pair.public, "--by", "Ops")
    assert run("lineage", "audit", 2, "--policy", policy(tmp_path)).code == 1
    assert "POLICY FAIL approved: serving/2: not approved" in run("lineage", "audit", 2, "--require-approval").out
    run("serving", "approve", 2, "--by", "Bob")
    assert "line" in run("lineage", "audit", 2, "--require-approval").out
    run("serving", "approve", 2, "--by", "Ada", "--key", pairs[0].private)
    assert run("lineage", "audit", 2, "--require-approval").code == 0
    assert run("lineage", "audit", 2, "--require-approval", "--approval-key", pairs[0].public).code == 0
    assert run("lineage", "audit", 2, "--require-approval", "--approval-key", pairs[1].public).code == 1
    run("keys", "revoke", pairs[0].public, "--by", "Ops", "--since", "2000-01-01")
    assert run("lineage", "audit", 2, "--require-approval").code == 1


def test_an_audit_says_where_a_promoted_version_was_pushed_to_and_which_line_moved_it(paths):
    go(paths)
    line = read_ledger(paths.ledger).push(3).line.sequence
    scope = audit_version(paths.root, 3).scopes["COMPLETENESS"].compared
    assert scope.endswith(f"staged as staged/3 and promoted by ledger line {line}")
    assert "promoted" not in audit_version(paths.root, 2).scopes["COMPLETENESS"].compared


def test_whether_bytes_elsewhere_were_approved_cannot_be_told_and_that_is_said(paths, tmp_path):
    shutil.copytree(paths.serving / "1", tmp_path / "elsewhere")
    answer = in_process("lineage", "audit", tmp_path / "elsewhere", "--require-approval")
    assert (answer.code, answer.out.count("cannot tell whether it was approved")) == (5, 1)
    assert "cannot tell whether it was approved" not in in_process("lineage", "audit", tmp_path / "elsewhere").out


def test_a_withdrawal_is_seen_by_rule_list_and_lineage_and_needs_no_bytes(paths, tmp_path):
    def run(*arguments):
        return in_process(*arguments, "--root", paths.root)

    pair = keys.generate(tmp_path / "ada")
    run("keys", "add", pair.public, "--by", "Ops")
    run("serving", "approve", 2, "--by", "Ada", "--key", pair.private)
    assert run("lineage", "audit", 2, "--require-approval").code == 0
    assert run("serving", "withdraw", 9, "--by", "Ada").code == 2
    withdraw = ("serving", "withdraw", 2, "--by", "Ada", "--reason", "wrong labels")
    [withdrawn] = run(*withdraw, "--key", pair.private, "--json").json["approvals"]
    assert (withdrawn["verdict"], withdrawn["withdrawn"]["reason"]) == ("withdrawn", "wrong labels")
    assert run(*withdraw).code == 2
    assert "not approved" in run("lineage", "audit", 2, "--require-approval").out
    assert "Ada (withdrawn)" in run("serving", "list").out
    assert "which was in force; withdrawn by Ada, " in run("lineage", "show", 2).out
    run("serving", "approve", 3, "--by", "Bob")
    shutil.rmtree(paths.staged / "3")
    assert "by Bob" in run("serving", "withdraw", 3, "--by", "Ops").out


def test_a_key_that_has_ended_signs_approves_and_promotes_nothing(paths, tmp_path):
    def run(*arguments):
        return in_process(*arguments, "--root", paths.root)

    pair = keys.generate(tmp_path / "ada")
    run("keys", "add", pair.public, "--by", "Ops")
    run("keys", "revoke", pair.public, "--by", "Ops")
    before = paths.ledger.read_bytes()
    key = ("--key", pair.private)
    for refused in (
        run("serving", "approve", 2, "--by", "Ada", *key),
        run("serving", "promote", 3, "--by", "Ada", *key),
        run("lineage", "sign", 2, *key),
        in_process("lineage", "sign", paths.serving / "2", *key),
        in_process(
            "lineage", "sign", shutil.copytree(paths.serving / "2", tmp_path / "copy"), "--root", paths.root, *key
        ),
        run("run", "--sign-key", pair.private),
    ):
        assert (refused.code, refused.err.count("\n")) == (3, 0), refused.err
        assert "not in force: got revoked since" in refused.err
        assert "keys list" in refused.err
    assert (paths.ledger.read_bytes(), numbers(paths.staged)) == (before, [3])
    assert not (paths.serving / "2" / SIGNATURE).exists()
    assert not (tmp_path / "copy" / SIGNATURE).exists()


def policy(folder):
    (folder / "policy.yaml").write_text("version: 1\nrules:\n  approved: fail\n")
    return folder / "policy.yaml"


def test_an_approval_in_a_chain_that_was_written_anew_is_an_integrity_finding(paths, key):
    ledger = Ledger.open(paths.ledger)
    add_key(ledger, key.public, "Ada", ADA)
    go(paths, person=ADA, key=key)
    [line] = [one for one in read_ledger(paths.ledger).lines if one.event == Event.APPROVED]
    Ledger.open(paths.ledger).said(Event.APPROVED, run_id="x", **{**line.details, "by": "Mallory"})
    findings = [str(one) for one in audit_all(paths.root)[0].findings]
    assert any("its envelope is over something else than its line says" in one for one in findings)
