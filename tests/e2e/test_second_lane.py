"""Where the second lane of the lock runs: a Debian 13 root, and a copy of the checkout in it."""

import subprocess
import sys
import time

import cached_layers
import debian_root
import pytest
import second_lane
from command_line import PROJECT

MAKE_LAYER = """
import pathlib, sys
import cached_layers
cached_layers.CACHE = pathlib.Path(sys.argv[1])
def build(folder):
    print("made")
    if "fail" in sys.argv:
        (folder / "half").touch()
        sys.exit(1)
cached_layers.layer(sys.argv[2], sys.argv[3].encode(), build)
"""


def _layer(cache, name, made_from, *fail):
    """What a process of its own prints that takes a layer, and lets it go when it ends."""
    command = [sys.executable, "-c", MAKE_LAYER, cache, name, made_from, *fail]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT / "tests", timeout=60
    ).stdout


def _folders(cache):
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_a_layer_is_made_once_from_the_same(tmp_path):
    assert "made" in _layer(tmp_path, "debian", "trixie")
    assert "made" not in _layer(tmp_path, "debian", "trixie")


def test_a_layer_takes_the_place_of_one_that_nobody_holds(tmp_path, monkeypatch):
    _layer(tmp_path, "debian", "trixie")
    [old] = _folders(tmp_path)
    monkeypatch.setattr(cached_layers, "CACHE", tmp_path)
    held = cached_layers.layer("debian", b"forky", lambda _: None)
    _layer(tmp_path, "debian", "sid")
    assert len(_folders(tmp_path)) == 2
    assert held.is_dir()
    assert old not in _folders(tmp_path)


def test_two_runs_at_a_time_share_a_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(cached_layers, "CACHE", tmp_path)
    made = []
    held = [cached_layers.layer("debian", b"trixie", made.append) for _ in range(2)]
    assert "made" not in _layer(tmp_path, "debian", "trixie")
    assert len(made) == 1
    assert held[0] == held[1]


def test_a_layer_whose_making_failed_is_made_again(tmp_path):
    _layer(tmp_path, "debian", "trixie", "fail")
    assert [name for name in _folders(tmp_path) if not name.endswith(".part")] == []
    assert "made" in _layer(tmp_path, "debian", "trixie")
    assert not any(tmp_path.rglob("half"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with a commit and changes that are in none."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setattr(second_lane, "PROJECT", folder)
    for name in ("kept.py", "edited.py", "removed.py", "staged.py"):
        (folder / name).write_text("1\n")
    (folder / ".gitignore").write_text("runs/\n")
    second_lane.git("init", "--quiet", folder=folder)
    second_lane.commit(folder)
    (folder / "edited.py").write_text("2\n")
    (folder / "staged.py").write_text("2\n")
    second_lane.git("add", "staged.py", folder=folder)
    (folder / "removed.py").unlink()
    (folder / "rooms").mkdir()
    (folder / "rooms" / "new.py").write_text("2\n")
    (folder / "runs").mkdir()
    (folder / "runs" / "ignored").write_text("2\n")
    return folder


def test_the_copy_of_a_checkout_holds_what_is_not_committed_and_is_clean(project, tmp_path):
    copy = tmp_path / "copy"
    second_lane.copy_checkout(copy)
    files = {str(path.relative_to(copy)): path.read_text() for path in copy.rglob("*.py")}
    assert files == {"kept.py": "1\n", "edited.py": "2\n", "staged.py": "2\n", "rooms/new.py": "2\n"}
    assert not (copy / "runs").exists()
    assert second_lane.git("status", "--porcelain", folder=copy) == ""
    assert "new.py" not in second_lane.git("ls-files", folder=project)


@pytest.mark.skipif(debian_root.obstacle() is not None, reason=str(debian_root.obstacle()))
def test_what_runs_in_a_namespace_ends_with_the_process_that_started_it(tmp_path):
    mark = tmp_path / "mark"
    inside = debian_root.in_namespace("sh", "-c", f"echo up >> {mark}; while sleep 0.1; do echo up >> {mark}; done")
    starter = subprocess.Popen([sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *inside])
    while not mark.exists():
        assert starter.poll() is None
        time.sleep(0.05)
    starter.kill()
    starter.wait()
    time.sleep(0.5)
    before = mark.stat().st_size
    time.sleep(1)
    assert mark.stat().st_size == before


@pytest.mark.parametrize(("user", "tools", "why"), [(1000, "/bin", "take root"), (0, "", "no debootstrap")])
def test_where_no_root_can_be_made_it_says_why_and_what_to_do(user, tools, why, monkeypatch, capsys):
    monkeypatch.setattr(second_lane.debian_root.os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", tools)
    assert second_lane.outside() == second_lane.NO_ROOT
    said = capsys.readouterr().err
    assert why in said
    assert "make PYTHON=3.13 test" in said
