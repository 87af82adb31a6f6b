"""What an audit says in each named situation; the generated ones are in test_tampering.py."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import PROJECT, in_process
from lineage.audited_root import ROWS, Builder, build
from lineage.saved_model_bytes import saved_model

from components.errors import BadInput, ExitCode
from pipeline.audit import policy, rules
from pipeline.audit.audit import AuditOptions, audit_all, audit_path, audit_version
from pipeline.audit.findings import COMPLETENESS, FAIL, INTEGRITY, PASS, POLICY, UNKNOWN, VERDICTS
from pipeline.cli.lineage.audit import audit as audit_command
from pipeline.cli.lineage.head import head as head_command
from pipeline.cli.output import audit_answer
from pipeline.metadata.address import SqliteFile
from pipeline.provenance import keys, plain_files, signing
from pipeline.provenance.approval_writer import Person, add_key, revoke_key, rotate_key
from pipeline.provenance.ledger import Event, Head, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

ALL_PASS = dict.fromkeys(VERDICTS, PASS)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("audited") / "root")


@pytest.fixture
def root(template, tmp_path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "root", symlinks=True))


def invoke(command, *arguments):
    """Runs a command as `pipeline.cli.main` does; returns exit code and output."""
    answer = in_process("lineage", command.name, *arguments)
    return answer.code, answer.out or answer.err


def audit_json(*arguments):
    answer = in_process("lineage", "audit", *arguments, "--json")
    assert ExitCode.of(answer.status) == answer.code
    return answer.code, answer.json


def with_rules(**levels):
    return AuditOptions(policy=policy.Policy.from_dict({"version": 1, "rules": levels}))


def test_an_untouched_root_passes_and_says_what_it_stands_on(root):
    code, answer = audit_json("newest", "--root", root)
    [found] = answer["audits"]
    assert (code, found["version"], found["verdicts"]) == (0, 2, ALL_PASS)
    assert found["anchor"]["kind"] == "none"
    assert "self-consistent" in found["anchor"]["detail"]
    assert found["counts"]["records"] == found["counts"]["executions"] == 12


def test_audit_without_a_version_audits_every_served_version_and_says_so(root):
    code, answer = audit_json("--root", root)
    assert (code, [found["version"] for found in answer["audits"]]) == (0, [1, 2])
    code, text = invoke(audit_command, "--root", root)
    assert "every version in the serving directory (1, 2): all PASS" in text
    assert "every version" not in invoke(audit_command, "1", "--root", root)[1]


def test_audit_of_a_root_finds_what_was_done_to_an_older_version(root):
    (root / "serving/1/variables/variables.data-00000-of-00001").write_bytes(b"x")
    assert audit_json("newest", "--root", root)[0] == 0
    code, answer = audit_json("--root", root)
    verdicts = {found["version"]: found["verdicts"] for found in answer["audits"]}
    assert (code, verdicts) == (1, {1: {**ALL_PASS, INTEGRITY: FAIL}, 2: ALL_PASS})
    assert "not all PASS: 1" in invoke(audit_command, "--root", root)[1]


def test_what_versions_share_is_read_once(root, monkeypatch):
    from pipeline.metadata.reader import StoreReader

    asked, ask = [], StoreReader.ask
    monkeypatch.setattr(StoreReader, "ask", lambda *arguments: asked.append(arguments) or ask(*arguments))
    assert [found.counts.files for found in audit_all(root)] == [31, 13]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("put", "got"),
    [
        (lambda path, _: path.mkdir(), "no push of it is recorded"),
        (lambda path, _: path.symlink_to("/"), "symlink to /"),
        (lambda path, _: path.symlink_to("2"), "symlink to 2"),
        (lambda path, _: path.symlink_to("nowhere"), "symlink to nowhere"),
        (lambda path, _: os.mkfifo(path), "FIFO"),
        (lambda path, root: shutil.copytree(root / "serving/2", path), "no push of it is recorded"),
    ],
    ids=["folder", "link out", "link to a version", "broken link", "FIFO", "copy"],
)
def test_a_foreign_entry_in_the_serving_directory_is_a_finding_and_not_followed(root, put, got):
    put(root / "serving/9", root)
    audits = audit_all(root)
    found = [str(finding) for audit in audits for finding in audit.findings if finding.where.startswith("serving/9")]
    assert any(got in text for text in found), found
    assert audit_answer(audits, {}).exit_code == 1
    assert sum(audit.counts.files for audit in audits) < 60


def test_a_serving_directory_of_foreign_entries_alone_is_a_finding(root):
    shutil.rmtree(root / "serving")
    (root / "serving").mkdir()
    (root / "serving/4").write_bytes(b"x")
    for audit in (*audit_all(root), audit_version(root)):
        assert audit.verdicts == {INTEGRITY: FAIL, COMPLETENESS: UNKNOWN, POLICY: UNKNOWN}
        assert audit.first(INTEGRITY).where == "serving/4"


MANY = {
    "folders": lambda path: path.mkdir(),
    "files": lambda path: path.write_bytes(b""),
    "links to nothing": lambda path: path.symlink_to("nowhere"),
    "links to a version": lambda path: path.symlink_to("2"),
    "folders of another spelling": lambda path: path.with_name(f"0{path.name}").mkdir(),
}


@pytest.mark.parametrize("kind", MANY)
def test_many_foreign_entries_are_counted_a_few_are_named_and_each_is_looked_at_once(root, kind):
    for number in range(1000, 3000):
        MANY[kind](root / f"serving/{number}")
    started = time.monotonic()
    audits = audit_all(root)
    assert time.monotonic() - started < 15
    assert audit_answer(audits, {}).exit_code == 1
    assert len(audits) < 10
    texts = [str(finding) for audit in audits for finding in audit.findings]
    assert any("1995 more entries that TF Serving would serve and no push made" in text for text in texts)
    assert len(texts) < 150


def test_an_audit_of_everything_names_an_old_version_that_is_gone_and_passes(root):
    shutil.rmtree(root / "serving/1")
    [audit] = audit_all(root)
    [finding] = audit.findings
    assert str(finding) == "COMPLETENESS WARN push: serving/1: was pushed and not pruned, and is not there"
    assert audit.verdicts == ALL_PASS


@pytest.mark.parametrize("instead", [[], [lambda path: path.write_bytes(b"")]], ids=["nothing", "a file"])
def test_an_audit_of_everything_fails_where_the_newest_version_is_gone(root, instead):
    shutil.rmtree(root / "serving/2")
    for put in instead:
        put(root / "serving/2")
    audits = audit_all(root)
    assert audits[0].first(COMPLETENESS).where == "serving/2"
    assert audit_answer(audits, {}).exit_code == 1


@pytest.mark.parametrize(("typo", "hint"), [("roat", "root"), ("rooot", "root"), ("elsewhere", None)])
def test_audit_of_a_root_that_is_not_there_says_so_and_names_the_one_meant(root, typo, hint):
    code, text = invoke(audit_command, "--root", root.parent / typo)
    assert (code, "no such folder" in text) == (2, True)
    assert ("did you mean" in text) == (hint is not None)
    assert hint is None or text.endswith(f"did you mean {root.parent / hint}?")


def test_audit_of_a_folder_in_which_nothing_ran_says_so(tmp_path):
    code, text = invoke(audit_command, "--root", tmp_path)
    assert (code, "no pipeline has run here" in text) == (2, True)


def test_each_verdict_says_what_was_compared_and_what_was_not(root, pods, tmp_path):
    whole = audit_all(root)[0].scopes
    assert whole[INTEGRITY].compared == "31 files (0.0 MB), 12 records"
    assert whole[COMPLETENESS].compared == "12 records, 39 ledger lines, 12 executions in the metadata store"
    assert (whole[COMPLETENESS].left_out, whole[POLICY].left_out) == (
        None,
        "anchored, approved, which the policy turns off",
    )
    assert audit_version(root).scopes[COMPLETENESS].left_out == "other executions in the metadata store"
    alone = audit_path(Path(shutil.copytree(root / "serving/1", tmp_path / "alone"))).scopes
    assert alone[COMPLETENESS].left_out == "records, ledger and metadata store"
    RunPaths(pods).metadata.unlink()
    code, text = invoke(audit_command, "--root", pods)
    [line, _] = [line for line in text.splitlines() if line.startswith(COMPLETENESS)]
    assert (code, line.split()[1]) == (0, PASS)
    assert line.endswith("not compared: no metadata store of this root's: executions were not compared")


@pytest.mark.parametrize(("allow", "code"), [((), 5), (("--allow-unknown",), 0)])
@pytest.mark.parametrize("name", ["gone.db", "a" * 5000], ids=["gone", "no file's name"])
def test_unknown_without_a_fail_cannot_tell(root, allow, code, name):
    (root / "root.json").write_text(json.dumps({"metadata": str(root / name), "path": str(root)}))
    assert audit_json("--root", root, *allow)[0] == code
    (root / "serving/1/saved_model.pb").write_bytes(b"")
    assert audit_json("--root", root, *allow)[0] == 1


def test_a_path_inside_a_root_is_audited_with_it(root):
    assert audit_path(root / "serving" / "1").verdicts == ALL_PASS


def test_a_copy_elsewhere_is_known_by_its_manifest_alone(root, tmp_path):
    elsewhere = shutil.copytree(root / "serving" / "1", tmp_path / "elsewhere")
    code, answer = audit_json(elsewhere)
    wanted = {INTEGRITY: PASS, COMPLETENESS: UNKNOWN, POLICY: UNKNOWN}
    assert (code, answer["audits"][0]["verdicts"]) == (5, wanted)
    problems = in_process("lineage", "audit", elsewhere, "--json").envelope["error"]["problems"]
    assert {problem["what"].split()[0] for problem in problems} == {COMPLETENESS, POLICY}
    assert audit_json(elsewhere, "--allow-unknown")[0] == 0


def test_a_changed_copy_elsewhere_fails(root, tmp_path):
    elsewhere = shutil.copytree(root / "serving" / "1", tmp_path / "elsewhere")
    (elsewhere / "saved_model.pb").write_bytes(saved_model(main=[("ReadFile", ())]))
    found = audit_path(elsewhere)
    assert found.verdicts == {INTEGRITY: FAIL, COMPLETENESS: UNKNOWN, POLICY: FAIL}
    assert found.first(POLICY).what == "op ReadFile"


def test_a_failure_names_the_file_and_shows_wanted_and_got(root):
    (root / "serving/2/variables/variables.data-00000-of-00001").write_bytes(b"x" * 7)
    code, text = invoke(audit_command, "--root", root)
    assert code == 1
    assert "INTEGRITY     FAIL    serving/2/variables/variables.data-00000-of-00001" in text
    assert "wanted" in text
    assert "got 7 bytes" in text


@pytest.mark.fault(16)
def test_a_version_that_was_replaced_is_told_from_a_changed_one(root):
    shutil.rmtree(root / "serving/1")
    shutil.copytree(root / "serving/2", root / "serving/1")
    found = audit_version(root, 1).first(INTEGRITY)
    assert found.where == "serving/1"
    assert "digest belongs to version 2" in found.what


def test_a_version_that_nobody_pushed_is_served_but_unrecorded(root):
    shutil.copytree(root / "serving/2", root / "serving/3")
    found = audit_version(root)
    assert found.version == 3
    assert found.verdicts[COMPLETENESS] == FAIL
    assert "no push of it is recorded" in found.first(COMPLETENESS).what


@pytest.mark.fault(10)
def test_a_push_whose_record_comes_while_it_is_looked_at_is_no_finding(root):
    """Between a push and its line in the ledger a version looks as one that nobody pushed."""
    ledger = root / "ledger.jsonl"
    whole = ledger.read_bytes()
    lines = whole.splitlines(keepends=True)
    pushed = 1 + max(number for number, line in enumerate(lines) if json.loads(line)["event"] == "intent")
    ledger.write_bytes(b"".join(lines[:pushed]))
    arrives = threading.Timer(0.3, lambda: ledger.write_bytes(whole))
    arrives.start()
    audit = audit_version(root)
    arrives.join()
    assert (audit.verdicts["INTEGRITY"], audit.verdicts["COMPLETENESS"]) == ("PASS", "PASS")
    ledger.write_bytes(b"".join(lines[:pushed]))
    assert "FAIL" in audit_version(root).verdicts.values()


def test_a_version_without_a_manifest_fails(root):
    (root / "serving/2/assets.extra/provenance.json").unlink()
    found = audit_version(root)
    assert found.verdicts[INTEGRITY] == FAIL
    assert found.first(INTEGRITY).where == "serving/2/assets.extra/provenance.json"


@pytest.mark.parametrize("statement", ["{}", "[]", "nonsense", '{"_type": 1}'])
def test_a_manifest_that_is_none_fails(root, statement):
    (root / "serving/2/assets.extra/provenance.json").write_text(statement)
    assert audit_version(root).first(INTEGRITY).where == "serving/2/assets.extra/provenance.json"


def test_a_manifest_of_odd_values_fails(root):
    path = root / "serving/2/assets.extra/provenance.json"
    statement = json.loads(path.read_text())
    for odd in (None, 3, [], {}, ["x"], {"name": 1}):
        statement["subject"] = odd
        path.write_text(json.dumps(statement))
        assert audit_version(root).verdicts[INTEGRITY] == FAIL


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100])
def test_a_lost_store_is_a_finding_and_stays_as_it_is(root, content):
    path = root / "metadata.db"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = audit_version(root)
    assert found.verdicts == {INTEGRITY: PASS, COMPLETENESS: FAIL, POLICY: PASS}
    assert "records and ledger are enough" in found.first(COMPLETENESS).what
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_store_that_aborts_its_reader_is_a_finding(root):
    import sqlite3

    connection = sqlite3.connect(root / "metadata.db")
    connection.execute("DELETE FROM Execution WHERE id = 12")
    connection.commit()
    connection.close()
    found = audit_version(root, 1)
    assert "SIGABRT" in {finding.got for finding in found.findings}
    assert "(Pusher)" in found.first(COMPLETENESS).where


def test_a_lost_ledger_is_a_finding(root):
    (root / "ledger.jsonl").unlink()
    assert audit_version(root).verdicts[COMPLETENESS] == FAIL


def test_a_record_that_a_crash_left_uncommitted_is_no_finding(root):
    from pipeline.provenance import record_store

    [record, *_] = [r for r in record_store.scan(root / "records").values() if r.kind == "execution"]
    Ledger.open(root / "ledger.jsonl").intent(node=record.node, run_id="run-9", key="k")
    left = type(record).from_dict({**_fields(record), "run_id": "run-9", "key": "k"})
    record_store.write(root / "records", left)
    (root / "records" / ".new-1").write_text("{")
    assert audit_version(root).verdicts == ALL_PASS


def _fields(record):
    return {name: value for name, value in record.to_dict().items() if name not in ("schema_version", "kind")}


def test_the_head_kept_elsewhere_is_an_anchor(root):
    code, text = invoke(head_command, "--root", root)
    assert code == 0
    code, answer = audit_json("--root", root, "--expect-head", text.strip())
    assert (code, answer["audits"][0]["anchor"]["kind"]) == (0, "head")


@pytest.mark.fault(17)
def test_a_cut_tail_is_found_against_the_head_alone_and_the_rest_says_so(root):
    kept = invoke(head_command, "--root", root)[1].strip()
    lines = (root / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (root / "ledger.jsonl").write_bytes(b"".join(lines[:-1]))
    assert "not proven" in audit_version(root).anchor.detail
    code, answer = audit_json("--root", root, "--expect-head", kept)
    assert code == 1
    [found] = [f for f in answer["audits"][0]["findings"] if f["verdict"] == INTEGRITY]
    assert found["where"] == f"ledger.jsonl line {len(lines)}"
    assert "tail was cut" in found["what"]


def test_the_head_is_checked_by_its_own_command(root):
    kept = invoke(head_command, "--root", root)[1].strip()
    for expected, wanted in ((kept, 0), (f"{kept[:-1]}{'0' if kept[-1] != '0' else '1'}", 1)):
        answer = in_process("lineage", "head", "--root", root, "--expect-head", expected, "--json")
        assert (answer.code, answer.json["problem"] is None) == (wanted, not wanted)


@pytest.mark.parametrize("arguments", [("--expect-head", "nonsense"), ("7",), ("9" * 5000,), ("/nowhere/at/all",)])
def test_unusable_arguments_are_refused(root, arguments):
    assert invoke(audit_command, *arguments, "--root", root)[0] == ExitCode.BAD_INPUT


@pytest.mark.parametrize("held", [3, rules.MOST_HELD])
def test_an_image_of_the_test_split_in_the_training_data_is_a_leak(tmp_path, monkeypatch, held):
    monkeypatch.setattr(rules, "MOST_HELD", held)  # of 22
    leaky = build(tmp_path / "leaky", rows={**ROWS, "test": range(38, 60)})
    found = audit_version(leaky)
    assert found.verdicts == {**ALL_PASS, POLICY: FAIL}
    leaks = [finding for finding in found.findings if finding.link == "leaks"]
    assert [finding.where.split("(")[1] for finding in leaks] == ["Autoencoder)", "Classifier)"]
    assert leaks[0].got.startswith("2, ")


@pytest.mark.parametrize(("level", "verdict"), [("fail", FAIL), ("warn", PASS), ("off", PASS)])
def test_a_dirty_tree_counts_as_the_policy_says(tmp_path, level, verdict):
    dirty = build(tmp_path / "dirty", git_tree="dirty")
    found = audit_version(dirty, None, with_rules(clean_tree=level))
    assert found.verdicts[POLICY] == verdict
    assert [finding.level for finding in found.findings] == ([] if level == "off" else [level.upper()])


@pytest.fixture
def pods(tmp_path) -> Path:
    """A root whose executions were pods', beside a metadata store that knows them as if they had been its own."""
    return build(tmp_path / "pods", by_pods=True)


