"""Digests of a SavedModel's variables, read from the TensorBundle without TensorFlow."""

import hashlib
import struct
import subprocess
import sys

import pytest

from components.errors import EnvironmentProblem
from pipeline.lineage.diff.tensors import Tensor, differing, tensors

FLOAT, INT64 = 1, 9
WEIGHTS = struct.pack("<4f", 1, 2, 3, 4)
COUNT = struct.pack("<q", 7)
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)


def varint(number):
    low, high = number & 0x7F, number >> 7
    return bytes([low]) if not high else bytes([low | 0x80]) + varint(high)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(dtype, shape, offset, size):
    dimensions = b"".join(field(2, field(1, length)) for length in shape)
    crc = varint(6 << 3 | 5) + b"\0\0\0\0"
    return field(1, dtype) + field(2, dimensions) + field(4, offset) + field(5, size) + crc


def block(pairs):
    """Entries with the prefix that they share with the one before left out, as the format has it."""
    data, before = b"", b""
    for key, value in pairs:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return data + struct.pack("<II", 0, 1)


def table(pairs):
    """One block of entries, an index block that points at it, and the footer."""
    body = block(pairs)
    index = block([(b"~", varint(0) + varint(len(body)))])
    handle = varint(len(body) + 5) + varint(len(index))
    footer = (varint(0) + varint(0) + handle).ljust(40, b"\0") + MAGIC
    return body + bytes(5) + index + bytes(5) + footer


@pytest.fixture
def saved_model(tmp_path):
    """A model with two variables, of which the names begin alike, and the description of its objects."""
    variables = tmp_path / "variables"
    variables.mkdir()
    entries = [
        (b"", field(1, 1)),
        (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), 24, 3)),
        (b"layer/kernel", entry(FLOAT, (2, 2), 0, 16)),
        (b"layer/steps", entry(INT64, (), 16, 8)),
    ]
    (variables / "variables.index").write_bytes(table(entries))
    (variables / "variables.data-00000-of-00001").write_bytes(WEIGHTS + COUNT + b"xyz")
    return tmp_path


def test_every_variable_has_type_shape_and_digest_and_the_object_graph_is_none(saved_model):
    assert tensors(saved_model) == {
        "layer/kernel": Tensor(dtype="float32", shape=(2, 2), sha256=hashlib.sha256(WEIGHTS).hexdigest()),
        "layer/steps": Tensor(dtype="int64", shape=(), sha256=hashlib.sha256(COUNT).hexdigest()),
    }


def test_tensors_of_one_side_alone_differ_too(saved_model):
    found = tensors(saved_model)
    kernel = {"layer/kernel": found["layer/kernel"]}
    assert differing(found, found) == ()
    assert differing(kernel, found) == ("layer/steps",)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda index: index[:-1], "no table"),
        (lambda index: index[:0], "no table"),
        (lambda index: index[:20] + index[-48:], "a block at"),
        (lambda index: b"\xff" * 12 + index[12:], "not a TensorBundle"),
    ],
)
def test_a_damaged_index_is_named(saved_model, damage, what):
    index = saved_model / "variables" / "variables.index"
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(EnvironmentProblem, match=what) as caught:
        tensors(saved_model)
    assert "variables.index" in str(caught.value)


def test_data_that_is_cut_short_is_named(saved_model):
    data = saved_model / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(WEIGHTS)
    with pytest.raises(EnvironmentProblem, match="is cut short"):
        tensors(saved_model)


def test_a_model_without_variables_is_named(tmp_path):
    with pytest.raises(EnvironmentProblem, match="cannot read the variables"):
        tensors(tmp_path)


READ_BY_TENSORFLOW = """
import hashlib, sys
import tensorflow as tf
reader = tf.train.load_checkpoint(sys.argv[1])
for name in reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}:
    print(name, hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest())
"""


@pytest.mark.e2e
def test_they_are_the_tensors_that_tensorflow_reads(first_run):
    model = first_run[0] / "serving" / "1"
    done = subprocess.run(
        [sys.executable, "-c", READ_BY_TENSORFLOW, str(model / "variables" / "variables")],
        capture_output=True,
        text=True,
        check=True,
    )
    by_tensorflow = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert {name: tensor.sha256 for name, tensor in tensors(model).items()} == by_tensorflow
