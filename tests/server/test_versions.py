"""Which versions are loaded, and from which bytes; nothing is loaded by TensorFlow here."""

import os
import threading
import time
import types

import pytest
from server.tiny_root import TinyRoot

from components.errors import EnvironmentProblem
from components.serving import PROVENANCE
from pipeline.predict.server import versions as under_test
from pipeline.predict.server.status import Code, RequestError
from pipeline.predict.server.verification import Conditions
from pipeline.predict.server.versions import Versions, Wanted
from pipeline.provenance import keys, signing
from pipeline.provenance.approval_writer import Person, add_key, approve, revoke_key, withdraw
from pipeline.provenance.approvals import VERSION
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths


@pytest.fixture
def root(tmp_path):
    """A root with one version, of files that nobody reads as a model here."""
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (model / name).write_text(name)
    tiny = TinyRoot(tmp_path / "root", lambda: {"any": model})
    tiny.push("any")
    return tiny.paths.root


class Loader:
    """Stands where TensorFlow is asked to load, and keeps what it was given."""

    def __init__(self):
        self.files, self.failure = None, None

    def __call__(self, folder, version, digest):
        if self.failure is not None:
            raise self.failure
        self.files = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
        return types.SimpleNamespace(version=version, digest=digest)


@pytest.fixture
def said():
    return []


@pytest.fixture
def load():
    return Loader()


@pytest.fixture
def versions(root, load, said, tmp_path):
    (tmp_path / "scratch").mkdir()
    return Versions(RunPaths(root), Wanted(), load=load, scratch=tmp_path / "scratch", say=said.append)


def test_the_copy_that_is_loaded_holds_the_files_that_were_pushed(versions, load, root, tmp_path):
    versions.refresh()
    served = root / "serving" / "1"
    assert load.files == {str(one.relative_to(served)) for one in served.rglob("*") if one.is_file()}
    assert list((tmp_path / "scratch").iterdir()) == []


def sparse_file(served):
    with (served / "assets.extra" / "more").open("wb") as file:
        file.truncate(1 << 40)


def statement_that_asks_for_a_sparse_file(served):
    path = served / PROVENANCE
    path.write_text(
        path.read_text().replace('"bytes": ', '"bytes": 9999999', 1).replace('"bytes":', '"bytes": 9999999', 1)
    )


def fifo(served):
    os.mkfifo(served / "pipe")


def link_of_a_folder(served):
    (served / "variables").rename(served.parent.parent / "variables")
    (served / "variables").symlink_to(served.parent.parent / "variables")


def name_that_is_not_utf8(served):
    with open(os.fsencode(served) + b"/\xff", "wb"):
        pass


@pytest.mark.parametrize(
    "tamper",
    [sparse_file, statement_that_asks_for_a_sparse_file, fifo, link_of_a_folder, name_that_is_not_utf8],
)
def test_what_is_odd_about_a_version_is_one_line_and_nothing_is_copied_without_bounds(
    versions, root, said, load, tamper
):
    tamper(root / "serving" / "1")
    versions.refresh()
    assert (versions.loaded, load.files) == ({}, None)
    (line,) = said
    assert line.isprintable()
    assert line.startswith("refused version 1: ")
    versions.refresh()  # nothing has changed, and nothing is said again
    assert said == [line]


def test_a_version_that_the_machine_kept_from_being_loaded_is_tried_again(versions, load, said, monkeypatch):
    monkeypatch.setattr(under_test, "AGAIN", 0.0)
    load.failure = EnvironmentProblem("no room", where="/scratch")
    versions.refresh()
    versions.refresh()
    assert (len(said), versions.loaded) == (1, {})
    load.failure = None
    versions.refresh()
    assert list(versions.loaded) == [1]


def test_whatever_looking_raises_what_is_loaded_goes_on_being_served(versions, root, said, monkeypatch):
    versions.refresh()

    def fail(_):
        raise RecursionError("too deep")

    monkeypatch.setattr(under_test.ServingDirectory, "of", fail)
    (root / "serving" / "new").mkdir()
    versions.refresh()
    assert list(versions.loaded) == [1]
    assert said[-1] == "too deep: what is loaded goes on being served"


def test_a_version_that_is_gone_unpruned_goes_on_being_served(versions, root):
    versions.refresh()
    (root / "serving" / "1").rename(root / "aside")
    versions.refresh()
    assert list(versions.loaded) == [1]


def test_other_bytes_under_a_number_that_is_loaded_take_its_place(versions, root, said):
    versions.refresh()
    now = versions.loaded[1]
    versions._loaded = {1: types.SimpleNamespace(version=1, digest="0" * 64)}  # as if the root had been another one
    (root / "serving" / "new").mkdir()
    versions.refresh()
    assert versions.loaded[1].digest == now.digest
    assert said[-1] == f"serving version 1 ({now.digest[:12]})"


def approved(root, tmp_path, by="Ada"):
    """Approves version 1 with a new key; returns its public half."""
    pair = keys.generate(tmp_path / by, algorithm=keys.ED25519)
    key = keys.load_private(pair.private, pytest.fail)
    ledger = Ledger.open(root / "ledger.jsonl")
    add_key(ledger, key.public, by, Person(by=by))
    approve(ledger, VERSION, "version 1", ledger.chain.push(1).sha256, Person(by=by), key)
    return pair.public


def wanting_approval(root, load, said, tmp_path, **conditions):
    (tmp_path / "scratch").mkdir(exist_ok=True)
    wanted = Wanted(conditions=Conditions(approval=True, **conditions))
    return Versions(RunPaths(root), wanted, load=load, scratch=tmp_path / "scratch", say=said.append)


