"""IDX bytes -> rows and back; fault rows 22 to 28."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.errors import BadInput, MnistTfxError
from components.ingest import idx
from components.settings import DataSettings

EIGHT = DataSettings(shape=(8, 8), pixel_max=16)


def images_bytes(count, height=8, width=8, *, magic=0x803, rows=None, order=">"):
    rows = count if rows is None else rows
    return struct.pack(f"{order}4I", magic, count, height, width) + bytes(rows * height * width)


def labels_bytes(count, *, values=None):
    return struct.pack(">2I", 0x801, count) + (bytes(count) if values is None else bytes(values))


@pytest.fixture
def pair(tmp_path):
    def pair(images=None, labels=None):
        paths = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
        paths[0].write_bytes(images_bytes(5) if images is None else images)
        paths[1].write_bytes(labels_bytes(5) if labels is None else labels)
        return paths

    return pair


def read_all(paths, rows=3, data=None):
    chunks = list(idx.iter_chunks(*paths, rows=rows, data=data))
    assert [chunk.start for chunk in chunks] == list(range(0, sum(map(len, chunks)), rows))
    return np.concatenate([c.pixels for c in chunks]), np.concatenate([c.labels for c in chunks])


@settings(max_examples=50)
@given(
    images=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 5))),
    suffix=st.sampled_from(["", ".gz"]),
    rows=st.integers(1, 10),
)
def test_images_of_any_size_come_back_as_they_were_written(tmp_path_factory, images, suffix, rows):
    folder = tmp_path_factory.getbasetemp()
    paths = folder / f"images{suffix}", folder / f"labels{suffix}"
    labels = np.arange(len(images)) * 20
    idx.write_images(paths[0], images)
    idx.write_labels(paths[1], labels)
    pixels, found = read_all(paths, rows)
    assert idx.check(*paths).shape == images.shape
    np.testing.assert_array_equal(pixels, images.reshape(len(images), -1))
    np.testing.assert_array_equal(found, labels)
    assert (pixels.dtype, found.dtype) == (np.uint8, np.int64)


def test_equal_images_give_equal_bytes_also_as_gzip(tmp_path):
    for name in ("a.gz", "b.gz"):
        idx.write_images(tmp_path / name, np.ones((2, 3, 4), np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("labels", [np.array([256]), np.array([-1]), np.array([0.5]), np.zeros((2, 2), int)])
def test_labels_that_are_no_bytes_are_not_written(tmp_path, labels):
    with pytest.raises(ValueError, match="from 0 to 255"):
        idx.write_labels(tmp_path / "labels", labels)


IMAGE_FAULTS = {
    "labels given as images": (labels_bytes(5), "wanted magic 0x00000803, got 0x00000801: is this the labels file?"),
    "header byte-swapped": (images_bytes(5, order="<"), "big-endian"),
    "sizes byte-swapped": (struct.pack(">I", 0x803) + struct.pack("<3I", 5, 8, 8) + bytes(320), "byte-swapped"),
    "floats": (images_bytes(5, magic=0xD03), "the values are float32"),
    "unknown type byte": (images_bytes(5, magic=0x703), "unknown type byte 0x07"),
    "four dimensions": (images_bytes(5, magic=0x804), "the values have 4 dimensions"),
    "text": (b"label,pixel0\n5,0\n", "is it a CSV file?"),
    "2^31 images": (images_bytes(2**31, rows=1), "claims more than the file can hold: wanted 2147483648 images"),
    "sizes that overflow": (images_bytes(2**32 - 1, 2**32 - 1, 2**32 - 1, rows=0), "claims more than the file"),
    "count above the payload": (images_bytes(5, rows=4), "wanted 5 images of 8x8 (336 bytes), got at most 272 bytes"),
    "count below the payload": (images_bytes(5, rows=6), "wanted 5 images of 8x8 (336 bytes), got 6 (400 bytes)"),
    "gzip, count above": (gzip.compress(images_bytes(5, rows=4)), "wanted 5 images of 8x8 (336 bytes), got 4 (272"),
    "gzip, count below": (gzip.compress(images_bytes(5, rows=6)), "got more than 336 bytes"),
    "zero images": (images_bytes(0), "is empty"),
    "images without height": (images_bytes(5, 0, 8), "got 5 images of 0x8"),
    "nothing at all": (b"", "wanted 16 bytes or more, got 0"),
    "header cut short": (images_bytes(5)[:13], "wanted 16 bytes or more, got 13"),
}


@pytest.mark.fault(22, 23, 25)
@pytest.mark.parametrize(("images", "message"), IMAGE_FAULTS.values(), ids=IMAGE_FAULTS.keys())
@pytest.mark.parametrize("read", [idx.check, lambda *p: read_all(p)], ids=["check", "iter_chunks"])
def test_an_unusable_images_file_is_refused_with_its_cause(pair, images, message, read):
    paths = pair(images=images)
    with pytest.raises(BadInput) as caught:
        read(*paths)
    assert str(paths[0]) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(images_bytes(5), "is this the images file?", id="images given as labels"),
        pytest.param(labels_bytes(4), "wanted 5 labels, got 4", id="fewer labels than images"),
        pytest.param(labels_bytes(6), "wanted 5 labels, got 6", id="more labels than images"),
        pytest.param(labels_bytes(5, values=[1] * 7), "wanted 5 labels (13 bytes), got 7 (15 bytes)", id="count low"),
        pytest.param(labels_bytes(5, values=[1]), "wanted 5 labels (13 bytes), got at most 9 bytes", id="count high"),
        pytest.param(labels_bytes(0), "is empty", id="zero labels"),
    ],
)
@pytest.mark.parametrize("read", [idx.check, lambda *p: read_all(p)], ids=["check", "iter_chunks"])
def test_an_unusable_labels_file_is_refused_with_both_numbers(pair, labels, message, read):
    paths = pair(labels=labels)
    with pytest.raises(BadInput) as caught:
        read(*paths)
    assert str(paths[1]) in str(caught.value)
    assert message in str(caught.value)


def test_a_bomb_is_not_read_past_the_size_in_its_header(pair):
    paths = pair(images=gzip.compress(images_bytes(5) + bytes(1 << 28)))
    with pytest.raises(BadInput, match="got more than 336 bytes"):
        idx.check(*paths)


@pytest.mark.fault(27)
def test_labels_out_of_range_are_refused_with_the_first_ten_rows_and_their_count(pair):
    paths = pair(images_bytes(30), labels_bytes(30, values=[9] * 10 + [10] * 12 + [0] * 8))
    with pytest.raises(BadInput) as caught:
        read_all(paths, data=EIGHT)
    assert str(caught.value).startswith(f"{paths[1]}: 12 rows have an unusable label: wanted whole numbers from 0 to 9")
    assert "'10' in row 10, '10' in row 11" in str(caught.value)
    assert str(caught.value).endswith("'10' in row 19, and 2 more")


@pytest.mark.fault(28)
def test_pixels_above_the_maximum_are_refused_with_row_and_column(pair):
    images = bytearray(images_bytes(5))
    images[16 + 64 * 3 + 7] = 17
    paths = pair(bytes(images))
    with pytest.raises(BadInput, match=r"1 row has an unusable pixel: wanted .* 0 to 16, got '17' in row 3 column 8$"):
        read_all(paths, rows=2, data=EIGHT)
    assert len(read_all(paths)[0]) == 5


def test_another_shape_than_the_recipes_is_refused(pair):
    with pytest.raises(BadInput, match="wanted 28x28, got 8x8"):
        idx.check(*pair(), DataSettings(shape=(28, 28), pixel_max=255))


@settings(max_examples=200)
@given(at=st.integers(0, 15), value=st.integers(0, 255), cut=st.integers(0, 80))
def test_a_damaged_header_never_ends_in_anything_but_a_known_error(tmp_path_factory, at, value, cut):
    folder = tmp_path_factory.getbasetemp()
    images = bytearray(images_bytes(1))
    images[at] = value
    paths = folder / "damaged", folder / "one-label"
    paths[0].write_bytes(images[:cut])
    paths[1].write_bytes(labels_bytes(1))
    try:
        pixels, labels = read_all(paths)
    except MnistTfxError:
        return
    assert pixels.size == cut - 16
    assert len(labels) == 1
