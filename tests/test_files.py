"""A file replaced: the new bytes or the old ones, and nothing left beside them."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from components.files import PART_PATTERN, remove_dead_parts, remove_parts, replacing, sync_folder

KILLED = """
import os, signal, sys
from components.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_in_the_block_leaves_the_old_file_alone(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with contextlib.suppress(ZeroDivisionError), replacing(target) as file:
        file.write(b"half")
        _ = 1 // 0
        pytest.fail("the error was swallowed")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_kill_leaves_the_old_file_and_a_part_that_the_pattern_finds(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", KILLED, target], check=False).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.glob(PART_PATTERN))) == 1


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "dead"], check=False)
    (tmp_path / ".somebody-elses").touch()
    with replacing(tmp_path / "living") as file:
        file.write(b"new")
        remove_dead_parts(tmp_path)
        [part] = tmp_path.glob(PART_PATTERN)
        assert part.name == os.path.basename(file.name)
    assert (tmp_path / "living").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == [".somebody-elses", "living"]


def test_a_part_is_locked_until_it_has_its_name(tmp_path):
    """Whoever cleans up may come between the writing and the renaming."""

    def cleaned_up_before(part, target):
        remove_dead_parts(tmp_path)
        os.replace(part, target)

    with replacing(tmp_path / "file", place=cleaned_up_before) as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_part_that_is_taken_for_a_dead_ones_is_made_again(tmp_path, monkeypatch):
    real, cleaned = fcntl.flock, []

    def late(file, operation):
        if not cleaned:
            cleaned.append(True)
            remove_dead_parts(tmp_path)
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_part_under_a_given_name_replaces_the_file_too(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with replacing(target, part=tmp_path / "given", durable=False) as file:
        assert file.name == str(tmp_path / "given")
        file.write(b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_leaves_a_name_that_is_taken_alone(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError), replacing(target, place=os.link) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_parts_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    for name in (".dead.part", "kept.part", ".kept"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".kept", "kept.part"]


def test_the_bytes_and_the_folder_are_synced_around_the_rename(tmp_path, monkeypatch):
    seen = []

    def note(descriptor, fsync=os.fsync):
        seen.append(sorted(os.listdir(tmp_path)) == ["file"] and os.path.isdir(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert seen == [False, True]


def test_a_folder_that_is_none_cannot_be_synced(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