def test_a_version_that_nobody_approved_is_refused_once_and_served_as_soon_as_somebody_does(root, load, said, tmp_path):
    versions = wanting_approval(root, load, said, tmp_path)
    versions.refresh()
    versions.refresh()
    assert versions.loaded == {}
    [line] = said
    assert "is not approved: wanted a valid approval, got no approval" in line
    approved(root, tmp_path)
    versions.refresh()
    assert list(versions.loaded) == [1]


def test_an_approval_by_a_key_that_is_none_of_those_named_does_not_count(root, load, said, tmp_path):
    approved(root, tmp_path)
    other = keys.generate(tmp_path / "other").public
    versions = wanting_approval(root, load, said, tmp_path, approval_keys=(other,))
    versions.refresh()
    assert versions.loaded == {}
    assert "none of those that are trusted" in said[0]


def without_bytes_read(monkeypatch):
    """From here on a look that copies or hashes a version fails."""
    monkeypatch.setattr(under_test, "verified_copy", lambda *_: pytest.fail("looked at the bytes"))


def revoke(root, public, **when):
    revoke_key(Ledger.open(root / "ledger.jsonl"), keys.load_public(public).keyid, Person(by="Ops"), **when)


def test_a_version_whose_approval_is_taken_back_is_dropped_with_one_line(root, load, said, tmp_path, monkeypatch):
    public = approved(root, tmp_path)
    versions = wanting_approval(root, load, said, tmp_path)
    versions.refresh()
    without_bytes_read(monkeypatch)
    revoke(root, public)  # what it approved before stays approved
    versions.refresh()
    assert list(versions.loaded) == [1]
    del said[:]
    revoke(root, public, since="2020-01-01T00:00:00.000000Z")
    versions.refresh()
    versions.refresh()
    assert versions.loaded == {}
    refused, dropped = said
    assert refused.startswith("refused version 1: ")
    assert "is not approved" in refused
    assert dropped == "dropped version 1"
    assert versions.statuses[1].message in refused
    with pytest.raises(RequestError) as raised:
        versions.find(None)
    assert raised.value.code == Code.UNAVAILABLE


def test_a_version_whose_approval_is_withdrawn_is_dropped_and_says_who_withdrew_it(
    root, load, said, tmp_path, monkeypatch
):
    approved(root, tmp_path)
    versions = wanting_approval(root, load, said, tmp_path)
    versions.refresh()
    without_bytes_read(monkeypatch)
    ledger = Ledger.open(root / "ledger.jsonl")
    withdraw(ledger, VERSION, "version 1", ledger.chain.push(1).sha256, Person(by="Ops", reason="mislabelled"), None)
    del said[:]
    versions.refresh()
    assert versions.loaded == {}
    refused, dropped = said
    assert "is not approved" in refused
    assert "withdrawn by Ops" in refused
    assert "(mislabelled)" in refused
    assert dropped == "dropped version 1"


def test_what_is_taken_back_is_dropped_within_seconds_by_the_thread_that_looks(root, load, said, tmp_path):
    """It looks five times a second; `make bench-pages` prints how long it takes a whole server."""
    approved(root, tmp_path)
    versions = wanting_approval(root, load, said, tmp_path)
    versions.refresh()
    assert list(versions.loaded) == [1]
    stop = threading.Event()
    thread = threading.Thread(target=versions.watch, args=(stop,))
    thread.start()
    try:
        ledger = Ledger.open(root / "ledger.jsonl")
        withdraw(
            ledger, VERSION, "version 1", ledger.chain.push(1).sha256, Person(by="Ops", reason="mislabelled"), None
        )
        ends = time.monotonic() + 5
        while versions.loaded:
            assert time.monotonic() < ends, "still served"
            time.sleep(0.01)
    finally:
        stop.set()
        thread.join()


def test_what_happens_to_the_files_of_a_version_that_is_loaded_changes_no_answer(versions, root, load):
    versions.refresh()
    (model,) = versions.loaded.values()
    (root / "serving/1/saved_model.pb").write_text("tampered")
    load.failure = pytest.fail  # nothing is loaded from these bytes
    versions.refresh()
    assert versions.find(None) is model


def test_the_newest_that_still_qualifies_takes_the_place_of_one_that_does_not(root, load, said, tmp_path):
    approved(root, tmp_path)
    versions = wanting_approval(root, load, said, tmp_path)
    versions._loaded = {2: types.SimpleNamespace(version=2, digest="0" * 64)}  # of bytes whose approval was taken back
    versions.refresh()
    assert list(versions.loaded) == [1]
    assert [line[:17] for line in said] == ["refused version 2", "dropped version 2", "serving version 1"]


def test_a_version_whose_key_is_revoked_is_dropped_and_served_again_when_signed_by_another(
    root, load, said, tmp_path, monkeypatch
):
    pairs = [keys.generate(tmp_path / name, algorithm=keys.ED25519) for name in ("old", "new")]
    old, new = (keys.load_private(pair.private, pytest.fail) for pair in pairs)
    signing.sign(root / "serving" / "1", old)
    add_key(Ledger.open(root / "ledger.jsonl"), old.public, "Ada", Person(by="Ops"))
    (tmp_path / "scratch").mkdir()

    def serving(pair):
        wanted = Wanted(conditions=Conditions(key=pair.public))
        return Versions(RunPaths(root), wanted, load=load, scratch=tmp_path / "scratch", say=said.append)

    versions = serving(pairs[0])
    versions.refresh()
    assert list(versions.loaded) == [1]
    revoke(root, pairs[0].public)
    with monkeypatch.context() as patched:
        without_bytes_read(patched)
        versions.refresh()
    assert versions.loaded == {}
    assert "cannot tell whether it was made before its key was revoked" in said[-2]
    signing.sign(root / "serving" / "1", new)
    versions = serving(pairs[1])
    versions.refresh()
    assert list(versions.loaded) == [1]
