"""A signature over a served version: what it proves to whoever has a copy and the public key, and what breaks it."""

import base64
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner
from command_line import mnist_tfx

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, Refused
from components.serving import PROVENANCE
from pipeline.cli.lineage.keygen import keygen
from pipeline.provenance import file_check, keys, signing
from pipeline.provenance.approval_writer import Person, add_key, approve, revoke_key, rotate_key
from pipeline.provenance.approvals import VERSION
from pipeline.provenance.dsse import Envelope, NotAnEnvelope
from pipeline.provenance.file_check import ENVELOPE, Fault
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.statement import manifest_of, statement_bytes

SHARED_OBJECT = "assets.extra/provenance.so"


def no_passphrase():
    raise AssertionError("nobody should have been asked")


@pytest.fixture
def pair(tmp_path):
    return keys.generate(tmp_path / "keys")


@pytest.fixture
def private_key(pair):
    return keys.load_private(pair.private, no_passphrase)


@pytest.fixture
def stranger(tmp_path):
    return keys.load_private(keys.generate(tmp_path / "stranger").private, no_passphrase)


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def served(kept, request, tmp_path, tmp_path_factory):
    """A served version without its root, which is built once: every record in it waits for the disk."""
    if not kept:
        built = request.getfixturevalue("root").paths.serving / "1"
        kept["served"] = shutil.copytree(built, tmp_path_factory.mktemp("built") / "1")
    return shutil.copytree(kept["served"], tmp_path / "served" / "1")


@pytest.fixture
def copy(served, private_key, tmp_path):
    """A signed version, copied to where nothing else of the root is."""
    signing.sign(served, private_key)
    return shutil.copytree(served, tmp_path / "elsewhere" / "model", symlinks=True)


def envelope_of(folder):
    return json.loads((folder / ENVELOPE).read_bytes())


def rewrite(folder, **fields):
    (folder / ENVELOPE).write_text(json.dumps({**envelope_of(folder), **fields}))


def sign_statement(folder, statement, private_key):
    """Puts another statement, truly signed, in the place of the one that is there."""
    data = statement_bytes(statement)
    (folder / PROVENANCE).write_bytes(data)
    (folder / ENVELOPE).write_bytes(signing.envelope_bytes(data, private_key))


def statement_of(folder):
    return json.loads((folder / PROVENANCE).read_bytes())


def found(folder, pair):
    check = signing.verify(folder, pair.public)
    assert not check.ok
    return [(fault.what, fault.path) for fault in check.faults]


# What holds


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_a_copy_is_checked_with_nothing_but_the_public_key(served, tmp_path, algorithm):
    pair = keys.generate(tmp_path / "signer", algorithm=algorithm)
    signing.sign(served, keys.load_private(pair.private, no_passphrase))
    copy = shutil.copytree(served, tmp_path / "elsewhere")
    check = signing.verify(copy, pair.public)
    assert check.ok
    assert (check.keyid, check.digest) == (pair.keyid, tree_digest(copy))


def test_a_signature_changes_nothing_that_the_models_digest_covers(served, private_key):
    before = tree_digest(served)
    signing.sign(served, private_key)
    assert tree_digest(served) == before


def test_the_envelope_is_made_from_the_statements_bytes_alone_so_that_a_push_can_lay_it_beside_them(copy, private_key):
    (copy / ENVELOPE).write_bytes(signing.envelope_bytes((copy / PROVENANCE).read_bytes(), private_key))
    assert signing.sign(copy, private_key).read_bytes() == (copy / ENVELOPE).read_bytes()


def test_signing_again_with_the_same_key_writes_nothing(copy, private_key):
    before = (copy / ENVELOPE).stat().st_ino
    signing.sign(copy, private_key)
    assert (copy / ENVELOPE).stat().st_ino == before


def test_a_second_signer_leaves_the_first_ones_signature_valid(copy, pair, stranger, tmp_path):
    signing.sign(copy, stranger)
    assert signing.verify(copy, pair.public).ok
    assert signing.verify(copy, tmp_path / "stranger" / keys.PUBLIC_FILE).ok


def test_a_signature_over_an_older_statement_is_replaced(copy, pair, private_key):
    sign_statement(copy, {**statement_of(copy), "note": "older"}, private_key)
    envelope = (copy / ENVELOPE).read_bytes()
    sign_statement(copy, {k: v for k, v in statement_of(copy).items() if k != "note"}, private_key)
    (copy / ENVELOPE).write_bytes(envelope)
    assert found(copy, pair) == [("changed", PROVENANCE)]
    signing.sign(copy, private_key)
    assert signing.verify(copy, pair.public).ok


