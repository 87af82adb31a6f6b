"""A row index is read row by row, whatever its size, and something else in its place is said to be none."""

import hashlib
import os

import numpy as np
import pytest
from lineage.audited_root import digest_of, row_index

from components.errors import EnvironmentProblem
from components.ingest.rows import INDEX, by_digest
from pipeline.provenance import row_file
from pipeline.provenance.row_file import RowFile


@pytest.fixture
def rows():
    """200 rows, of which the last five are the first one again, and two share their pixels under different labels."""
    made = row_index(range(200))
    made[-5:] = made[0]
    made["pixels"][7] = made["pixels"][8]
    return by_digest(made)


@pytest.fixture
def file(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(row_file, "BLOCK_ROWS", 7)
    np.save(tmp_path / "train.npy", rows)
    return RowFile(tmp_path / "train.npy")


def test_rows_are_those_that_numpy_saved(file, rows):
    assert len(file) == len(rows)
    assert list(file.row_digests(0, len(rows))) == [row.tobytes() for row in rows["row"]]
    assert list(file.row_digests(5, 40)) == [row.tobytes() for row in rows["row"]][5:40]
    assert list(file.pixels()) == [pixels.tobytes() for pixels in rows["pixels"]]
    assert [file.label(number) for number in range(len(rows))] == rows["label"].tolist()
    assert file.sha256() == hashlib.sha256(file._path.read_bytes()).hexdigest()


@pytest.mark.parametrize("number", [0, 1, 100])
def test_a_row_is_found_by_either_digest_as_often_as_it_is_there(file, rows, number):
    row, pixels = digest_of(f"row {number}"), digest_of(f"pixels {number}")
    assert list(file.with_row(row)) == [i for i, one in enumerate(rows["row"]) if one.tobytes() == row]
    assert file.with_pixels(pixels) == [i for i, one in enumerate(rows["pixels"]) if one.tobytes() == pixels]
    assert len(file.with_row(row)) == (6 if number == 0 else 1)


def test_pixels_are_found_under_both_labels(file):
    assert len(file.with_pixels(digest_of("pixels 8"))) == 2


def test_a_digest_across_two_columns_is_no_row(file):
    straddling = file.row_digest(3)[16:] + next(pixels for i, pixels in enumerate(file.pixels()) if i == 3)[:16]
    assert file.with_pixels(straddling) == []
    assert list(file.with_row(straddling)) == []


def test_what_is_not_there_has_the_place_between_its_neighbours(file):
    before = file.position(digest_of("nowhere"))
    assert file.row_digest(before - 1) < digest_of("nowhere") < file.row_digest(before)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x01\x00\x02\x00[]" + bytes(72),
        b"\x93NUMPY\x01\x00\x40\x00" + b"(" * 64,
    ],
)
def test_other_bytes_are_no_row_index(tmp_path, content):
    (tmp_path / "train.npy").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match="not a row index"):
        RowFile(tmp_path / "train.npy")


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
def test_a_header_that_tells_of_another_number_of_rows_is_refused(tmp_path, rows, change):
    np.save(tmp_path / "train.npy", rows)
    (tmp_path / "train.npy").write_bytes(change((tmp_path / "train.npy").read_bytes()))
    with pytest.raises(EnvironmentProblem, match="not a row index"):
        RowFile(tmp_path / "train.npy")


def test_an_array_of_another_kind_is_refused(tmp_path):
    np.save(tmp_path / "train.npy", np.zeros(3))
    with pytest.raises(EnvironmentProblem, match="not a row index"):
        RowFile(tmp_path / "train.npy")


def test_a_fifo_is_no_row_index(tmp_path):
    os.mkfifo(tmp_path / "train.npy")
    with pytest.raises(EnvironmentProblem, match="no plain file"):
        RowFile(tmp_path / "train.npy")


def test_an_empty_split_has_no_rows(tmp_path):
    np.save(tmp_path / "test.npy", np.zeros(0, INDEX))
    file = RowFile(tmp_path / "test.npy")
    assert (len(file), list(file.pixels()), file.with_pixels(bytes(32)), file.position(bytes(32))) == (0, [], [], 0)


def test_a_file_that_is_changed_after_it_was_looked_at_is_not_read_on(file):
    os.truncate(file._path, 1000)
    with pytest.raises(EnvironmentProblem, match="was changed while it was read"):
        file.row_digest(3)


def test_no_file_is_kept_open(file):
    """A root can have thousands of data sets."""
    _ = file.with_row(file.row_digest(3)), list(file.pixels())
    assert str(file._path) not in {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
