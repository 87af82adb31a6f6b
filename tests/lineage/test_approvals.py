"""Approvals and keys in the ledger: what counts, as of when, and what tampering shows."""

import dataclasses
import json
from itertools import count

import pytest

from components.errors import BadInput, Refused
from pipeline.provenance import approval_writer, keys
from pipeline.provenance.approval_writer import Person, add_key, approve, revoke_key, rotate_key, withdraw
from pipeline.provenance.approvals import (
    FORGED,
    IN_FORCE,
    REVOKED,
    ROTATED,
    UNSIGNED,
    UNTRUSTED,
    VALID,
    VERSION,
    WITHDRAWN,
    read_approvals,
)
from pipeline.provenance.ledger import Chain, Event, LedgerBroken, Line, read_ledger
from pipeline.provenance.ledger_writer import Ledger

MODEL, OTHER = "ab" * 32, "cd" * 32
ADA = Person(by="Ada", reason="error below 3 %")
START = 1_700_000_000


def new_key(folder):
    pair = keys.generate(folder, algorithm=keys.ED25519)
    return keys.load_private(pair.private, pytest.fail)


@pytest.fixture(scope="module")
def ada(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("ada"))


@pytest.fixture(scope="module")
def bob(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("bob"))


@pytest.fixture
def ledger(tmp_path):
    """A ledger whose clock goes a second further with each line."""
    seconds = count(START)
    return Ledger.open(tmp_path / "ledger.jsonl", clock=lambda: next(seconds))


def yes(ledger, key=None, sha256=MODEL):
    return approve(ledger, VERSION, "version 3", sha256, ADA, key)


def verdicts(ledger, **options):
    return [one.verdict for one in read_approvals(ledger.chain, **options).approvals]