def test_what_pods_executed_passes_without_a_store(pods):
    RunPaths(pods).metadata.unlink()
    assert audit_version(pods).verdicts == ALL_PASS


def test_a_store_that_knows_what_pods_made_has_to_agree(pods):
    assert audit_version(pods).verdicts == ALL_PASS
    with sqlite3.connect(RunPaths(pods).metadata) as database:
        database.execute("UPDATE ArtifactProperty SET string_value = 'other' WHERE name = 'sha256'")
    assert audit_version(pods).verdicts == {**ALL_PASS, COMPLETENESS: FAIL}


def test_a_store_that_was_named_and_never_saw_the_pods_is_no_witness(pods, root):
    elsewhere = RunPaths(root).metadata.rename(root / "elsewhere.db")
    RunPaths(pods).metadata.unlink()
    found = audit_version(pods, None, AuditOptions(metadata=SqliteFile(path=elsewhere)))
    assert found.verdicts == {**ALL_PASS, COMPLETENESS: UNKNOWN}


def test_a_local_record_that_says_a_pod_made_it_contradicts_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(Builder, "_path", lambda _, node, channel, salt: f"artifacts/{node}/{channel}/{salt}")
    relabelled = build(tmp_path / "relabelled", by_pods=True)
    RunPaths(relabelled).metadata.unlink()
    found = audit_version(relabelled)
    assert found.verdicts[INTEGRITY] == FAIL
    assert "says that a pod made" in found.first(INTEGRITY).what