def test_what_a_killed_sign_left_behind_is_taken_away(copy, pair, private_key):
    (copy / f"{ENVELOPE}.new-5b1d").write_bytes(b"{")
    signing.sign(copy, private_key)
    assert signing.verify(copy, pair.public).ok


def test_a_key_id_is_only_a_hint(copy, pair):
    rewrite(copy, signatures=[{**envelope_of(copy)["signatures"][0], "keyid": "another"}])
    assert signing.verify(copy, pair.public).ok


# Attacks on the signature


def test_another_key_does_not_verify(copy, stranger, tmp_path):
    check = signing.verify(copy, tmp_path / "stranger" / keys.PUBLIC_FILE)
    assert (check.ok, check.signed, check.digest) == (False, False, None)
    assert stranger.public.keyid in str(check.faults[0])


def test_a_signature_by_a_stranger_under_the_owners_key_id_does_not_verify(copy, pair, stranger):
    forged = Envelope.from_bytes(signing.envelope_bytes((copy / PROVENANCE).read_bytes(), stranger))
    (copy / ENVELOPE).write_bytes(forged.to_bytes().replace(stranger.public.keyid.encode(), pair.keyid.encode()))
    assert not signing.verify(copy, pair.public).signed


def altered_payload(envelope):
    payload = base64.b64decode(envelope["payload"]).replace(b'"recipe":"digits"', b'"recipe":"digitz"')
    return {"payload": base64.b64encode(payload).decode()}


def signature_over_another_file(_):
    return {"payload": base64.b64encode(b'{"_type":"another"}').decode()}


def shortened_signature(envelope):
    return {"signatures": [{**envelope["signatures"][0], "sig": envelope["signatures"][0]["sig"][:40]}]}


@pytest.mark.parametrize(
    "attack",
    [
        altered_payload,
        signature_over_another_file,
        shortened_signature,
        lambda _: {"payloadType": "application/json"},
        lambda _: {"payloadType": "application/vnd.in-toto+json "},
        lambda _: {"payloadType": "\u00e4pplication/vnd.in-toto+json"},
        lambda _: {"signatures": []},
        lambda _: {"signatures": [{"keyid": "", "sig": ""}]},
        lambda _: {"signatures": [{"keyid": "", "sig": base64.b64encode(bytes(64)).decode()}]},
    ],
)
def test_an_altered_envelope_does_not_verify(copy, pair, attack):
    rewrite(copy, **attack(envelope_of(copy)))
    check = signing.verify(copy, pair.public)
    assert not check.signed
    assert check.faults[0].what.startswith("signature: ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"payload": 1, "payloadType": "x", "signatures": []}',
        b'{"payload": "", "payloadType": 1, "signatures": []}',
        b'{"payload": "", "payloadType": "\\ud800", "signatures": []}',
        b'{"payload": "", "payloadType": "x", "signatures": [1]}',
        b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": 1, "sig": ""}]}',
        b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": "", "sig": "!!!"}]}',
    ],
)
def test_what_is_no_envelope_is_said_to_be_none(copy, pair, data):
    with pytest.raises(NotAnEnvelope):
        Envelope.from_bytes(data)
    (copy / ENVELOPE).write_bytes(data)
    assert found(copy, pair) == [("signature: not a DSSE envelope", ENVELOPE)]


def test_a_version_without_a_signature_is_said_to_have_none(served, pair):
    assert found(served, pair) == [("signature: no such file", ENVELOPE)]


def test_a_truly_signed_document_of_another_kind_does_not_vouch_for_a_model(copy, pair, private_key):
    (copy / ENVELOPE).write_bytes(signing.envelope_bytes(b'{"approved": true}', private_key))
    assert found(copy, pair) == [("signature: over another kind of statement", ENVELOPE)]


def without_files(subjects):
    return subjects[:1]


def without_tree(subjects):
    return subjects[1:]


def without_size(subjects):
    return [*subjects, {"name": "x", "digest": {"sha256": "0" * 64}}]


def without_name(subjects):
    return [*subjects, {"digest": {"sha256": "0" * 64}, "annotations": {}}]


def numbered_name(subjects):
    return [*subjects, {"name": 7, "digest": {"sha256": "0" * 64}, "annotations": {}}]


