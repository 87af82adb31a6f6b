"""Publishing: all of a version or none of it, under a number of its own, whoever is killed and whoever else pushes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.digest import tree_digest
from components.errors import EnvironmentProblem, Refused
from components.publish import publish
from components.serving import versions

KILLED_PUSH = """
# Kills itself just before the file-system operation number argv[1]; without a number, counts them.
import os, signal, sys
from pathlib import Path
from components.publish import publish

LIMIT, MODEL, SERVING, PROVENANCE, DIGEST = sys.argv[1:]
done = 0

def step():
    global done
    if str(done) == LIMIT:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1

def counted(operation):
    def call(*args, **kwargs):
        step()
        return operation(*args, **kwargs)
    return call

# Python announces opens, mkdirs, renames and removals; it says nothing of syncs and of what copies a file's bytes.
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}
os.fsync = counted(os.fsync)
import shutil
shutil.copyfileobj = counted(shutil.copyfileobj)
sys.addaudithook(lambda event, args: step() if event in WATCHED else None)
made = publish(Path(MODEL), Path(SERVING), Path(PROVENANCE), DIGEST)
print(done, made.version)
"""

KILLED_AFTER_RENAME = """
import os, signal, sys
from pathlib import Path
from components.publish import publish

rename = os.rename
os.rename = lambda *paths: (rename(*paths), os.kill(os.getpid(), signal.SIGKILL))
publish(*map(Path, sys.argv[1:4]), sys.argv[4])
"""

PUSH_TWENTY = """
import sys
from pathlib import Path
from components.digest import tree_digest
from components.publish import publish
scratch, serving, provenance, who = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
for i in range(20):
    model = scratch / f"{who}-{i}"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_text(f"{who} {i}")
    (model / "variables" / "variables.index").write_text("x" * i)
    made = publish(model, serving, provenance, tree_digest(model))
    print(made.version, made.digest, flush=True)
