"""A metadata store that a crash or a full disk left with a journal beside it, or that somebody holds: never an alarm.

The journals are real: a process is killed between SQLite's writes to the file, or its disk is full.
"""

import errno
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from lineage.audited_copy import audited_copy

from components.errors import EnvironmentProblem, Refused
from pipeline.audit.audit import audit_all, audit_version
from pipeline.audit.findings import COMPLETENESS, FAIL, INTEGRITY, PASS, POLICY, UNKNOWN
from pipeline.maintenance import rebuild as rebuilding
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.repair import repair
from pipeline.metadata.sqlite import StoreLocked, readable
from pipeline.metadata.store import open_store

KILLED = """
import os, signal, sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
store.execute("PRAGMA wal_autocheckpoint = 0")
store.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit
store.execute("BEGIN")
store.execute("UPDATE ArtifactProperty SET string_value = 'half done' || hex(zeroblob(3000))")
store.execute("UPDATE Execution SET last_known_state = 4")
if sys.argv[2] == "WAL":
    store.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""
PASSES = {INTEGRITY: PASS, COMPLETENESS: PASS, POLICY: PASS}


def killed_in_the_middle(path, mode="DELETE"):
    done = subprocess.run([sys.executable, "-c", KILLED, path, mode], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}{'-wal' if mode == 'WAL' else '-journal'}").stat().st_size


def state_of(root):
    """Returns {file: SHA-256} of the store's files, and the names beside it."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("metadata.db*")}
    return files, sorted(path.name for path in root.iterdir())


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


@pytest.fixture
def hot(paths):
    killed_in_the_middle(paths.metadata)
    return paths


def test_a_hot_journal_is_rolled_back_in_a_copy_and_raises_no_alarm(hot):
    before = state_of(hot.root)
    assert [audit.verdicts for audit in audit_all(hot.root)] == [PASSES, PASSES]
    assert state_of(hot.root) == before


def test_a_tampering_below_a_hot_journal_is_found(paths):
    with sqlite3.connect(paths.metadata) as store:
        store.execute("UPDATE Execution SET last_known_state = 5 WHERE id = 1")
    store.close()
    killed_in_the_middle(paths.metadata)
    assert audit_version(paths.root, 1).verdicts == {**PASSES, COMPLETENESS: FAIL}


def test_a_write_ahead_log_is_read_in_a_copy(paths):
    with sqlite3.connect(paths.metadata) as store:
        store.execute("PRAGMA journal_mode = WAL")
    store.close()
    before = state_of(paths.root)
    assert audit_version(paths.root).verdicts == PASSES
    assert state_of(paths.root) == before
    killed_in_the_middle(paths.metadata, "WAL")
    before = state_of(paths.root)
    assert audit_version(paths.root).verdicts == {**PASSES, COMPLETENESS: FAIL}  # what was committed counts
    assert state_of(paths.root) == before


@pytest.mark.parametrize("read", [orphans, lambda root, say: repair(root, say, dry_run=True)], ids=["orphans", "dry"])
def test_a_question_leaves_a_store_with_a_hot_journal_as_it_is(hot, read):
    before = {path.name: path.read_bytes() for path in hot.root.glob("metadata.db*")}
    assert read(hot.root, pytest.fail) == ()
    assert {path.name: path.read_bytes() for path in hot.root.glob("metadata.db*")} == before


def test_a_command_that_writes_rolls_back_the_store_itself(hot):
    assert open_store(hot, say=pytest.fail).unfinished() == []
    assert not hot.metadata.with_name("metadata.db-journal").exists()


def test_a_store_with_a_hot_journal_is_not_lost_and_not_rebuilt(hot):
    with pytest.raises(Refused, match="a store that opens is here"):
        rebuilding.rebuild(hot.root)


def test_a_rebuilt_store_is_not_rolled_back_by_the_journal_of_the_old_one(hot):
    hot.metadata.write_bytes(b"garbage " * 99)
    rebuilding.rebuild(hot.root)
    assert not hot.metadata.with_name("metadata.db-journal").exists()
    assert audit_version(hot.root).verdicts == PASSES


def fill(path):
    """Writes until the disk is full, as a last file that SQLite's pages no longer fit beside."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError as err:
        assert err.errno == errno.ENOSPC  # noqa: PT017  # any other error would end the loop as well
    finally:
        os.close(descriptor)


def test_a_full_disk_in_the_middle_of_a_write_leaves_a_store_that_passes(paths, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = sum(path.stat().st_size for path in paths.root.rglob("*") if path.is_file())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={2 * size + (1 << 20)}", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs a tmpfs of its own, which takes root")
    try:
        root = shutil.copytree(paths.root, disk / "root", symlinks=True)
        fill(disk / "filler")
        script = KILLED.replace("os.kill(", "pass; (")
        full = subprocess.run(
            [sys.executable, "-c", script, root / "metadata.db", "DELETE"], check=False, capture_output=True
        )
        assert b"full" in full.stderr
        assert {PASS} == set(audit_version(root).verdicts.values())
    finally:
        subprocess.run(["umount", disk], check=True)


HOLDER = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(paths):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, paths.metadata], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_store_that_another_process_has_locked_is_unknown_and_says_locked(paths, holder):
    audits = audit_all(paths.root)
    assert [audit.verdicts for audit in audits] == [{**PASSES, COMPLETENESS: UNKNOWN}] * 2
    found = audits[0].first(COMPLETENESS)
    assert f"locked by process {holder.pid}" in found.got
    assert "rebuild" not in str(found)
    assert "executions were not compared" in audits[0].scopes[COMPLETENESS].left_out


def test_a_lock_is_waited_for_no_longer_than_was_asked(paths, holder):
    with pytest.raises(StoreLocked, match=f"locked by process {holder.pid}"), readable(paths.metadata, wait=0.1):
        pytest.fail("it was locked")


@pytest.mark.parametrize("name", ["metadata.db-journal", "metadata.db-wal"])
def test_something_else_in_a_journals_place_is_a_finding_and_not_waited_for(paths, name):
    os.mkfifo(paths.root / name)
    found = audit_version(paths.root).first(COMPLETENESS)
    assert (found.level, "is no plain file" in str(found)) == (FAIL, True)


def test_no_room_for_the_copy_is_unknown(hot, monkeypatch):
    monkeypatch.setattr("pipeline.metadata.sqlite.shutil.copyfile", _no_room)
    with pytest.raises(EnvironmentProblem, match="no space left: wanted") as caught, readable(hot.metadata):
        pytest.fail("there was no room")
    assert "TMPDIR" in caught.value.hint


def _no_room(*_):
    raise OSError(28, "No space left on device")