@pytest.mark.parametrize("subjects", [without_files, without_tree, without_size, without_name, numbered_name])
def test_a_signed_statement_with_an_unreadable_list_of_files_vouches_for_nothing(copy, pair, private_key, subjects):
    statement = statement_of(copy)
    sign_statement(copy, {**statement, "subject": subjects(statement["subject"])}, private_key)
    assert found(copy, pair) == [("signature: over another kind of statement", ENVELOPE)]


# Attacks on the files


def flip(folder):
    path = folder / "saved_model.pb"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def link_out(folder):
    (folder / "saved_model.pb").rename(folder.parent / "outside.pb")
    (folder / "saved_model.pb").symlink_to(folder.parent / "outside.pb")


def fifo(folder):
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")


@pytest.mark.parametrize(
    ("tamper", "wanted"),
    [
        (flip, [("changed", "saved_model.pb")]),
        (lambda folder: os.truncate(folder / "saved_model.pb", 3), [("changed", "saved_model.pb")]),
        (lambda folder: (folder / "saved_model.pb").unlink(), [("missing", "saved_model.pb")]),
        (link_out, [("symlink", "saved_model.pb")]),
        (fifo, [("not a file", "saved_model.pb")]),
        (lambda folder: (folder / "extra.so").write_bytes(b"x"), [("extra", "extra.so")]),
        (lambda folder: (folder / SHARED_OBJECT).write_bytes(b"x"), [("extra", SHARED_OBJECT)]),
        (lambda folder: (folder / PROVENANCE).unlink(), [("missing", PROVENANCE)]),
        (lambda folder: (folder / PROVENANCE).write_bytes(b"{}"), [("changed", PROVENANCE)]),
        (lambda folder: (folder / "round").symlink_to("."), [("extra", "round")]),
        (lambda folder: (folder / "up").symlink_to("../.."), [("extra", "up")]),
    ],
)
def test_a_tampered_copy_is_found_and_the_file_is_named(copy, pair, tamper, wanted):
    tamper(copy)
    assert found(copy, pair) == wanted


def test_files_below_a_folder_that_the_digest_skips_are_found_too(copy, pair):
    hidden = copy / "Format-Serving" / SHARED_OBJECT
    hidden.parent.mkdir(parents=True)
    hidden.write_bytes(b"x")
    assert tree_digest(copy) == signing.verify(copy, pair.public).digest
    assert found(copy, pair) == [("extra", f"Format-Serving/{SHARED_OBJECT}")]


@pytest.mark.parametrize("file", [PROVENANCE, ENVELOPE])
def test_a_statement_or_signature_that_is_a_link_is_not_followed(copy, pair, file):
    target = copy.parent / "outside.json"
    (copy / file).rename(target)
    (copy / file).symlink_to(target)
    assert file in [path for _, path in found(copy, pair)]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\\b", "a\nb", "x" * 256, PROVENANCE])
def test_a_name_that_leads_out_of_the_folder_is_refused_even_when_signed(copy, pair, private_key, name):
    statement = statement_of(copy)
    (copy.parent / "outside").write_bytes(b"")
    smuggled = {"name": name, "digest": {"sha256": "0" * 64}, "annotations": {"bytes": 0}}
    files = {**manifest_of(statement), name: {"sha256": "0" * 64, "bytes": 0}}
    tree = {"name": ".", "digest": {"treeSha256": file_check.manifest_digest(files)}}
    sign_statement(copy, {**statement, "subject": [tree, *statement["subject"][1:], smuggled]}, private_key)
    assert ("unsafe name", name) in found(copy, pair)


def test_a_statement_that_names_a_file_twice_is_refused_even_when_signed(copy, pair, private_key):
    statement = statement_of(copy)
    sign_statement(copy, {**statement, "subject": [*statement["subject"], statement["subject"][1]]}, private_key)
    assert found(copy, pair) == [("statement", "saved_model.pb")]


def test_a_tree_digest_that_is_not_that_of_the_files_is_refused_even_when_signed(copy, pair, private_key):
    statement = statement_of(copy)
    tree = {"name": ".", "digest": {"treeSha256": "0" * 64}}
    sign_statement(copy, {**statement, "subject": [tree, *statement["subject"][1:]]}, private_key)
    assert found(copy, pair) == [("statement", ".")]


def test_every_fault_is_named_not_only_the_first(copy, pair):
    flip(copy)
    (copy / "extra").write_bytes(b"")
    (copy / PROVENANCE).write_bytes(b"{}")
    assert {path for _, path in found(copy, pair)} == {"saved_model.pb", "extra", PROVENANCE}


