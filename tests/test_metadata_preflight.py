"""Metadata stores that cannot be a root's are refused before any work: nothing is written, and TFX is not imported."""

import os
import sqlite3

import pytest
from command_line import in_process, mnist_tfx
from metadata_servers import free_port

from components.errors import EnvironmentProblem
from pipeline.metadata.address import SqliteFile
from pipeline.metadata.preflight import check_file
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

RUN = "20260101T120000.000001Z"


@pytest.fixture
def used(tmp_path):
    """A root in which a run left an execution, and a store that knows the run."""
    paths = RunPaths(tmp_path / "root")
    paths.root.mkdir()
    ledger = Ledger.open(paths.ledger)
    ledger.commit(ledger.intent(node="ExampleGen", run_id=RUN), record="0" * 64, outputs={})
    store_of(paths.metadata, RUN)
    return paths


def store_of(path, *runs):
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE Type (id INTEGER PRIMARY KEY, name TEXT)")
        store.execute("CREATE TABLE Context (id INTEGER PRIMARY KEY, type_id INTEGER, name TEXT)")
        store.execute("INSERT INTO Type VALUES (1, 'pipeline_run')")
        store.executemany("INSERT INTO Context (type_id, name) VALUES (1, ?)", [(run,) for run in runs])
    store.close()
    return path


def tree(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def refused_before_tfx(tmp_path, *options):
    """Runs the command where importing TFX fails, and returns what it printed; nothing may have been written."""
    before = tree(tmp_path)
    blocked = tmp_path.with_name(f"{tmp_path.name}-blocked")
    blocked.mkdir()
    (blocked / "tfx.py").write_text("raise SystemExit('imports TFX')")
    path = os.pathsep.join(filter(None, [str(blocked), os.environ.get("PYTHONPATH")]))
    answer = mnist_tfx("run", "--root", tmp_path / "root", *options, env={"PYTHONPATH": path})
    assert tree(tmp_path) == before
    return answer


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["run", "dry-run"])
@pytest.mark.parametrize("scheme", ["mysql://me:sesame@127.0.0.1:{}/db", "grpc://127.0.0.1:{}"])
def test_a_server_that_cannot_be_reached_is_refused_before_any_work(tmp_path, scheme, dry_run):
    answer = refused_before_tfx(tmp_path, "--metadata", scheme.format(free_port()), *dry_run)
    assert answer.code == 4
    assert "cannot be reached: got Connection refused: is the server running?" in answer.err
    assert answer.err.count("\n") == 1
    assert "sesame" not in answer.err


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["run", "dry-run"])
@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("made", ["new", "empty", "of another root"])
def test_another_store_for_a_used_root_is_refused_before_any_work(tmp_path, made, dry_run):
    other = tmp_path / "other.db"
    if made == "empty":
        other.touch()
    elif made == "of another root":
        store_of(other, "20250101T120000.000001Z")
    answer = refused_before_tfx(tmp_path, "--metadata", f"sqlite:///{other}", *dry_run)
    assert answer.code == 4
    assert ("knows no run of this root" if made == "of another root" else "is missing or empty") in answer.err
    assert str(other) in answer.err


def test_a_lost_store_of_a_root_is_refused_before_any_work(used, tmp_path):
    used.metadata.unlink()
    answer = refused_before_tfx(tmp_path)
    assert answer.code == 4
    assert f"mnist-tfx lineage rebuild --root {used.root}" in answer.err


def test_the_local_problem_is_said_before_a_server_is_asked(used, tmp_path):
    used.records.touch()
    answer = refused_before_tfx(tmp_path, "--metadata", f"grpc://127.0.0.1:{free_port()}")
    assert answer.code == 4
    assert "records: cannot be written: wanted a folder" in answer.err


def test_the_store_of_the_earlier_runs_is_none_to_complain_of(used, tmp_path):
    check_file(SqliteFile(path=used.metadata), used, read_ledger(used.ledger))
    moved = used.metadata.rename(tmp_path / "moved.db")
    check_file(SqliteFile(path=moved), used, read_ledger(used.ledger))


def test_a_store_that_is_locked_is_left_to_whoever_waits_for_it(used, tmp_path):
    other = store_of(tmp_path / "other.db", "20250101T120000.000001Z")
    with sqlite3.connect(other) as holding:
        holding.execute("BEGIN EXCLUSIVE")
        if os.fork() == 0:
            # Locks are a process's: this one sees its own as none.
            try:
                check_file(SqliteFile(path=other), used, read_ledger(used.ledger))
                os._exit(0)
            except BaseException:  # noqa: BLE001  # the exit status is the answer
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    holding.close()
    with pytest.raises(EnvironmentProblem, match="knows no run"):
        check_file(SqliteFile(path=other), used, read_ledger(used.ledger))


def test_a_fifo_in_the_place_of_a_store_is_not_waited_for(used):
    used.metadata.unlink()
    os.mkfifo(used.metadata)
    answer = in_process("run", "--root", used.root, "--dry-run")
    assert answer.code == 4
    assert "wanted a regular file" in answer.err
