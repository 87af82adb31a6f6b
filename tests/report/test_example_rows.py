"""Examples as ingest writes them come back as they were, or not at all."""

import numpy as np
import pytest

from components.ingest.encode import encode, tfrecord
from pipeline.report import example_rows


@pytest.fixture
def written(tmp_path):
    """A function that writes rows as shards of a split, and returns the artifact's folder."""

    def write(images, labels, shards=1):
        folder = tmp_path / "Split-test"
        folder.mkdir()
        parts = zip(np.array_split(images, shards), np.array_split(labels, shards), strict=True)
        for number, (some, theirs) in enumerate(parts):
            (folder / f"data_tfrecord-{number:05d}-of-{shards:05d}").write_bytes(tfrecord(encode(some, theirs)))
        return tmp_path

    return write


@pytest.mark.parametrize("shards", [1, 3])
def test_pixels_of_every_value_and_large_labels_come_back(written, shards):
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 6)
    labels = np.arange(len(images), dtype=np.int64) * 7
    found = example_rows.read(written(images, labels, shards), "test", 6)
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)


def test_a_limit_takes_the_first_rows(written):
    images = np.arange(40, dtype=np.uint8).reshape(-1, 4)
    found = example_rows.read(written(images, np.arange(10), 2), "test", 4, limit=7)
    assert np.array_equal(found.images, images[:7])


def test_a_split_without_files_has_no_rows(tmp_path):
    assert len(example_rows.read(tmp_path, "validation", 4)) == 0


def test_images_of_another_size_are_refused(written):
    folder = written(np.zeros((3, 9), np.uint8), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="3 images of 4 pixels, got 27"):
        example_rows.read(folder, "test", 4)


def test_what_is_no_example_is_refused(tmp_path):
    (tmp_path / "Split-test").mkdir()
    (tmp_path / "Split-test" / "data_tfrecord-00000-of-00001").write_bytes(tfrecord([b"\x0a\x02\x08\x01"]))
    with pytest.raises(ValueError, match="not an Example as ingest writes it"):
        example_rows.read(tmp_path, "test", 4)