def test_a_version_that_was_changed_is_not_signed(served, private_key):
    flip(served)
    with pytest.raises(Refused, match=r"saved_model\.pb: changed: wanted SHA-256"):
        signing.sign(served, private_key)
    assert not (served / ENVELOPE).exists()


def test_a_folder_that_is_no_served_version_is_not_signed(tmp_path, private_key):
    with pytest.raises(EnvironmentProblem, match="is this a served version"):
        signing.sign(tmp_path, private_key)


def test_a_fault_is_one_line():
    fault = Fault(what="changed", path="a", wanted="1", found="2")
    assert str(fault) == "a: changed: wanted 1, got 2"


# Keys


def test_the_private_key_is_for_its_owner_alone(pair):
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.private.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("there", [keys.PRIVATE_FILE, keys.PUBLIC_FILE])
def test_no_key_is_ever_replaced(tmp_path, there):
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(BadInput, match="there is a key already"):
        keys.generate(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {there: b"precious"}


def test_an_encrypted_key_opens_with_its_passphrase_alone(tmp_path):
    pair = keys.generate(tmp_path, passphrase="caf\u00e9")
    assert keys.load_private(pair.private, lambda: "caf\u00e9").public.keyid == pair.keyid
    with pytest.raises(BadInput, match="wrong passphrase"):
        keys.load_private(pair.private, lambda: "cafe")


def test_an_empty_passphrase_is_no_passphrase(tmp_path):
    with pytest.raises(BadInput, match="empty passphrase"):
        keys.generate(tmp_path, passphrase="")


def test_a_private_key_does_not_print_itself(private_key):
    assert "PrivateKey object" not in repr(private_key)


@pytest.mark.parametrize("kind", ["rsa", "p384", "public", "garbage", "missing"])
def test_a_file_that_holds_no_key_of_ours_is_bad_input(tmp_path, pair, kind):
    path = tmp_path / "key.pem"
    if kind == "public":
        shutil.copy(pair.public, path)
    elif kind == "garbage":
        path.write_bytes(b"garbage")
    elif kind != "missing":
        path.write_bytes(pem_of(kind))
    with pytest.raises(BadInput, match=r"key\.pem: "):
        keys.load_private(path, no_passphrase)
    if kind != "public":
        with pytest.raises(BadInput, match=r"key\.pem: "):
            keys.load_public(path)


def pem_of(kind):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*encoding)


def test_a_private_key_given_as_the_public_one_is_said_to_be_private(pair):
    with pytest.raises(BadInput, match="keep it away"):
        keys.load_public(pair.private)


# Other implementations


def test_the_encoding_that_is_signed_is_the_one_of_the_specifications_example():
    envelope = Envelope(payload=b"hello world", payload_type="http://example.com/HelloWorld")
    assert envelope.pae == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert Envelope(payload=b"", payload_type="\u00e4").pae == b"DSSEv1 2 \xc3\xa4 0 "


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_a_signature_over_the_encoding_written_out_by_hand(served, tmp_path):
    pair = keys.generate(tmp_path / "keys")
    signing.sign(served, keys.load_private(pair.private, no_passphrase))
    payload = (served / PROVENANCE).read_bytes()
    (tmp_path / "pae").write_bytes(
        b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    )
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope_of(served)["signatures"][0]["sig"]))
    command = ["openssl", "dgst", "-sha256", "-verify", pair.public, "-signature", tmp_path / "sig", tmp_path / "pae"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Verified OK"


OTHERS = ("sigstore==4.*", "securesystemslib[crypto]==1.*", "in-toto-attestation==0.9.*")


@pytest.fixture(scope="session")
def other_python(tmp_path_factory):
    """An interpreter of its own that has other implementations of DSSE and in-toto, and nothing of ours."""
    folder = tmp_path_factory.mktemp("others")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *OTHERS]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"the package index does not give {', '.join(OTHERS)}: {done.stderr.strip()[-200:]}")
    return folder / "bin" / "python"


