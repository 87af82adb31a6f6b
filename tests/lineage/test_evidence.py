"""What an auditor is shown: the same bytes every time, nothing from the network, and a script that finds every change."""

import ast
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import browser
import pytest
from command_line import mnist_tfx
from lineage.audited_copy import audited_copy
from lineage.staged_root import staged_copy

from components.digest import canonical_json
from components.errors import BadInput, EnvironmentProblem
from pipeline.audit.audit import AuditOptions
from pipeline.lineage.evidence import check, collect_facts, pdf, words, write_evidence
from pipeline.lineage.evidence.page import page
from pipeline.lineage.periods import period_of
from pipeline.lineage.show import statement_of
from pipeline.maintenance.prune import prune
from pipeline.provenance import keys, signing
from pipeline.provenance.approval_writer import Person, add_key, approve, revoke_key, withdraw
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger

VERSION = 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with versions 1 and 2, of which nobody changes anything."""
    return audited_copy(tmp_path_factory.mktemp("roots") / "root").root


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A root whose version 1 is signed, and the public key."""
    folder = tmp_path_factory.mktemp("signed")
    paths = audited_copy(folder / "root")
    pair = keys.generate(folder / "keys", algorithm=keys.ED25519)
    signing.sign(paths.serving / "1", keys.load_private(pair.private, str))
    return paths.root, pair.public


@pytest.fixture(scope="module")
def packed(signed):
    """The bytes of a package with model and public key."""
    root, public = signed
    stream = io.BytesIO()
    write_evidence(root, VERSION, stream, form="zip", options=AuditOptions(key=public), with_model=True)
    return stream.getvalue()


@pytest.fixture
def package(packed, tmp_path):
    """The folder that it is unpacked into."""
    folder = tmp_path / "evidence"
    zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
    return folder


