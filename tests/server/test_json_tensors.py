"""JSON bodies and arrays, without a server: every way in gives the same array or the same error."""

import json
import types

import numpy as np
import pytest

from pipeline.predict.server import json_tensors
from pipeline.predict.server.model import Signature, TensorSpec
from pipeline.predict.server.status import RequestError

PIXELS = TensorSpec(dtype=np.dtype(np.uint8), tensorflow_dtype="DT_UINT8", shape=(-1, 4))
FLOATS = TensorSpec(dtype=np.dtype(np.float32), tensorflow_dtype="DT_FLOAT", shape=(-1, 4))


def parse(body, spec=PIXELS):
    signature = Signature(name="serving_default", inputs={"images": spec}, outputs={}, call=None, batcher=None)
    model = types.SimpleNamespace(signature=lambda _: signature)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json_tensors.parse_predict(data, model)[1]["images"]


@pytest.mark.parametrize("values", [[0, 1, 254, 255], [0, 0, 0, 0]])
@pytest.mark.parametrize("rows", [1, 3])
def test_pixels_are_read_as_they_are(values, rows):
    found = parse({"instances": [values] * rows})
    assert (found.dtype, found.tolist()) == (np.uint8, [values] * rows)


@pytest.mark.parametrize(
    "value",
    [
        [[0, 1, 2, 256]],
        [[-1, 0, 0, 0]],
        [[True, 0, 0, 0]],
        [[0.5, 0, 0, 0]],
        [["a", 0, 0, 0]],
        [[None, 0, 0, 0]],
        ["abcd"],
    ],
    ids=str,
)
def test_nothing_is_taken_for_a_pixel_that_is_none(value):
    with pytest.raises(RequestError, match="expected type: uint8"):
        parse({"instances": value})


@pytest.mark.parametrize("value", [[[0], [0, 1]], [[0, 1], 2], [[0, 1], {"a": 1}]], ids=str)
def test_rows_that_are_unlike_are_refused(value):
    with pytest.raises(RequestError):
        parse({"instances": value})


def test_a_whole_number_that_is_written_as_a_float_is_none():
    with pytest.raises(RequestError, match="expected type: uint8"):
        parse(b'{"instances": [[1.0, 0, 0, 0]]}')


def test_numbers_that_are_no_json_are_read_as_tensorflow_serving_reads_them():
    found = parse(b'{"instances": [[NaN, Infinity, -Infinity, 1]]}', FLOATS)
    assert np.isnan(found[0, 0])
    assert found[0, 1:].tolist() == [np.inf, -np.inf, 1.0]


OUTPUTS = {
    "classes": np.array([3, 1]),
    "class_names": np.array([b"three", b"one"], object),
    "probabilities": np.array([[0.1, 0.9], [1e-9, 1.0]], np.float32),
}


def test_a_row_answer_has_an_object_for_each_row():
    (first, _) = json.loads(json_tensors.format_predict(OUTPUTS, "row"))["predictions"]
    assert first == {"classes": 3, "class_names": "three", "probabilities": [0.1, 0.9]}


def test_a_column_answer_has_a_list_for_each_output():
    found = json.loads(json_tensors.format_predict(OUTPUTS, "column"))["outputs"]
    assert found["classes"] == [3, 1]
    np.testing.assert_array_equal(np.array(found["probabilities"], np.float32), OUTPUTS["probabilities"])


@pytest.mark.parametrize("form", ["row", "column"])
def test_what_is_not_finite_is_written_as_tensorflow_serving_writes_it(form):
    outputs = {"probabilities": np.array([[np.nan, np.inf]], np.float32)}
    assert b"[[NaN, Infinity]]" in json_tensors.format_predict(outputs, form)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
        np.zeros((0, 4), np.float32),
        np.zeros((2, 2), np.float16),
        np.zeros((2, 2), bool),
        np.array(3.5),
    ],
    ids=lambda value: f"{value.dtype} {value.shape}",
)
def test_every_array_can_be_written(value):
    assert json.loads(json_tensors.format_predict({"one": value}, "column"))["outputs"] == value.tolist()