def answer_of(python, script, *arguments):
    command = [python, "-I", "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


SIGSTORE = """
    import sys
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from sigstore import dsse
    key = load_pem_public_key(open(sys.argv[2], "rb").read())
    envelope = dsse.Envelope._from_json(open(sys.argv[1]).read())
    try:
        print(dsse._verify(key, envelope) == open(sys.argv[3], "rb").read())
    except Exception as err:
        print(type(err).__name__)
"""

SECURESYSTEMSLIB = """
    import json, sys
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey
    fields = json.load(open(sys.argv[1]))
    public = load_pem_public_key(open(sys.argv[2], "rb").read())
    key = SSlibKey.from_crypto(public, keyid=fields["signatures"][0]["keyid"])
    try:
        envelope = Envelope.from_dict(fields)
        print(bool(envelope.verify([key], 1)) and envelope.payload == open(sys.argv[3], "rb").read())
    except Exception as err:
        print(type(err).__name__)
"""

IN_TOTO = """
    import sys
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    text = open(sys.argv[1]).read()
    Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement())).validate()
    print(True)
"""

PROVENANCE_V1 = """
    import json, sys
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    predicate = json.load(open(sys.argv[1]))["predicate"]
    json_format.ParseDict(predicate, provenance_pb2.Provenance())
    print(True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [SIGSTORE, SECURESYSTEMSLIB], ids=["sigstore", "securesystemslib"])
def test_an_independent_implementation_agrees_about_the_signature(served, tmp_path, other_python, script):
    pair = keys.generate(tmp_path / "signer")
    signing.sign(served, keys.load_private(pair.private, no_passphrase))
    files = (served / ENVELOPE, pair.public, served / PROVENANCE)
    assert answer_of(other_python, script, *files) == "True"
    rewrite(served, **altered_payload(envelope_of(served)))
    assert answer_of(other_python, script, *files) == "VerificationError"


@pytest.mark.slow
@pytest.mark.parametrize("script", [IN_TOTO, PROVENANCE_V1], ids=["statement", "predicate"])
def test_the_in_toto_library_reads_the_statement(served, other_python, script):
    assert answer_of(other_python, script, served / PROVENANCE) == "True"


# The command line


def test_keygen_sign_and_verify_from_the_command_line(root, tmp_path):
    pair = mnist_tfx("lineage", "keygen", "--to", tmp_path / "k", "--json").json
    signed = mnist_tfx("lineage", "sign", "1", "--key", pair["private"], "--root", root.path, "--json")
    assert signed.json["keyid"] == pair["keyid"]
    copy = shutil.copytree(signed.json["path"], tmp_path / "copy")
    good = mnist_tfx("lineage", "verify", copy, "--key", pair["public"], "--json")
    assert (good.code, good.status) == (0, "ok")
    flip(copy)
    bad = mnist_tfx("lineage", "verify", copy, "--key", pair["public"], "--json")
    assert (bad.code, bad.status) == (1, "findings")
    assert bad.json["faults"][0]["path"] == "saved_model.pb"
    again = mnist_tfx("lineage", "verify", copy, "--key", pair["public"])
    assert (again.code, again.out.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "code"), [([], 0), (["1"], 0), (["2"], 2), (["elsewhere"], 2)], ids=["newest", "number", "none", "path"]
)
def test_what_is_signed_is_the_newest_version_a_number_or_a_folder(root, tmp_path, asked, code):
    pair = keys.generate(tmp_path / "keys")
    answer = mnist_tfx("lineage", "sign", *asked, "--key", pair.private, "--root", root.path)
    assert answer.code == code
    assert answer.err.count("\n") == (1 if code else 0)


def test_the_passphrase_comes_from_the_environment_and_is_asked_for_nowhere_else(root, tmp_path, monkeypatch):
    runner = CliRunner()
    refused = runner.invoke(keygen, ["--to", str(tmp_path / "keys"), "--passphrase"])
    assert isinstance(refused.exception, BadInput)
    monkeypatch.setenv("MNIST_TFX_KEY_PASSPHRASE", "secret")
    assert runner.invoke(keygen, ["--to", str(tmp_path / "keys"), "--passphrase"]).exit_code == 0
    assert b"ENCRYPTED" in (tmp_path / "keys" / keys.PRIVATE_FILE).read_bytes()
    answer = mnist_tfx("lineage", "sign", "--key", tmp_path / "keys" / keys.PRIVATE_FILE, "--root", root.path)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b"1" + b"0" * 30, b"[" * 500 + b"]" * 500])
def test_what_is_no_json_to_the_other_readers_is_no_envelope_either(value):
    with pytest.raises(NotAnEnvelope):
        Envelope.from_bytes(b'{"payload": "", "payloadType": "x", "signatures": [], "more": ' + value + b"}")


# What becomes of the key

OPS, START = Person(by="Ops"), 1_700_000_000


@pytest.fixture
def ledger(tmp_path, private_key):
    """A ledger that lists the key; its clock goes a second further with each line."""
    seconds = itertools.count(START)
    ledger = Ledger.open(tmp_path / "ledger.jsonl", clock=lambda: next(seconds))
    add_key(ledger, private_key.public, "Ada", OPS)
    return ledger


def push(ledger, folder, run_id="one", version=1):
    """Leaves the lines of a push, in which the Pusher signed between the first and the second."""
    began = ledger.intent(node="Pusher", run_id=run_id, key="k")
    ledger.pushed(node="Pusher", run_id=run_id, version=version, digest=tree_digest(folder))
    return began


def as_of(ledger, folder, pair):
    return signing.verify(folder, pair.public, ledger=ledger.chain)


def test_a_key_in_force_or_unknown_to_the_ledger_is_not_held_against_its_signature(copy, pair, ledger, tmp_path):
    push(ledger, copy)
    for of in (ledger, Ledger.open(tmp_path / "empty.jsonl")):
        check = as_of(of, copy, pair)
        assert (check.ok, check.note) == (True, None)


def test_what_may_be_from_after_a_revocation_does_not_count_and_says_how_to_go_on(copy, pair, ledger):
    push(ledger, copy)
    revoke_key(ledger, pair.keyid, OPS, since="2023-11-14T22:13:23.000000Z")
    check = as_of(ledger, copy, pair)
    [fault] = check.faults
    assert (check.ok, check.signed) == (False, True)
    assert "cannot tell whether it was made before its key was revoked" in fault.what
    assert "lineage sign --key" in fault.wanted
    assert fault.found == f"key {pair.keyid[:16]}, revoked since 2023-11-14 22:13:23 UTC"
    assert signing.verify(copy, pair.public).ok  # the folder alone cannot tell


def test_another_key_that_signed_too_still_counts(copy, pair, ledger, stranger, tmp_path):
    push(ledger, copy)
    revoke_key(ledger, pair.keyid, OPS)
    signing.sign(copy, stranger)
    assert signing.verify(copy, tmp_path / "stranger" / keys.PUBLIC_FILE, ledger=ledger.chain).ok


def test_bytes_that_were_pushed_after_the_end_of_a_key_were_signed_after_it(copy, pair, ledger, private_key, stranger):
    rotate_key(ledger, private_key, stranger.public, OPS)
    push(ledger, copy)
    [fault] = as_of(ledger, copy, pair).faults
    assert fault.what == "signature: made after its key had ended"
    assert (
        "rotated since 2023-11-14 22:13:21 UTC; the push began at 2023-11-14 22:13:22 UTC, ledger line 3" in fault.found
    )


def test_a_revocation_reaches_back_to_when_the_key_was_lost(copy, pair, ledger):
    began = push(ledger, copy)
    revoke_key(ledger, pair.keyid, OPS, since=began.time)
    assert [fault.what for fault in as_of(ledger, copy, pair).faults] == ["signature: made after its key had ended"]


def test_a_rotation_is_a_note_also_where_it_came_while_the_pusher_signed(copy, pair, ledger, private_key, stranger):
    ledger.intent(node="Pusher", run_id="one", key="k")
    rotate_key(ledger, private_key, stranger.public, OPS)
    ledger.pushed(node="Pusher", run_id="one", version=1, digest=tree_digest(copy))
    check = as_of(ledger, copy, pair)
    assert check.ok
    assert check.note.endswith("rotated since 2023-11-14 22:13:22 UTC; nothing tells whether it signed before")


def test_a_rollback_takes_a_signature_along_with_its_time(copy, pair, ledger, private_key, stranger):
    push(ledger, copy)
    rotate_key(ledger, private_key, stranger.public, OPS)
    push(ledger, copy, run_id="rollback", version=2)
    assert as_of(ledger, copy, pair).ok


def test_an_approval_with_the_same_key_shows_that_its_owner_vouched_in_time(copy, pair, ledger, private_key):
    push(ledger, copy)
    line = approve(ledger, VERSION, "version 1", tree_digest(copy), OPS, private_key)
    revoke_key(ledger, pair.keyid, OPS)
    check = as_of(ledger, copy, pair)
    assert check.ok
    assert check.note.endswith(f"it approved these bytes before, ledger line {line.sequence}")
    revoke_key(ledger, pair.keyid, OPS, since=line.time)
    assert not as_of(ledger, copy, pair).ok