def test_a_policy_may_ask_for_an_anchor(root):
    asked = with_rules(anchored="fail")
    assert audit_version(root, None, asked).verdicts[POLICY] == FAIL
    kept = AuditOptions(policy=asked.policy, head=read_ledger(root / "ledger.jsonl").head)
    assert audit_version(root, None, kept).verdicts == ALL_PASS


def test_a_signature_costs_no_second_hash_of_the_files(root, tmp_path, monkeypatch):
    pair = keys.generate(tmp_path / "signer")
    signing.sign(root / "serving" / "2", keys.load_private(pair.private, lambda: None))
    hashers, new = [], plain_files.Hasher.__init__
    monkeypatch.setattr(plain_files.Hasher, "__init__", lambda self, *of: (hashers.append(self), new(self, *of))[1])
    assert audit_version(root, 2, AuditOptions(key=pair.public)).anchor.kind == "signature"
    assert len(hashers) == 1


def test_a_signature_is_an_anchor_and_a_wrong_one_a_finding(root, tmp_path):
    pairs = [keys.generate(tmp_path / name) for name in ("mine", "theirs")]
    signing.sign(root / "serving/2", keys.load_private(pairs[0].private, lambda: None))
    found = audit_version(root, None, AuditOptions(key=pairs[0].public))
    assert (found.verdicts, found.anchor.kind) == (ALL_PASS, "signature")
    elsewhere = shutil.copytree(root / "serving/2", tmp_path / "elsewhere")
    assert audit_path(elsewhere, AuditOptions(key=pairs[0].public)).anchor.kind == "signature"
    wrong = audit_version(root, None, AuditOptions(key=pairs[1].public))
    assert (wrong.verdicts[INTEGRITY], wrong.anchor.kind) == (FAIL, "none")
    assert wrong.first(INTEGRITY).where == "serving/2/assets.extra/provenance.dsse.json"


