"""Who approved a schema: beside it, and in the ledger of each root that reads it, once."""

import json
import shutil

import pytest
from command_line import PROJECT, in_process

from components.errors import BadInput
from components.schema_files import find_reviewed
from pipeline.provenance import keys
from pipeline.provenance.approval_writer import Person, add_key, revoke_key
from pipeline.provenance.approvals import SCHEMA, UNSIGNED, UNTRUSTED, VALID, WITHDRAWN, read_approvals
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.schema_approvals import approval_file, last_withdrawn, note_approval

GEOMETRY = "8x8-max16-labels10"
OPS = Person(by="Ops")


@pytest.fixture
def ledger(tmp_path):
    return Ledger.open(tmp_path / "ledger.jsonl")


@pytest.fixture
def draft(tmp_path):
    folder = tmp_path / "drafts"
    folder.mkdir()
    for name in (f"{GEOMETRY}.pbtxt", f"{GEOMETRY}.profile.json"):
        shutil.copy(PROJECT / "schema" / name, folder / name)
    return folder / f"{GEOMETRY}.pbtxt"


def approve(draft, *options):
    """Approves a draft by the command; returns the schema that is in force then."""
    folder = draft.parents[1] / "schemas"
    answer = in_process("schema", "approve", draft, "--schema", folder, "--json", *options)
    assert answer.code == 0, answer.err
    return find_reviewed(GEOMETRY, folder)


def noted(ledger, schema):
    note_approval(ledger, schema.schema, schema.digest)
    return read_approvals(ledger.chain).of(schema.digest)


def test_without_a_name_nobody_is_on_record(draft, ledger):
    assert noted(ledger, approve(draft)) == ()
    assert not ledger.path.exists()


def test_a_run_takes_the_approval_into_its_ledger_once(draft, ledger):
    schema = approve(draft, "--by", "Ada", "--reason", "checked against the scans")
    noted(ledger, schema)
    [approval] = noted(ledger, schema)
    assert (approval.subject, approval.name, approval.by, approval.verdict) == (SCHEMA, GEOMETRY, "Ada", UNSIGNED)
    assert approval.reason == "checked against the scans"


def test_a_signed_approval_counts_from_the_run_on_that_finds_its_key_on_the_list(draft, ledger, tmp_path):
    pair = keys.generate(tmp_path / "ada")
    schema = approve(draft, "--by", "Ada", "--key", pair.private)
    assert [one.verdict for one in noted(ledger, schema)] == [UNTRUSTED]
    assert [one.verdict for one in noted(ledger, schema)] == [UNTRUSTED]
    add_key(ledger, keys.load_public(pair.public), "Ada", OPS)
    assert [one.verdict for one in noted(ledger, schema)] == [UNTRUSTED, VALID]
    assert len(noted(ledger, schema)) == 2


def test_a_key_that_a_root_below_runs_knows_to_have_ended_approves_no_schema(draft, tmp_path, monkeypatch):
    pair = keys.generate(tmp_path / "ada")
    ledger = Ledger.open(tmp_path / "runs" / "digits" / "ledger.jsonl")
    add_key(ledger, keys.load_public(pair.public), "Ada", OPS)
    revoke_key(ledger, pair.keyid, OPS)
    monkeypatch.chdir(tmp_path)
    refused = in_process("schema", "approve", draft, "--schema", "schemas", "--by", "Ada", "--key", pair.private)
    assert (refused.code, refused.err.count("\n")) == (3, 0)
    assert "revoked since" in refused.err
    assert "runs/digits" in refused.err
    assert not (tmp_path / "schemas").exists()


def test_a_withdrawn_approval_stays_on_record_and_is_not_taken_in_again(draft, ledger, tmp_path):
    pair = keys.generate(tmp_path / "ada")
    add_key(ledger, keys.load_public(pair.public), "Ada", OPS)
    schema = approve(draft, "--by", "Ada", "--key", pair.private)
    assert [one.verdict for one in noted(ledger, schema)] == [VALID]
    assert last_withdrawn(ledger, schema.digest) is None
    withdraw = ("schema", "withdraw", GEOMETRY, "--by", "Ops", "--reason", "scans were turned", "--root", tmp_path)
    assert in_process("schema", "withdraw", "1x1", *withdraw[3:]).code == 2
    [told] = in_process(*withdraw, "--json").json["approvals"]
    assert (told["verdict"], told["withdrawn"]["reason"]) == ("withdrawn", "scans were turned")
    assert in_process(*withdraw).code == 2
    reopened = Ledger.open(ledger.path)
    add_key(reopened, keys.load_public(keys.generate(tmp_path / "bob").public), "Bob", OPS)
    assert [one.verdict for one in noted(reopened, schema)] == [WITHDRAWN]
    assert last_withdrawn(reopened, schema.digest).withdrawn.by == "Ops"
    again = approve(draft, "--by", "Ada", "--reason", "turned back", "--key", pair.private)
    assert [one.verdict for one in noted(reopened, again)] == [WITHDRAWN, VALID]
    assert last_withdrawn(reopened, schema.digest) is None


def test_an_approval_of_another_schema_is_none_of_this_one(draft, ledger):
    schema = approve(draft, "--by", "Ada")
    draft.write_text(draft.read_text() + "\n")
    changed = approve(draft)
    assert changed.digest != schema.digest
    assert noted(ledger, changed) == ()


@pytest.mark.parametrize("change", [{"sha256": 1}, {"subject": "version"}, {"by": None}])
def test_what_is_no_approval_is_named(draft, ledger, change):
    schema = approve(draft, "--by", "Ada")
    path = approval_file(schema.schema)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match="no approval of a schema"):
        noted(ledger, schema)


def test_a_reason_or_a_key_without_a_name_is_bad_input(draft, tmp_path):
    for option in (("--reason", "x"), ("--key", keys.generate(tmp_path / "ada").private)):
        answer = in_process("schema", "approve", draft, "--schema", tmp_path / "schemas", *option)
        assert (answer.code, "--by" in answer.err) == (2, True)
    assert not (tmp_path / "schemas").exists()