"""


@pytest.fixture
def provenance(tmp_path):
    path = tmp_path / "provenance.json"
    path.write_text('{"_type": "https://in-toto.io/Statement/v1"}')
    return path


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving"


def make_model(folder: Path, content: str) -> tuple[Path, str]:
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text("index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(os.urandom(3000))
    return folder, tree_digest(folder)


def what_tf_serving_loads(serving: Path) -> Path | None:
    """Any child whose name is a number is a version, the highest wins; nothing else is asked of it."""
    numbers = [int(name) for name in os.listdir(serving) if re.fullmatch(r"[0-9]+", name)] if serving.is_dir() else []
    return serving / str(max(numbers)) if numbers else None


def test_a_version_holds_the_models_bytes_and_the_manifest(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    made = publish(model, serving, provenance, digest)
    assert (made.version, made.path, made.digest, made.repeated) == (1, serving / "1", digest, False)
    assert tree_digest(serving / "1") == digest
    assert (serving / "1" / "assets.extra" / "provenance.json").read_text() == provenance.read_text()


def test_two_pushes_within_a_second_get_two_versions(tmp_path, serving, provenance):
    pushed = [publish(*_in(tmp_path / name, serving, provenance, name)) for name in ("one", "two")]
    assert [made.version for made in pushed] == [1, 2]
    assert [tree_digest(made.path) for made in pushed] == [made.digest for made in pushed]


def _in(folder, serving, provenance, content):
    model, digest = make_model(folder, content)
    return model, serving, provenance, digest


def test_the_number_of_a_pruned_version_is_not_used_again(tmp_path, serving, provenance):
    publish(*_in(tmp_path / "a", serving, provenance, "a"))
    made = publish(*_in(tmp_path / "b", serving, provenance, "b"))
    shutil.rmtree(made.path)
    assert publish(*_in(tmp_path / "c", serving, provenance, "c")).version == 3


def test_the_highest_version_is_not_repeated(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    publish(model, serving, provenance, digest)
    again = publish(model, serving, provenance, digest)
    assert (again.version, again.repeated) == (1, True)
    assert len(versions(serving)) == 1


def test_a_model_that_was_served_before_comes_back_as_a_new_version(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    publish(model, serving, provenance, digest)
    publish(*_in(tmp_path / "other", serving, provenance, "other"))
    assert publish(model, serving, provenance, digest).version == 3


def test_an_incomplete_foreign_version_is_passed_over_and_left_alone(tmp_path, serving, provenance):
    (serving / "1700000000").mkdir(parents=True)
    made = publish(*_in(tmp_path / "m", serving, provenance, "one"))
    assert made.version == 1700000001
    assert (serving / "1700000000").is_dir()


STAGES = {
    "a link to a version": lambda stage: stage.symlink_to("1"),
    "a link to everything": lambda stage: stage.symlink_to("/"),
    "a link to nothing": lambda stage: stage.symlink_to("gone"),
    "a file": lambda stage: stage.write_text("x"),
    "a folder": lambda stage: (stage / "variables").mkdir(parents=True),
}


@pytest.mark.parametrize("kind", STAGES)
def test_no_stage_that_was_left_blocks_a_push_whatever_it_is(tmp_path, serving, provenance, kind):
    one = publish(*_in(tmp_path / "a", serving, provenance, "a"))
    STAGES[kind](serving / ".stage-left")
    assert publish(*_in(tmp_path / "b", serving, provenance, "b")).version == 2
    assert not list(serving.glob(".stage-*"))
    assert tree_digest(one.path) == one.digest


def test_a_stage_that_cannot_be_removed_does_not_block_a_push(tmp_path, serving, provenance):
    (serving / ".stage-left").mkdir(parents=True)
    busy = ["mount", "-t", "tmpfs", "tmpfs", serving / ".stage-left"]
    if subprocess.run(busy, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    try:
        assert publish(*_in(tmp_path / "m", serving, provenance, "one")).version == 1
    finally:
        subprocess.run(["umount", serving / ".stage-left"], check=True)


STRANGERS = {
    "a link to a version": ("9", lambda path: path.symlink_to("1")),
    "a link with a lower number": ("0", lambda path: path.symlink_to("1")),
    "a link to everything": ("9", lambda path: path.symlink_to("/")),
    "a link to nothing": ("2", lambda path: path.symlink_to("gone")),
    "a file": ("9", lambda path: path.write_text("x")),
    "a folder with an odd name": ("+2", lambda path: path.mkdir()),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_nothing_is_pushed_beside_what_tf_serving_may_load_instead_and_no_stage_is_left(
    tmp_path, serving, provenance, kind
):
    publish(*_in(tmp_path / "a", serving, provenance, "a"))
    name, make = STRANGERS[kind]
    make(serving / name)
    before = sorted(os.listdir(serving))
    with pytest.raises(EnvironmentProblem, match="TensorFlow Serving may load this instead") as caught:
        publish(*_in(tmp_path / "b", serving, provenance, "b"))
    assert str(serving / name) in str(caught.value)
    assert sorted(os.listdir(serving)) == before


def test_what_tf_serving_would_not_prefer_is_left_alone(tmp_path, serving, provenance):
    publish(*_in(tmp_path / "a", serving, provenance, "a"))
    (serving / "01").mkdir()
    assert publish(*_in(tmp_path / "b", serving, provenance, "b")).version == 2
    assert (serving / "01").is_dir()


def test_a_model_changed_since_it_was_evaluated_is_refused(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    (model / "saved_model.pb").write_text("0ne")
    with pytest.raises(Refused, match="not the bytes that were evaluated"):
        publish(model, serving, provenance, digest)
    assert what_tf_serving_loads(serving) is None


@pytest.mark.parametrize("target", ["/etc/hostname", "/etc"], ids=["to a file", "to a folder"])
def test_a_link_in_a_model_is_refused(tmp_path, serving, provenance, target):
    model, _ = make_model(tmp_path / "m", "one")
    (model / "assets" / "link").symlink_to(target)
    with pytest.raises(Refused, match="must not hold links"):
        publish(model, serving, provenance, tree_digest(model))
    assert not list(serving.glob(".stage-*"))


def test_a_manifest_in_the_model_does_not_pass_for_the_runners(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    (model / "assets.extra").mkdir()
    (model / "assets.extra" / "provenance.json").write_text("forged")
    made = publish(model, serving, provenance, digest)
    assert (made.path / "assets.extra" / "provenance.json").read_text() == provenance.read_text()


@pytest.mark.fault(5)
def test_a_killed_push_shows_the_old_version_or_the_new_one_and_the_next_push_succeeds(tmp_path, serving, provenance):
    """Killed before each of its file operations in turn."""
    old, old_digest = make_model(tmp_path / "old", "old")
    new, new_digest = make_model(tmp_path / "new", "new")

    def attempt(limit: str, folder: Path) -> subprocess.CompletedProcess[str]:
        publish(old, folder, provenance, old_digest)
        command = [sys.executable, "-c", KILLED_PUSH, limit, new, folder, provenance, new_digest]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    operations, version = map(int, attempt("never", serving / "whole").stdout.split())
    assert version == 2
    assert operations > 30

    seen = set()
    for limit in range(operations):
        folder = serving / str(limit)
        assert attempt(str(limit), folder).returncode == -9
        loaded = what_tf_serving_loads(folder)
        assert (loaded / "saved_model.pb").is_file()
        seen.add(tree_digest(loaded))
        assert tree_digest(loaded) in {old_digest, new_digest}
        after = publish(new, folder, provenance, new_digest)
        assert tree_digest(after.path) == new_digest
        assert what_tf_serving_loads(folder) == after.path
        assert not list(folder.glob(".stage-*"))
    assert seen == {old_digest, new_digest}


@pytest.mark.fault(6)
def test_a_push_killed_after_the_rename_is_served_and_found_by_its_digest(tmp_path, serving, provenance):
    """Nothing recorded it: its bytes say whose it is, and the next push of them adds no version."""
    model, digest = make_model(tmp_path / "m", "one")
    command = [sys.executable, "-c", KILLED_AFTER_RENAME, model, serving, provenance, digest]
    assert subprocess.run(command, check=False).returncode == -9
    (served,) = versions(serving)
    assert served.digest == digest
    again = publish(model, serving, provenance, digest)
    assert (again.version, again.repeated) == (served.version, True)


def test_an_error_after_the_rename_says_that_the_version_is_served(tmp_path, serving, provenance, monkeypatch):
    model, digest = make_model(tmp_path / "m", "one")

    def no_sync(folder):
        raise OSError(5, "Input/output error", str(folder))

    with monkeypatch.context() as broken:
        broken.setattr("components.publish._fill", lambda stage, *_: shutil.copytree(model, stage))
        broken.setattr("components.publish.sync_folder", no_sync)
        with pytest.raises(EnvironmentProblem, match=r"version 1 is served, but .* Input/output error") as caught:
            publish(model, serving, provenance, digest)
    assert "nothing was pushed" not in str(caught.value)
    assert publish(model, serving, provenance, digest).repeated


@pytest.mark.parametrize("claimed", [str((1 << 63) - 1), "9" * 30, "9" * 9000])
def test_no_number_is_given_out_that_tf_serving_cannot_read(tmp_path, serving, provenance, claimed):
    model, digest = make_model(tmp_path / "m", "one")
    serving.mkdir()
    (serving / ".versions").write_text(claimed + "\n")
    with pytest.raises(EnvironmentProblem, match="no version number is left"):
        publish(model, serving, provenance, digest)
    assert sorted(os.listdir(serving)) == [".lock", ".versions"]


def test_the_largest_number_that_tf_serving_reads_is_given_out(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    serving.mkdir()
    (serving / ".versions").write_text(f"{(1 << 63) - 2}\n")
    assert publish(model, serving, provenance, digest).version == (1 << 63) - 1
    assert [found.version for found in versions(serving)] == [(1 << 63) - 1]


def test_a_fifo_in_a_model_is_refused_and_not_waited_for(tmp_path, serving, provenance):
    model, _ = make_model(tmp_path / "m", "one")
    os.mkfifo(model / "assets" / "fifo")
    with pytest.raises(Refused, match="plain files alone"):
        publish(model, serving, provenance, tree_digest(model))


def test_two_processes_pushing_at_once_never_share_a_version(tmp_path, serving, provenance):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PUSH_TWENTY, tmp_path / "models", serving, provenance, who],
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in ("left", "right")
    ]
    lines = [line.split() for process in started for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(int(version) for version, _ in lines) == list(range(1, 41))
    assert all(tree_digest(serving / version) == digest for version, digest in lines)


@pytest.mark.fault(7)
def test_a_full_disk_is_told_with_path_and_bytes_and_leaves_nothing(tmp_path, provenance):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        model, digest = make_model(tmp_path / "m", "one")
        (model / "variables" / "big").write_bytes(bytes(200_000))
        with pytest.raises(EnvironmentProblem, match=r"no space left: wanted \d+ bytes, got \d+ bytes free") as caught:
            publish(model, disk / "serving", provenance, tree_digest(model))
        assert str(disk) in str(caught.value)
        assert what_tf_serving_loads(disk / "serving") is None
        (model / "variables" / "big").unlink()
        assert publish(model, disk / "serving", provenance, digest).version == 1
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_directory_that_cannot_be_written_is_an_environment_problem(tmp_path, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblem) as caught:
        publish(model, tmp_path / "file" / "serving", provenance, digest)
    assert caught.value.exit_code == 4


def test_errors_name_no_half_written_version(tmp_path, serving, provenance):
    model, digest = make_model(tmp_path / "m", "one")
    provenance.unlink()
    with pytest.raises(EnvironmentProblem, match=re.escape(str(provenance))):
        publish(model, serving, provenance, digest)
    assert json.dumps(sorted(os.listdir(serving))) == '[".lock"]'