def test_a_revoked_key_is_no_anchor_and_a_rotated_one_says_so(root, tmp_path):
    old, new = (keys.load_private(keys.generate(tmp_path / name).private, lambda: None) for name in ("old", "new"))
    signing.sign(root / "serving/2", old)
    asked, ledger = AuditOptions(key=tmp_path / "old" / keys.PUBLIC_FILE), Ledger.open(root / "ledger.jsonl")
    add_key(ledger, old.public, "Ada", Person(by="Ops"))
    rotate_key(ledger, old, new.public, Person(by="Ada"))
    rotated = audit_version(root, 2, asked)
    assert (rotated.verdicts, rotated.anchor.kind) == (ALL_PASS, "signature")
    assert "rotated since" in rotated.anchor.detail
    revoke_key(ledger, old.public.keyid, Person(by="Ops"))
    revoked = audit_version(root, 2, asked)
    assert (revoked.verdicts[INTEGRITY], revoked.anchor.kind) == (FAIL, "none")
    assert "cannot tell whether it was made before its key was revoked" in revoked.first(INTEGRITY).what


def test_a_link_is_not_followed_and_a_fifo_is_not_waited_for(root, tmp_path):
    data = root / "serving/2/variables/variables.data-00000-of-00001"
    data.rename(tmp_path / "kept")
    data.symlink_to(tmp_path / "kept")
    os.mkfifo(root / "serving/2/pipe")
    found = audit_version(root)
    assert {f.where for f in found.findings if f.verdict == INTEGRITY} == {
        "serving/2/pipe",
        "serving/2/variables/variables.data-00000-of-00001",
        "serving/2",
    }


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_plain_file_is_not_read(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(plain_files.NotPlain, match="no plain file"):
        plain_files.read_plain(tmp_path / "x")


@pytest.mark.parametrize(
    "name", ["root.json", "metadata.db", "ledger.jsonl", "record", "gate.json", "serving/2/saved_model.pb"]
)
@pytest.mark.parametrize("what", ["FIFO", "brackets", "large"])
def test_whatever_an_audit_reads_is_a_regular_file_or_a_finding(root, name, what):
    places = {"record": "records/*.json", "gate.json": "artifacts/*/*/*/gate.json"}
    path = min(root.glob(places.get(name, name)))
    path.unlink()
    if what == "FIFO":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.write(b"[" * 100_000)
            file.truncate((1 << 33) if what == "large" and name != "serving/2/saved_model.pb" else 100_000)
    started = time.monotonic()
    audits = audit_all(root)
    assert time.monotonic() - started < 20
    assert (
        audit_answer(audits, {}).exit_code == 1
    )  # without root.json nothing tells where the root lay when its store was written


def test_a_file_name_cannot_forge_a_line(root):
    (root / "serving/2/a\nINTEGRITY     PASS").write_bytes(b"")
    text = invoke(audit_command, "newest", "--root", root)[1]
    assert [line for line in text.splitlines() if line.startswith("INTEGRITY     PASS")] == []


def test_an_audit_imports_neither_tensorflow_nor_tfx(root):
    code = "import sys; from pathlib import Path; from pipeline.audit.audit import audit_version; audit_version(Path(sys.argv[1]));"
    code += (
        "assert not {'tensorflow', 'tfx', 'numpy', 'ml_metadata', 'pydantic'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, root], check=True, cwd=PROJECT)


@pytest.mark.parametrize("name", [" 3", "1 ", "+2", "02", "-4"])
def test_a_child_that_tf_serving_parses_as_a_version_is_found_by_every_audit(root, name):
    shutil.copytree(root / "serving/1", root / "serving" / name)
    for found in (audit_version(root, 1), *audit_all(root)):
        [finding] = [f for f in found.findings if f.where == f"serving/{name}" and "TF Serving would serve" in f.what]
        assert (finding.verdict, finding.level) == (INTEGRITY, FAIL)


def test_a_number_that_is_a_file_is_found(root):
    (root / "serving/7").write_bytes(b"x")
    assert audit_version(root).first(INTEGRITY).where == "serving/7"


def test_an_oddly_named_version_is_audited_where_it_lies(root):
    shutil.copytree(root / "serving/2", root / "serving/03")
    (root / "serving/03/extra").write_bytes(b"x")
    for found in (audit_version(root), audit_path(root / "serving/03")):
        assert (found.version, found.path) == (3, "serving/03")
        assert "serving/03/extra" in {finding.where for finding in found.findings}


@pytest.mark.parametrize(("sequence", "kind"), [(0, "none"), (-1, "head")])
def test_a_head_anchors_only_the_versions_pushed_before_it(root, sequence, kind):
    lines = read_ledger(root / "ledger.jsonl").lines
    pushes = [line for line in lines if line.event == Event.PUSHED]
    line = (pushes[0], lines[-1])[sequence]
    asked = AuditOptions(head=Head(line.sequence, line.digest))
    assert audit_version(root, 1, asked).anchor.kind == "head"
    newest = audit_version(root, 2, asked)
    assert (newest.anchor.kind, newest.verdicts) == (kind, ALL_PASS)
    assert ("taken before this version was pushed" in newest.anchor.detail) == (kind == "none")


def test_the_head_of_an_empty_ledger_is_refused():
    with pytest.raises(BadInput, match="no anchor"):
        AuditOptions(head=Head())


@pytest.mark.parametrize("place", ["serving", "serving/2"])
def test_a_link_on_the_way_to_a_version_is_one_finding_and_not_followed(root, tmp_path, place):
    (root / place).rename(tmp_path / "kept")
    (root / place).symlink_to(tmp_path / "kept")
    asked = (audit_version(root), audit_version(root, 2), audit_path(root / "serving/2"))
    for found in (*asked, audit_all(root)[-1]):
        [finding] = [f for f in found.findings if f.verdict == INTEGRITY]
        assert (finding.where, finding.what) == (place, f"was replaced by a symlink to {tmp_path / 'kept'}")
        assert found.verdicts == {INTEGRITY: FAIL, COMPLETENESS: UNKNOWN, POLICY: UNKNOWN}
        assert found.counts.files == 0


def test_a_pass_with_a_warning_counts_it_and_names_no_file(tmp_path):
    dirty, rules = build(tmp_path / "dirty", git_tree="dirty"), tmp_path / "policy.yaml"
    rules.write_text("version: 1\nrules:\n  clean_tree: warn\n")
    code, text = invoke(audit_command, "newest", "--root", dirty, "--policy", rules)
    [line] = [line for line in text.splitlines() if line.startswith("POLICY ")]
    assert (code, line.partition("  (")[0]) == (0, "POLICY        PASS, 1 warning")


def test_the_anchor_line_says_that_a_signature_waits_for_its_key(root, tmp_path):
    pair = keys.generate(tmp_path / "mine")
    hint = "a signature is there: --key PUBLIC.pem checks it"
    assert hint not in invoke(audit_command, "--root", root)[1]
    signing.sign(root / "serving/2", keys.load_private(pair.private, lambda: None))
    assert hint in invoke(audit_command, "--root", root)[1]
    assert hint not in invoke(audit_command, "--root", root, "--key", pair.public)[1]


BROKEN_IDENTITIES = {
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "no object": b"[]",
    "a number for a path": b'{"path": 5}',
    "a NUL in the path": b'{"path": "\\u0000"}',
    "deeply nested": b"[" * 3000,
}


@pytest.mark.parametrize("kind", BROKEN_IDENTITIES)
def test_a_damaged_root_json_is_a_finding_and_the_audit_goes_on(template, kind):
    before = (template / "root.json").read_bytes()
    try:
        (template / "root.json").write_bytes(BROKEN_IDENTITIES[kind])
        audits = audit_all(template)
    finally:
        (template / "root.json").write_bytes(before)
    assert [audit.version for audit in audits] == [1, 2]
    for audit in audits:
        [finding] = audit.findings  # the root lies where it was written, so nothing else is wrong
        assert (finding.verdict, finding.level, finding.where) == (INTEGRITY, FAIL, "root.json")
