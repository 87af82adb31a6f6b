"""Values that are kept while the files behind them are the same."""

import os

import pytest

from pipeline.provenance.file_cache import FileCache


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def read(file):
    """A function that reads the file through a cache, and counts how often it was read."""
    cache = FileCache()

    def read():
        def compute():
            read.times += 1
            return file.read_bytes() if file.exists() else None

        return cache.read("key", [file], compute)

    read.times = 0
    return read


def test_what_has_not_changed_is_read_once(read):
    assert [read(), read(), read()] == [b"one"] * 3
    assert read.times == 1


def overwrite(file):
    file.write_bytes(b"two")


def replace(file):
    part = file.with_name("part")
    part.write_bytes(b"two")
    os.utime(part, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    part.replace(file)


def overwrite_and_set_the_time_back(file):
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(file):
    file.rename(file.with_name("other"))
    file.with_name("two").write_bytes(b"two")
    file.symlink_to("two")


@pytest.mark.parametrize("change", [overwrite, replace, overwrite_and_set_the_time_back, link])
def test_whatever_is_done_to_a_file_it_is_read_again(file, read, change):
    assert read() == b"one"
    change(file)
    assert read() == b"two"


def test_a_file_that_goes_and_comes_back_is_read_each_time(file, read):
    read()
    file.unlink()
    assert read() is None
    file.write_bytes(b"two")
    assert read() == b"two"


def test_what_changes_while_it_is_read_is_read_again(file):
    cache = FileCache()

    def compute():
        found = file.read_bytes()
        file.write_bytes(b"three")
        return found

    assert cache.read("key", [file], compute) == b"one"
    assert cache.read("key", [file], file.read_bytes) == b"three"