def test_a_signed_approval_by_a_key_of_the_list_is_valid_and_says_who_when_and_why(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    line = yes(ledger, ada)
    [approval] = read_approvals(read_ledger(ledger.path)).of(MODEL)
    assert approval.valid
    assert (approval.by, approval.reason, approval.time) == ("Ada", "error below 3 %", line.time)
    assert (approval.name, approval.keyid, approval.owner, approval.line) == ("version 3", ada.public.keyid, "Ada", 2)


def test_an_approval_counts_for_its_digest_alone(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    found = read_approvals(ledger.chain)
    assert (found.is_approved(MODEL), found.is_approved(OTHER)) == (True, False)
    assert found.in_words(OTHER) == "no approval"


def test_a_name_without_a_signature_is_on_record_and_not_valid(ledger):
    yes(ledger)
    assert verdicts(ledger) == [UNSIGNED]


def test_a_key_that_is_not_on_the_list_approves_nothing(ledger, ada):
    with pytest.raises(Refused, match="keys add"):
        yes(ledger, ada)
    assert ledger.chain.lines == ()


def test_what_was_signed_before_a_revocation_stays_valid(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    revoke_key(ledger, ada.public.keyid, ADA)
    assert verdicts(ledger) == [VALID]
    with pytest.raises(Refused, match="not in force: got revoked since"):
        yes(ledger, ada)


def test_a_revocation_may_reach_back_to_when_the_key_was_lost(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    before, after = yes(ledger, ada), yes(ledger, ada)
    revoke_key(ledger, ada.public.keyid, ADA, since=after.time)
    assert verdicts(ledger) == [VALID, UNTRUSTED]
    assert before.time < after.time


def written_anyway(ledger, line):
    """Appends the details of a line again, as somebody who can write to the ledger would."""
    return ledger.said(line.event, run_id=line.run_id, **line.details)


def test_an_approval_that_is_written_after_the_revocation_does_not_count(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    line = yes(ledger, ada)
    revoke_key(ledger, ada.public.keyid, ADA)
    written_anyway(ledger, line)
    assert verdicts(ledger) == [VALID, UNTRUSTED]


def test_a_revoked_key_does_not_come_back(ledger, ada):
    added = add_key(ledger, ada.public, "Ada", ADA)
    line = yes(ledger, ada)
    revoke_key(ledger, ada.public.keyid, ADA)
    with pytest.raises(Refused, match="on the list of keys already: got revoked"):
        add_key(ledger, ada.public, "Ada", ADA)
    written_anyway(ledger, added)
    written_anyway(ledger, line)
    assert verdicts(ledger) == [VALID, UNTRUSTED]


def test_a_rotated_key_hands_over_to_the_new_one(ledger, ada, bob):
    add_key(ledger, ada.public, "Ada", ADA)
    line = yes(ledger, ada)
    rotate_key(ledger, ada, bob.public, ADA)
    yes(ledger, bob)
    written_anyway(ledger, line)
    assert verdicts(ledger) == [VALID, VALID, UNTRUSTED]
    old, new = read_approvals(ledger.chain).keys
    assert (old.state, new.state, new.replaces, new.owner) == (ROTATED, IN_FORCE, old.keyid, "Ada")


def test_a_key_that_was_lost_before_its_rotation_handed_over_nothing(ledger, ada, bob):
    added = add_key(ledger, ada.public, "Ada", ADA)
    rotate_key(ledger, ada, bob.public, ADA)
    yes(ledger, bob)
    revoke_key(ledger, ada.public.keyid, ADA, since=added.time)
    assert verdicts(ledger) == [UNTRUSTED]
    assert [key.state for key in read_approvals(ledger.chain).keys] == [REVOKED]


def test_a_rotation_that_the_old_key_did_not_sign_is_a_fault_and_adds_nothing(ledger, ada, bob):
    add_key(ledger, ada.public, "Ada", ADA)
    details = dict(rotate_key(ledger, ada, bob.public, ADA).details)
    forged = ledger.path.with_name("forged.jsonl")
    other = Ledger.open(forged)
    add_key(other, ada.public, "Ada", ADA)
    other.said(Event.KEY_ROTATED, run_id="keys", **{**details, "owner": "Mallory"})
    found = read_approvals(other.chain)
    assert found.faults == {2: "its envelope is over something else than its line says"}
    assert [key.state for key in found.keys] == [IN_FORCE]


def test_only_trusted_keys_count_where_some_are_named_and_those_that_they_handed_over_to(ledger, ada, bob, tmp_path):
    add_key(ledger, ada.public, "Ada", ADA)
    mallory = new_key(tmp_path / "mallory")
    add_key(ledger, mallory.public, "Ada", ADA)
    rotate_key(ledger, ada, bob.public, ADA)
    yes(ledger, bob)
    yes(ledger, mallory)
    assert verdicts(ledger) == [VALID, VALID]
    assert verdicts(ledger, trusted=(ada.public,)) == [VALID, UNTRUSTED]
    assert verdicts(ledger, trusted=()) == [UNTRUSTED, UNTRUSTED]


def no(ledger, key=None, sha256=MODEL, of=None, by="Ops"):
    return withdraw(ledger, VERSION, "version 3", sha256, Person(by=by, reason="wrong labels"), key, of)


def test_a_withdrawn_approval_does_not_count_and_says_who_withdrew_it_and_what_it_was_worth(ledger, ada, bob):
    for key in (ada, bob):
        add_key(ledger, key.public, "somebody", ADA)
    yes(ledger, ada)
    line = no(ledger, bob)
    found = read_approvals(read_ledger(ledger.path))
    [approval] = found.of(MODEL)
    assert (approval.verdict, approval.valid, found.is_approved(MODEL)) == (WITHDRAWN, False, False)
    assert (approval.withdrawn.by, approval.withdrawn.reason) == ("Ops", "wrong labels")
    assert (approval.withdrawn.line, approval.withdrawn.keyid) == (line.sequence, bob.public.keyid)
    assert approval.why.startswith(f"signed by key {ada.public.keyid[:16]}, which was in force; withdrawn by Ops, ")
    assert found.faults == {}


def test_what_was_withdrawn_can_be_approved_again_and_withdrawn_again(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    for verdict in (VALID, WITHDRAWN):
        yes(ledger, ada)
        assert verdicts(ledger)[-1] == VALID
        no(ledger)
        assert verdicts(ledger)[-1] == WITHDRAWN, verdict


def test_a_withdrawal_of_one_persons_approvals_leaves_those_of_others(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    approve(ledger, VERSION, "version 3", MODEL, Person(by="Bob"), None)
    no(ledger, of="Bob")
    assert verdicts(ledger) == [VALID, WITHDRAWN]


@pytest.mark.parametrize("of", [None, "Eve"])
def test_where_no_approval_stands_there_is_nothing_to_withdraw(ledger, of):
    yes(ledger, sha256=OTHER)
    with pytest.raises(BadInput, match="stands"):
        no(ledger, of=of)
    yes(ledger)
    no(ledger, of="Ada")
    with pytest.raises(BadInput, match="serving list"):
        no(ledger, of=of)


def test_a_withdrawal_counts_unsigned_and_forged_as_well_and_a_forged_one_is_a_fault(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    no(ledger, ada)
    *before, line = ledger.chain.lines
    for envelope, faults in ((None, set()), ({"payload": "e30="}, {3})):
        found = read_approvals(
            chained([*before, dataclasses.replace(line, details={**line.details, "envelope": envelope})])
        )
        assert [one.verdict for one in found.approvals] == [WITHDRAWN]
        assert found.faults.keys() == faults


@pytest.mark.parametrize("named", [[9], [1], [2, 2]])
def test_a_withdrawal_of_what_is_no_approval_is_a_fault(ledger, ada, named):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    line = no(ledger)
    ledger.said(Event.WITHDRAWN, run_id="withdraw", **{**line.details, "approvals": named})
    ledger.said(Event.WITHDRAWN, run_id="withdraw", **{**line.details, "sha256": OTHER})
    assert read_approvals(ledger.chain).faults.keys() == {4, 5}


@pytest.mark.parametrize("end", ["rotated", "revoked"])
def test_a_key_that_has_ended_withdraws_nothing(ledger, ada, bob, end):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    _ = rotate_key(ledger, ada, bob.public, ADA) if end == "rotated" else revoke_key(ledger, ada.public.keyid, ADA)
    before = ledger.path.read_bytes()
    with pytest.raises(Refused, match=f"not in force: got {end} since .*`mnist-tfx keys list`"):
        no(ledger, ada)
    assert (ledger.path.read_bytes(), verdicts(ledger)) == (before, [VALID])


def chained(lines):
    """The lines as somebody writes them who knows how the chain is made."""
    result = []
    for line in lines:
        previous = result[-1].digest if result else lines[0].previous
        result.append(dataclasses.replace(line, sequence=len(result) + 1, previous=previous))
    return Chain(tuple(Line.from_dict(json.loads(line.to_bytes())) for line in result))


@pytest.mark.parametrize(
    "change",
    [
        {"by": "Mallory"},
        {"reason": "none"},
        {"sha256": OTHER},
        {"name": "version 4"},
        {"envelope": {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}},
        {"envelope": {"payload": "e30=", "payloadType": "text/plain", "signatures": []}},
        {"envelope": {}},
    ],
)
def test_an_approval_that_is_edited_is_forged_even_in_a_chain_that_was_written_anew(ledger, ada, change):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    first, line = ledger.chain.lines
    found = read_approvals(chained([first, dataclasses.replace(line, details={**line.details, **change})]))
    assert [one.verdict for one in found.approvals] == [FORGED]
    assert found.faults.keys() == {2}


def test_a_signature_of_another_key_under_the_id_of_one_of_the_list_is_forged(ledger, ada, bob):
    add_key(ledger, ada.public, "Ada", ADA)
    add_key(ledger, bob.public, "Bob", ADA)
    yes(ledger, bob)
    *added, line = ledger.chain.lines
    envelope = json.loads(json.dumps(line.details["envelope"]).replace(bob.public.keyid, ada.public.keyid))
    found = read_approvals(chained([*added, dataclasses.replace(line, details={**line.details, "envelope": envelope})]))
    assert [one.verdict for one in found.approvals] == [FORGED]


def test_an_approval_that_is_edited_removed_or_moved_breaks_the_chain(ledger, ada):
    add_key(ledger, ada.public, "Ada", ADA)
    yes(ledger, ada)
    yes(ledger, ada)
    text = ledger.path.read_bytes()
    first, second, third = text.splitlines(keepends=True)
    for tampered in (text.replace(b"Ada", b"Eve"), first + third, second + first + third):
        ledger.path.write_bytes(tampered)
        with pytest.raises(LedgerBroken):
            read_ledger(ledger.path)


@pytest.mark.parametrize("missing", ["by", "sha256", "envelope", "subject"])
def test_an_approval_without_one_of_its_fields_is_no_ledger_line(ledger, missing):
    fields = yes(ledger).to_dict()
    del fields[missing]
    with pytest.raises(LedgerBroken, match="is no ledger line"):
        Line.from_dict(fields)


def test_a_key_whose_id_is_another_ones_is_a_fault_and_not_on_the_list(ledger, ada, bob):
    details = dict(add_key(ledger, ada.public, "Ada", ADA).details)
    ledger.said(Event.KEY_ADDED, run_id="keys", **{**details, "keyid": bob.public.keyid})
    ledger.said(Event.KEY_ADDED, run_id="keys", **{**details, "keyid": "00" * 32, "public": "no key"})
    found = read_approvals(ledger.chain)
    assert found.faults.keys() == {2, 3}
    assert [key.keyid for key in found.keys] == [ada.public.keyid]


def test_a_revocation_of_an_unknown_key_is_refused_and_a_second_one_has_to_reach_further_back(ledger, ada):
    with pytest.raises(BadInput, match="no such key on the list"):
        revoke_key(ledger, ada.public.keyid, ADA)
    added = add_key(ledger, ada.public, "Ada", ADA)
    line = yes(ledger, ada)
    revoke_key(ledger, ada.public.keyid, ADA, since=line.time)
    with pytest.raises(Refused, match="was revoked already"):
        revoke_key(ledger, ada.public.keyid, ADA)
    revoke_key(ledger, ada.public.keyid, ADA, since=added.time)
    assert read_approvals(ledger.chain).key(ada.public.keyid).since == added.time


def test_a_name_is_taken_from_git_only_where_that_is_asked_for(monkeypatch):
    monkeypatch.setattr(approval_writer, "user_name", lambda: "Ada L.")
    assert (approval_writer.named("@git"), approval_writer.named("Bob")) == ("Ada L.", "Bob")
    monkeypatch.setattr(approval_writer, "user_name", lambda: None)
    with pytest.raises(BadInput, match="Git knows no name"):
        approval_writer.named("@git")