def checked(folder: Path, *arguments: object, env=None) -> tuple[int, str]:
    """Runs the package's own script in an interpreter that sees nothing of this project."""
    done = subprocess.run(
        [sys.executable, "-I", folder / "check.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=env,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def pack_again(folder: Path) -> None:
    """Makes the manifest agree with what is there, as somebody would who changes a file."""
    names = [path for path in folder.rglob("*") if path.is_file() and path.name != check.MANIFEST]
    entries = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in names
    }
    (folder / check.MANIFEST).write_bytes(canonical_json(entries))


@pytest.mark.parametrize("form", ["html", "zip"])
def test_the_same_root_gives_the_same_bytes_wherever_it_is(root, tmp_path, form):
    moved = shutil.copytree(root, tmp_path / "moved")
    written = []
    for number, place in enumerate((root, root, moved)):
        target = tmp_path / f"{number}.{form}"
        write_evidence(place, VERSION, target)
        written.append(target.read_bytes())
    assert len(set(written)) == 1


def test_the_page_says_when_of_what_by_whom_and_what_is_not_proven(root):
    facts = collect_facts(root, VERSION)
    text = page(facts)
    for wanted in (
        facts.sha256,
        "when version 2 took its place",
        "not stated in the recipe",
        "commit aaaaaaaa",
        "Are these the bytes that were recorded? <strong>Yes.</strong>",
        "It is not signed",
        "What this does not prove",
        "python3 evidence/check.py",
        *(file.sha256 for file in facts.data.files),
        *facts.executions,
    ):
        assert wanted in text


def test_the_page_asks_nothing_of_anybody(root):
    text = page(collect_facts(root))
    assert "default-src 'none'" in text
    assert not re.findall(r"<(?:script|img|link|iframe|object)|\b(?:src|href)=|https?://|@import|url\(", text)


@pytest.mark.skipif(browser.executable() is None, reason="no Chromium: apt-get install chromium")
def test_a_browser_shows_the_page_at_any_width_and_requests_it_alone(root, tmp_path):
    written = tmp_path / "evidence.html"
    write_evidence(root, VERSION, written)
    with browser.started(browser.executable(), tmp_path / "profile") as chromium:
        for width in (400, 1400):
            chromium.open(written, width=width)
            assert [one["request"]["url"] for one in chromium.seen("Network.requestWillBeSent")] == [written.as_uri()]
            assert not chromium.seen("Log.entryAdded")
            assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_wrong_is_written_all_the_same_and_said(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "root")
    file = next(path for path in (copy / "serving" / "1").rglob("*.pb"))
    file.write_bytes(file.read_bytes() + b"x")
    answer = mnist_tfx("lineage", "evidence", "1", "-o", tmp_path / "e.html", "--root", copy)
    text = (tmp_path / "e.html").read_text()
    assert answer.code == 1
    assert "recorded? <strong>No.</strong>" in text
    assert file.name in text
    assert "The audit found something wrong" in text


def test_the_command_says_what_to_keep_elsewhere(root, tmp_path):
    target = tmp_path / "evidence.zip"
    data = mnist_tfx("lineage", "evidence", "2", "-o", target, "--root", root, "--json").json
    assert data["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert data["head"] == str(read_ledger(root / "ledger.jsonl").head)
    assert data["audit"]["verdicts"]["INTEGRITY"] == "PASS"


def test_the_page_says_who_approved_this_very_model_and_whether_it_counts(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "root")
    assert "No approval of this model is on record" in page(collect_facts(copy, VERSION))
    ledger = Ledger.open(copy / "ledger.jsonl")
    sha256 = ledger.chain.push(VERSION).sha256
    approve(ledger, "version", "version 1", sha256, Person(by="Ada <b>", reason="looked at 50 images"), None)
    facts = collect_facts(copy, VERSION)
    assert [one.by for one in facts.approvals] == ["Ada <b>"]
    assert "Ada &lt;b&gt;" in page(facts)
    assert "no: not signed" in page(facts)
    assert collect_facts(copy, 2).approvals == ()


def test_the_page_says_who_approved_the_schema_with_which_key(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "root")
    pair = keys.generate(tmp_path / "ada", algorithm=keys.ED25519)
    [schema] = collect_facts(copy, VERSION).schemas
    assert "No approval of this schema by a person is on record" in page(collect_facts(copy, VERSION))
    ledger = Ledger.open(copy / "ledger.jsonl")
    add_key(ledger, keys.load_public(pair.public), "Ada", Person(by="Ops"))
    key = keys.load_private(pair.private, str)
    approve(ledger, "schema", "28x28", schema.sha256, Person(by="Ada", reason="checked against the scans"), key)
    facts = collect_facts(copy, VERSION)
    assert (facts.approvals, [one.by for one in facts.schemas[0].approvals]) == ((), ["Ada"])
    for wanted in ("checked against the scans", f"yes: signed by key {pair.keyid[:16]}, which was in force"):
        assert wanted in page(facts)
    assert facts.to_dict()["schemas"][0]["approvals"][0]["keyid"] == pair.keyid


def test_a_withdrawn_approval_is_told_as_history(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "root")
    ledger = Ledger.open(copy / "ledger.jsonl")
    sha256 = ledger.chain.push(VERSION).sha256
    approve(ledger, "version", "version 1", sha256, Person(by="Ada"), None)
    withdraw(ledger, "version", "version 1", sha256, Person(by="Ops", reason="wrong labels"), None)
    assert "no: not signed; withdrawn by Ops" in page(collect_facts(copy, VERSION))


@pytest.fixture(scope="module")
def pruned(signed, tmp_path_factory):
    """A root whose signed version 1 was pruned, and what was served of it."""
    folder = tmp_path_factory.mktemp("pruned")
    copy = shutil.copytree(signed[0], folder / "root", symlinks=True)
    served = shutil.copytree(copy / "serving" / "1", folder / "kept")
    prune(copy, 1)
    return copy, served


def test_a_pruned_version_is_told_of_by_its_records_and_what_cannot_be_proven_is_said(pruned, signed, tmp_path):
    root, served = pruned
    assert statement_of(root, 1) == (served / "assets.extra/provenance.json").read_bytes()
    assert mnist_tfx("lineage", "show", 1, "--root", root, "--json").json["removed"] is not None
    answer = mnist_tfx("lineage", "evidence", 1, "-o", tmp_path / "e.zip", "--root", root, "--key", signed[1])
    assert (answer.code, "INTEGRITY     UNKNOWN" in answer.out, "COMPLETENESS  PASS" in answer.out) == (5, True, True)
    zipfile.ZipFile(tmp_path / "e.zip").extractall(tmp_path / "e")
    text = (tmp_path / "e" / "evidence.html").read_text()
    for wanted in ("Its files were removed from the folder", "recorded? <strong>It cannot be told.", "they are gone"):
        assert wanted in text
    code, out = checked(tmp_path / "e")
    assert (code, "WRONG" in out) == (0, False)
    assert "removes version 1" in out
    assert "NOT CHECKED  model      the served files are gone" in out
    assert checked(tmp_path / "e", "--key", signed[1])[0] == 5
    assert "served files are those that the statement names" in checked(tmp_path / "e", "--model", served)[1]
    (served / "saved_model.pb").write_bytes(b"another")
    assert checked(tmp_path / "e", "--model", served)[0] == 1


def test_a_pruned_version_whose_record_is_gone_is_said_to_be_told_of_by_nothing(pruned, tmp_path):
    copy = shutil.copytree(pruned[0], tmp_path / "root", symlinks=True)
    push = read_ledger(copy / "ledger.jsonl").push(1)
    (copy / "records" / f"{push.record}.json").unlink()
    answer = mnist_tfx("lineage", "evidence", 1, "-o", tmp_path / "e.html", "--root", copy)
    assert (answer.code, answer.err.count("\n")) == (4, 1)
    assert mnist_tfx("lineage", "audit", 1, "--root", copy).code == 1


def test_evidence_of_a_staged_version_says_that_it_was_never_in_service(tmp_path):
    paths = staged_copy(tmp_path / "root")
    write_evidence(paths.root, 3, tmp_path / "e.zip", with_model=True)
    zipfile.ZipFile(tmp_path / "e.zip").extractall(tmp_path / "e")
    assert "never: it waits for its promotion since" in (tmp_path / "e" / "evidence.html").read_text()
    code, out = checked(tmp_path / "e")
    assert (code, "WRONG" in out) == (0, False)
    assert "served files are those that the statement names" in out


def test_a_name_that_is_no_form_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(BadInput, match=r"wanted \.html or \.pdf or \.zip, got docx"):
        write_evidence(tmp_path / "no root", None, tmp_path / "evidence.docx")


def test_without_chromium_a_pdf_is_refused_in_one_sentence(root, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "PROGRAMS", ("no-such-browser",))
    with pytest.raises(EnvironmentProblem, match=r"no Chromium here.*write FILE\.html"):
        write_evidence(root, VERSION, tmp_path / "evidence.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(browser.executable() is None, reason="no Chromium: apt-get install chromium")
def test_a_pdf_has_the_time_of_the_push_and_not_of_the_printing(root, tmp_path):
    facts = write_evidence(root, VERSION, tmp_path / "evidence.pdf")
    data = (tmp_path / "evidence.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert re.findall(rb"/CreationDate \(D:(\d{14})", data) == [re.sub(r"\D", "", facts.time)[:14].encode()]


def test_a_version_was_in_service_until_a_higher_one_was_pushed_or_it_was_removed(root, tmp_path):
    ledger = Ledger.open(shutil.copy(root / "ledger.jsonl", tmp_path / "ledger.jsonl"))
    first, second = (period_of(ledger.chain, version) for version in (1, 2))
    assert (first.end, first.why) == (second.start, "version 2 took its place")
    assert (second.end, second.why) == (None, None)
    assert period_of(ledger.chain, 3).start is None


def test_a_rule_that_was_not_asked_is_not_called_kept(root):
    states = {rule.name: rule.state for rule in words.rules(collect_facts(root))}
    assert states["anchored"] == "not asked"
    assert states["leaks"] == "kept"


def test_the_script_needs_nothing_that_python_3_8_lacks():
    source = Path(check.__file__).read_text()
    ast.parse(source, feature_version=(3, 8))
    imported = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    assert set(imported) <= set(sys.stdlib_module_names)
    assert newer_than_3_8(source) == set()


ADDED_SINCE = {
    "names": {"aiter", "anext", "BaseExceptionGroup", "ExceptionGroup", "EncodingWarning"},
    "attributes": {
        *("removeprefix", "removesuffix", "is_relative_to", "with_stem", "readlink", "hardlink_to"),
        *("randbytes", "bit_count", "to_thread", "pairwise", "batched", "file_digest", "cache", "nextafter", "ulp"),
        *("stdlib_module_names", "orig_argv", "exception", "get_annotations", "BooleanOptionalAction"),
    },
    "keywords": {
        "strict",
        "newline",
        "kw_only",
        "slots",
        "ignore_cleanup_errors",
        "usedforsecurity",
        "encoding_errors",
    },
    "modules": {"tomllib", "zoneinfo", "graphlib"},
}
"""What came to Python after 3.8 and a script of this kind might use."""


def of_sets(node):
    return isinstance(node, ast.BinOp) and getattr(getattr(node.left, "func", None), "id", "") == "set"


def newer_than_3_8(source):
    """Names, attributes, keywords and operators of a source that Python 3.8 does not have, by a look at its tree."""
    tree = ast.parse(source, feature_version=(3, 8))
    for node in ast.walk(tree):  # with __future__.annotations nobody evaluates these
        for field in ("annotation", "returns"):
            if isinstance(getattr(node, field, None), ast.expr):
                setattr(node, field, None)
    checking = [
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    tree.body = [node for node in tree.body if node not in checking]
    seen = set()
    for node in ast.walk(tree):
        kinds = {
            "names": getattr(node, "id", None),
            "attributes": getattr(node, "attr", None),
            "keywords": node.arg if isinstance(node, ast.keyword) else None,
            "modules": getattr(node, "module", None),
        }
        seen |= {name for kind, name in kinds.items() if name in ADDED_SINCE[kind]}
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in (
            "list",
            "dict",
            "tuple",
            "set",
            "type",
        ):
            seen.add(f"{node.value.id}[]")
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.BitOr) and not of_sets(node):
            seen.add("|")  # of dicts, or of types
    return seen


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.13"])
def test_the_script_runs_under_other_pythons_that_are_here(package, version):
    # A shim of pyenv is there for every version, and starts the one that this names.
    env = {**os.environ, "PYENV_VERSION": version}
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], env=env, capture_output=True, check=False).returncode:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([python, "-I", package / "check.py"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "WRONG" not in done.stdout


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("'x'.removeprefix('y')", "removeprefix"),
        ("zip(a, b, strict=True)", "strict"),
        ("Line = list[str]", "list[]"),
        ("a | b", "|"),
        ("import math; math.nextafter(1, 2)", "nextafter"),
    ],
)
def test_the_check_for_old_pythons_finds_what_is_too_new(source, name):
    assert newer_than_3_8(source) == {name}


def test_a_package_holds_by_itself(package, signed):
    code, out = checked(package)
    assert code == 0, out
    assert "WRONG" not in out
    assert out.count("NOT CHECKED") == 1  # whether all of it was rewritten
    assert "that came with the package" in out
    code, out = checked(package, "--key", signed[1], "--expect-head", read_ledger(signed[0] / "ledger.jsonl").head)
    assert code == 0
    assert "NOT CHECKED" not in out


def test_a_revoked_key_vouches_for_nothing_on_the_page_and_is_left_open_by_the_script(signed, tmp_path, capsys):
    root = shutil.copytree(signed[0], tmp_path / "root")
    options, key = AuditOptions(key=signed[1]), keys.load_public(signed[1])
    ledger = Ledger.open(root / "ledger.jsonl")
    add_key(ledger, key, "Ada", Person(by="Ops"))
    revoke_key(ledger, key.keyid, Person(by="Ops"))
    facts = collect_facts(root, VERSION, options)
    assert facts.signature.checked is False
    assert words.signature(facts).startswith("NOT vouched for by the key that was given: ")
    with (tmp_path / "evidence.zip").open("wb") as stream:
        write_evidence(root, VERSION, stream, form="zip", options=options)
    shutil.unpack_archive(tmp_path / "evidence.zip", tmp_path / "package")
    assert check.main([str(tmp_path / "package"), "--key", str(signed[1])]) == 5
    assert "NOT CHECKED  signature  when it was signed: the key was revoked since" in capsys.readouterr().out


def test_openssl_checks_a_signature_where_there_is_no_package_for_it(package, monkeypatch, signed):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    pem = signed[1].read_bytes()
    envelope = json.loads((package / check.SIGNATURE).read_bytes())
    statement = (package / check.STATEMENT).read_bytes()
    kind = check.PAYLOAD_TYPE.encode()
    data = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement), statement)
    signature = check._decoded(envelope["signatures"][0]["sig"])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert check._verifier() is check._verified_by_openssl
    assert check._verified_by_openssl(pem, signature, data)
    assert not check._verified_by_openssl(pem, signature, data + b" ")


def test_a_signature_that_nothing_here_can_check_is_no_yes(package, monkeypatch, capsys, signed):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", os.devnull)
    assert check.main([str(package), "--key", str(signed[1])]) == 5
    assert "NOT CHECKED  signature  the signature itself: that takes the Python package" in capsys.readouterr().out


def test_files_of_data_and_a_copy_of_the_model_are_recognised(package, signed, tmp_path):
    root, _ = signed
    kept = next(path for path in (root / "inputs").rglob("train-images*") if path.is_file())
    (tmp_path / "other").write_bytes(b"other")
    code, out = checked(package, "--model", root / "serving" / "1", "--data", kept, tmp_path / "other")
    assert code == 1
    assert re.search(rf"^ok +data +{re.escape(str(kept))} is ", out, re.MULTILINE)
    assert re.search(r"^WRONG +data .*other: none of the data files", out, re.MULTILINE)
    assert "served files are those" in out


def names_of(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


@pytest.mark.parametrize("change", ["flip a byte", "append", "delete", "replace by a link"])
def test_a_change_of_any_file_is_found_and_the_file_named(packed, tmp_path, capsys, change):
    missed = []
    for number, name in enumerate(names_of(packed)):
        folder = tmp_path / str(number)
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        tamper(folder / name, change)
        code, out = check.main([str(folder)]), capsys.readouterr().out
        if code != 1 or (name != check.MANIFEST and name not in out):
            missed.append(name)
    assert not missed


def tamper(path: Path, change: str) -> None:
    data = path.read_bytes()
    if change == "flip a byte":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif change == "append":
        path.write_bytes(data + b" ")
    else:
        path.unlink()
        if change == "replace by a link":
            other = path.with_name(path.name + ".other")
            other.write_bytes(data)
            path.symlink_to(other)


def test_a_file_more_is_found(package):
    (package / "records" / "more.json").write_text("{}")
    code, out = checked(package)
    assert code == 1
    assert "records/more.json: nobody packed it" in out


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


LAST_LINE = re.compile(rb"[^\n]*\n\Z")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("statement.json", lambda path: edit(path, b'"recipe":"digits"', b'"recipe":"mnist5"'), "over something else"),
        ("records", lambda path: edit(min(path.iterdir()), b'"seconds":', b'"seconds" :'), "changed, its digest"),
        ("records", lambda path: min(path.iterdir()).unlink(), "missing, and"),
        ("ledger.jsonl", lambda path: edit(path, b'"event":"run"', b'"event":"lost"'), "edited"),
        ("ledger.jsonl", lambda path: path.write_bytes(LAST_LINE.sub(b"", path.read_bytes())), "its head is"),
        ("data-files.json", lambda path: edit(path, b'"sha256":"', b'"sha256":"0'), "not what the records say"),
        ("facts.json", lambda path: edit(path, b'"version":1', b'"version":2'), "was pushed with another model"),
        ("model/saved_model.pb", lambda path: path.write_bytes(b"other"), "saved_model.pb: changed"),
        ("signature.dsse.json", lambda path: edit(path, b'"sig":"', b'"sig":"AAAA'), "not by key"),
    ],
)
def test_a_change_that_the_manifest_was_made_to_agree_with_is_found_by_what_it_contradicts(package, name, change, said):
    change(package / name)
    pack_again(package)
    code, out = checked(package)
    assert code == 1, out
    assert said in out
    assert "WRONG        manifest" not in out


def test_a_ledger_that_was_written_anew_is_found_by_a_head_that_was_kept(package):
    code, out = checked(package, "--expect-head", f"3:{'0' * 64}")
    assert code == 1
    assert "does not hold the expected head" in out


def test_a_package_full_of_nonsense_gets_lines_and_no_traceback(package):
    for path in sorted(package.rglob("*.json")):
        path.write_bytes(b"[" * 100_000)
    code, out = checked(package)
    assert code == 1
    assert out.count("WRONG") >= 5
