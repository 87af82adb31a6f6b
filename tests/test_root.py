"""What cannot be written is found before any work, as another user finds it: permission bits say nothing to root."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from command_line import PROJECT
from lineage.audited_copy import audited_copy

from components.errors import EnvironmentProblem
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request, settings_and_paths
from pipeline.maintenance.gc import collect
from pipeline.maintenance.prune import prune
from pipeline.maintenance.rebuild import rebuild
from pipeline.maintenance.repair import repair
from pipeline.maintenance.rollback import rollback
from pipeline.provenance.signing import check_writable as check_signable
from pipeline.report import compare, write
from pipeline.root.lock import locked
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_writable
from pipeline.runner import local
from pipeline.runner.progress import RunView

NOBODY = 65534


@pytest.fixture
def paths():
    """A root that another user may reach and write; pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = audited_copy(folder / "root")
    for place in (root.report("").parent, root.report_answers("").parent, root.checkpoints, root.log("").parent):
        place.mkdir(exist_ok=True)
    (root.serving / ".lock").touch()
    (root.serving / ".versions").write_text("2\n")
    # The other user may not be let into the folders of the interpreter: what is imported late is imported now.
    settings_and_paths(Request(root=root.root))
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
    yield root
    shutil.rmtree(folder)


def as_a_user(function, *arguments, **options):
    """Calls a function without root's rights, in a process of its own, and returns its error as text."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        text = "done"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            function(*arguments, **options)
        except EnvironmentProblem as err:
            text = f"{err.exit_code}: {err}"
        except BaseException as err:  # noqa: BLE001  # whatever it is, the test is to see it
            text = repr(err)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


FOLDERS = ["records", "inputs", "artifacts", "checkpoints", "serving", "logs", "reports"]
FILES = ["metadata.db", "ledger.jsonl", "root.json", ".lock", "serving/.lock", "serving/.versions"]
DEEPER = ["artifacts/Classifier", "artifacts/Pusher/pushed_model", "reports/.answers"]


def test_a_root_that_can_be_written_is_none_to_complain_of(paths):
    assert as_a_user(check_writable, paths) == "done"


@pytest.mark.parametrize("place", [*FOLDERS, *FILES, *DEEPER])
def test_a_place_without_write_permission_is_named_before_any_work(paths, place):
    before = paths.ledger.read_bytes()
    path = paths.root / place
    path.touch(exist_ok=True) if place in FILES else None
    path.chmod(0o555 if path.is_dir() else 0o444)
    asked = (Request(root=paths.root), Reuse(), RunView.__new__(RunView))
    told = as_a_user(local.run, *asked)
    path.chmod(0o755)
    assert told == f"4: {path}: not writable: got Permission denied: mend that, or choose another --root"
    assert paths.ledger.read_bytes() == before


@pytest.mark.parametrize("place", [*FOLDERS, *FILES, "metadata.db-journal"])
def test_a_place_that_is_something_else_is_named_before_any_work(paths, place):
    """A folder where a file belongs, and the other way round: even root cannot write there."""
    path = paths.root / place
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("in the way")
    else:
        path.unlink(missing_ok=True)
        path.mkdir()
    with pytest.raises(EnvironmentProblem) as caught:
        check_writable(paths)
    assert caught.value.where == path
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("place", ["ledger.jsonl", "serving/.versions", ".lock"])
def test_a_fifo_is_not_waited_for(paths, place):
    (paths.root / place).unlink(missing_ok=True)
    os.mkfifo(paths.root / place)
    with pytest.raises(EnvironmentProblem, match="wanted a regular file, got a FIFO"):
        check_writable(paths)


def test_a_store_elsewhere_is_looked_at_too(paths):
    store = paths.root.parent / "elsewhere" / "store.db"
    store.parent.mkdir(mode=0o555)
    told = as_a_user(local.run, Request(root=paths.root, metadata=str(store)), Reuse(), RunView.__new__(RunView))
    assert told.startswith(f"4: {store.parent}: not writable")


def test_a_store_elsewhere_that_is_there_is_the_file_that_it_should_be(paths):
    store = paths.root.parent / "store.db"
    store.write_bytes(b"")
    check_writable(paths, store)
    store.unlink()
    store.mkdir()
    with pytest.raises(EnvironmentProblem, match=r"store\.db: cannot be written: wanted a regular file, got a folder"):
        check_writable(paths, store)


def test_a_read_only_file_system_is_called_so(paths):
    mounts = [["mount", "--bind", paths.records, paths.records], ["mount", "-o", "remount,ro,bind", paths.records]]
    if any(subprocess.run(command, check=False, capture_output=True).returncode for command in mounts):
        subprocess.run(["umount", paths.records], check=False, capture_output=True)
        pytest.skip("only root may mount")
    try:
        with pytest.raises(EnvironmentProblem, match=r"records: not writable: got Read-only file system"):
            check_writable(paths)
    finally:
        subprocess.run(["umount", paths.records], check=True)


def test_folders_on_other_volumes_are_followed(paths):
    elsewhere = paths.root.parent / "volume"
    for place in ("serving", "artifacts", "reports"):
        (paths.root / place).rename(elsewhere.with_name(place))
        (paths.root / place).symlink_to(elsewhere.with_name(place))
    check_writable(paths)


def rolled_back(root):
    rollback(root, 1, pytest.fail)


def pruned(root):
    prune(root, 1)


def collected(root):
    collect(root, pytest.fail, keep_runs=0)


def repaired(root):
    repair(root, pytest.fail)


def reported(root):
    write.write(root)


def compared(root):
    compare.write(root, ("run-1", "run-3"))


MAINTENANCE = [
    (rolled_back, "ledger.jsonl"),
    (rolled_back, "metadata.db"),
    (rolled_back, "records"),
    (rolled_back, "artifacts/Pusher/pushed_model"),
    (rolled_back, "serving"),
    (rolled_back, "serving/.lock"),
    (rolled_back, "serving/.versions"),
    (rolled_back, ".lock"),
    (pruned, "ledger.jsonl"),
    (pruned, "serving"),
    (pruned, "serving/1"),
    (pruned, "serving/1/assets.extra"),
    (repaired, "ledger.jsonl"),
    (repaired, "metadata.db"),
    (repaired, "records"),
    (collected, "ledger.jsonl"),
    (collected, "metadata.db"),
    (collected, "inputs/abc"),
    (collected, "inputs"),
    (reported, "reports"),
    (compared, "reports"),
]


@pytest.mark.parametrize(("command", "place"), MAINTENANCE, ids=lambda x: getattr(x, "__name__", x))
def test_housekeeping_finds_out_before_it_changes_anything(paths, command, place):
    (paths.inputs / "abc").mkdir()
    (paths.inputs / "abc/file").write_text("x")
    os.chown(paths.inputs / "abc", NOBODY, NOBODY) if os.geteuid() == 0 else None
    path = paths.root / place
    before = paths.ledger.read_bytes(), sorted(paths.root.rglob("*"))
    mode = path.stat().st_mode
    path.chmod(0o555 if path.is_dir() else 0o444)
    told = as_a_user(command, paths.root)
    path.chmod(mode)
    assert told.startswith(f"4: {path}: not writable: got Permission denied"), told
    assert (paths.ledger.read_bytes(), sorted(paths.root.rglob("*"))) == before


@pytest.mark.parametrize("place", ["serving", "artifacts", "logs", "checkpoints", "artifacts/Pusher"])
@pytest.mark.parametrize("command", [pruned, collected, repaired, rolled_back])
def test_what_may_not_be_listed_ends_in_one_line(paths, command, place):
    (paths.root / place).chmod(0o300)
    told = as_a_user(command, paths.root)
    (paths.root / place).chmod(0o755)
    assert told == "done" or told.startswith(("4: ", "3: ")), told
    assert told == "done" or f"{paths.root / place}" in told


def test_a_rebuild_finds_out_before_it_reads_the_records(paths):
    paths.metadata.unlink()
    paths.root.chmod(0o555)
    assert as_a_user(rebuild, paths.root).startswith(f"4: {paths.root}: not writable")
    paths.root.chmod(0o755)


def test_a_signature_that_cannot_be_written_is_refused_before_the_passphrase(paths):
    place = paths.serving / "2" / "assets.extra"
    place.chmod(0o555)
    assert as_a_user(check_signable, place.parent) == f"4: {place}: cannot write the signature: got Permission denied"


def test_a_lock_that_is_a_folder_is_named(paths):
    paths.lock.unlink()
    paths.lock.mkdir()
    with (
        pytest.raises(EnvironmentProblem, match=r"\.lock: cannot be written: wanted a regular file"),
        locked(paths, pytest.fail),
    ):
        pass


@pytest.mark.parametrize("place", [".lock", "checkpoints", "reports"])
def test_the_command_ends_at_once_with_one_line(tmp_path, place):
    root = tmp_path / "root"
    root.mkdir()
    (root / place).mkdir() if place == ".lock" else (root / place).write_text("")
    command = [sys.executable, "-m", "pipeline", "run", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.returncode, done.stdout) == (4, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"mnist-tfx: {root / place}: cannot be written: wanted a")
    assert RunPaths(root).ledger.exists() is False
