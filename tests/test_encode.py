"""Example wire bytes and TFRecord framing, against protobuf and TensorFlow themselves."""

from __future__ import annotations

import io

import google_crc32c
import numpy as np
import pytest
from apache_beam.io.tfrecordio import _TFRecordUtil
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from components.ingest.encode import encode, tfrecord, varint


@pytest.fixture(scope="module")
def by_protobuf():
    from tensorflow.core.example import example_pb2  # imports TensorFlow: 7 s

    def serialise(pixels, label):
        example = example_pb2.Example()
        example.features.feature["image"].int64_list.value.extend(pixels.tolist())
        example.features.feature["label"].int64_list.value.append(int(label))
        return example.SerializeToString(deterministic=True)

    return serialise


def test_every_pixel_value_is_encoded_as_protobuf_does(by_protobuf):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    assert encode(pixels, np.array([7])) == [by_protobuf(pixels[0], 7)]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), pixels=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_rows_are_encoded_as_protobuf_does(by_protobuf, data, pixels):
    labels = np.array(data.draw(st.lists(st.integers(0, 999), min_size=len(pixels), max_size=len(pixels))))
    assert encode(pixels, labels) == [by_protobuf(*row) for row in zip(pixels, labels, strict=True)]


@pytest.mark.parametrize("side", [1, 8, 11, 12, 28, 91, 92, 128, 129])
def test_lengths_of_any_number_of_bytes_are_encoded_as_protobuf_does(by_protobuf, side):
    rng = np.random.default_rng(side)
    pixels = rng.integers(0, 256, (3, side * side), dtype=np.uint8)
    labels = np.array([0, 128, 999])
    assert encode(pixels, labels) == [by_protobuf(*row) for row in zip(pixels, labels, strict=True)]


def test_no_rows_give_no_examples():
    assert encode(np.zeros((0, 4), np.uint8), np.zeros(0, np.int64)) == []


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_varint_has_seven_bits_a_byte(value, encoded):
    assert varint(value) == encoded


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300)))
def test_beam_reads_the_records_and_finds_their_checksums_right(records):
    file = io.BytesIO(tfrecord(records))
    assert list(iter(lambda: _TFRecordUtil.read_record(file), None)) == records


def test_the_checksum_is_computed_in_c():
    assert google_crc32c.implementation == "c"


@pytest.mark.slow
def test_tensorflow_reads_what_was_written(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (50, 30), dtype=np.uint8), rng.integers(0, 1000, 50)
    (tmp_path / "records").write_bytes(tfrecord(encode(pixels, labels)))
    kinds = {"image": tf.io.FixedLenFeature([30], tf.int64), "label": tf.io.FixedLenFeature([1], tf.int64)}
    batch = next(iter(tf.data.TFRecordDataset(str(tmp_path / "records")).batch(50)))
    read = tf.io.parse_example(batch, kinds)
    assert np.array_equal(read["image"], pixels)
    assert np.array_equal(read["label"][:, 0], labels)
