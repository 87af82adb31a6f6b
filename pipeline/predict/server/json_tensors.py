"""JSON and arrays: the mapping that TensorFlow Serving's REST interface documents.

https://www.tensorflow.org/tfx/serving/api_rest has the formats: rows under `instances`, or columns under `inputs`, and
answers likewise under `predictions` or `outputs`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import orjson

from pipeline.predict.server.batching import Arrays
from pipeline.predict.server.model import LoadedModel, Signature, TensorSpec
from pipeline.predict.server.status import invalid

Array = npt.NDArray[Any]
Format = Literal["row", "column"]

DEFAULT: Final = "serving_default"
BYTES: Final = "b64"
DEEPEST: Final = 32
"""Lists in each other: the dimensions that an array can have in every NumPy."""

BINARY_SUFFIX: Final = "_bytes"
"""Strings of outputs with such a name are bytes, and encoded; others are text."""

_ONE_OF: Final = "expecting only one of 'inputs' or 'instances' keys to exist"


def parse_predict(body: bytes, model: LoadedModel) -> tuple[Signature, Arrays, Format]:
    """Return which signature is asked, with what, and in which format the answer is wanted.

    Args:
      body: of the request.
      model: that is asked; its signatures tell the types.

    Raises:
      RequestError: INVALID_ARGUMENT, with what is wrong with the body.
    """
    request = parse_object(body)
    # Of NumPy's types alone a boolean cannot be told from a number any more; nobody sends one among pixels.
    plain = b"true" not in body and b"false" not in body
    name = request.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    signature = model.signature(name)
    if "instances" in request:
        if "inputs" in request:
            raise invalid(f"Not formatted correctly {_ONE_OF}")
        return signature, _rows(request["instances"], signature, plain=plain), "row"
    if "inputs" in request:
        return signature, _columns(request["inputs"], signature, plain=plain), "column"
    raise invalid("Missing 'inputs' or 'instances' key")


def parse_object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body holds.

    Raises:
      RequestError: INVALID_ARGUMENT if it is none.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        parsed = _loads(body)
    except (ValueError, RecursionError) as err:
        where = f"{err.msg} at offset: {err.pos}" if isinstance(err, json.JSONDecodeError) else "Invalid value."
        raise invalid(f"JSON Parse error: {where}") from None
    if not isinstance(parsed, dict):
        raise invalid("JSON Value: Is not object")
    return parsed


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        # TensorFlow Serving takes NaN and Infinity, which are no JSON, as this parser does; it also words what is wrong.
        return json.loads(body)


def dumps(body: Any) -> bytes:
    """Return a body as JSON; arrays may be among its values, whose floats have as many digits as their type needs."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY, default=_listed)


def _listed(value: Any) -> Any:
    """Return an array that orjson does not know how to write, such as a slice of another, as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def format_predict(outputs: Arrays, form: Format) -> bytes:
    """Return the body of an answer.

    In row format each output is taken apart by its first dimension; one with fewer than the others cannot be.

    Raises:
      RequestError: INVALID_ARGUMENT where outputs of a row answer have different numbers of rows.
    """
    values = {name: _json_values(name, value) for name, value in outputs.items()}
    if all(value.dtype.kind not in "fV" or np.isfinite(value).all() for value in outputs.values()):
        return dumps(_body(values, outputs, form))
    # NaN and Infinity, as TensorFlow Serving writes them and orjson does not.
    listed = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return json.dumps(_body(listed, outputs, form)).encode()


def _body(values: Mapping[str, Any], outputs: Arrays, form: Format) -> dict[str, Any]:
    if form == "column":
        return {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    if any(value.ndim == 0 for value in outputs.values()) or len({len(value) for value in outputs.values()}) > 1:
        raise invalid("outputs do not have the same number of rows: ask in columnar format")
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    return {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}


def _rows(instances: Any, signature: Signature, *, plain: bool) -> dict[str, Array]:
    if not isinstance(instances, list):
        raise invalid("Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid("No values in 'instances' array")
    named = isinstance(instances[0], dict) and set(instances[0]) != {BYTES}
    if not named:
        if len(signature.inputs) > 1:
            raise invalid("instances is a plain list, but expecting list of objects as multiple input tensors required")
        ((name, spec),) = signature.inputs.items()
        return {name: _array(name, instances, spec, plain=plain)}
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != signature.inputs.keys():
            wanted = ",".join(sorted(signature.inputs))
            raise invalid(f"Failed to process element: {index} of 'instances' list. keys must be equal to: {wanted}")
    return {
        name: _array(name, [one[name] for one in instances], spec, plain=plain)
        for name, spec in signature.inputs.items()
    }


def _columns(inputs: Any, signature: Signature, *, plain: bool) -> dict[str, Array]:
    if isinstance(inputs, dict) and set(inputs) != {BYTES}:
        if missing := sorted(signature.inputs.keys() - inputs.keys()):
            raise invalid(f"Missing named input: {missing[0]} in 'inputs' object.")
        return {name: _array(name, inputs[name], spec, plain=plain) for name, spec in signature.inputs.items()}
    if len(signature.inputs) > 1:
        raise invalid("inputs is a plain value/list, but expecting an object as multiple input tensors required")
    ((name, spec),) = signature.inputs.items()
    return {name: _array(name, inputs, spec, plain=plain)}


def _array(name: str, value: Any, spec: TensorSpec, *, plain: bool) -> Array:
    """Return nested lists as an array of the declared type; nothing is rounded, cut or wrapped to fit."""
    if plain and spec.dtype == np.uint8 and (quick := _pixels(value)) is not None:
        return quick
    leaves, shape = _flat(name, value)
    if not leaves:
        return np.zeros(shape, spec.dtype)
    if spec.dtype == object:
        array = np.empty(len(leaves), object)
        array[:] = [_decoded(one) for one in leaves]
        return array.reshape(shape)
    wanted = f"is not of expected type: {spec.tensorflow_dtype.removeprefix('DT_').lower()}"
    # NumPy alone would take true for 1 among numbers, and objects for what they are.
    if not set(map(type, leaves)) <= ({bool} if spec.dtype.kind == "b" else {int, float}):
        raise invalid(f"JSON Value of input {name} {wanted}")
    array = np.asarray(leaves)
    if spec.dtype.kind in "iu":
        _require_integers(name, array, spec.dtype, wanted)
    elif array.dtype.kind != spec.dtype.kind and not (spec.dtype.kind == "f" and array.dtype.kind in "iu"):
        raise invalid(f"JSON Value of input {name} {wanted}")
    return array.astype(spec.dtype).reshape(shape)


def _pixels(value: Any) -> Array | None:
    """Return a list of equally long lists of bytes' values as an array, in a tenth of the time; None for all else."""
    if type(value) is not list or {type(row) for row in value} != {list} or len({len(row) for row in value}) != 1:
        return None
    try:
        joined = b"".join(map(bytes, value))
    except (TypeError, ValueError):  # no integer, or none of a byte: what is wrong is told where nothing is quick
        return None
    return np.frombuffer(joined, np.uint8).reshape(len(value), -1) if joined else None


def _flat(name: str, value: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Return what lies in nested lists, and the shape that the lists have; without recursion, however deep they are."""
    level, shape = [value], []
    while level and (kinds := set(map(type, level))) & {list}:
        sizes = set(map(len, level)) if kinds == {list} else set()
        if len(sizes) != 1:
            raise invalid(f"JSON Value of input {name}: lists at one level have different sizes")
        shape.append(sizes.pop())
        if len(shape) > DEEPEST:
            raise invalid(f"JSON Value of input {name}: more than {DEEPEST} lists in each other")
        level = list(itertools.chain.from_iterable(level))
    return level, tuple(shape)


def _require_integers(name: str, array: Array, dtype: np.dtype[Any], wanted: str) -> None:
    if array.dtype.kind not in "iu":
        raise invalid(f"JSON Value of input {name} {wanted}")
    limits = np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        got = array.min() if array.min() < limits.min else array.max()
        raise invalid(f"JSON Value of input {name}: {got} {wanted}, from {limits.min} to {limits.max}")


def _decoded(value: Any) -> Any:
    """Return a string as bytes."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can escape
            raise invalid("JSON Value is not of expected type: string, of valid Unicode") from None
    if isinstance(value, dict) and value.keys() == {BYTES} and isinstance(value[BYTES], str):
        try:
            return base64.b64decode(value[BYTES], validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Unable to base64 decode") from None
    raise invalid("JSON Value is not of expected type: string")


def _json_values(name: str, value: Array) -> Any:
    if value.dtype == object:
        return _encoded(value.tolist(), binary=name.endswith(BINARY_SUFFIX))
    # The numbers of a flat array are objects of NumPy's, one by one, and slower to write than Python's.
    return value.tolist() if value.ndim <= 1 else value


def _encoded(value: Any, *, binary: bool) -> Any:
    if isinstance(value, list):
        return [_encoded(one, binary=binary) for one in value]
    return {BYTES: base64.b64encode(value).decode()} if binary else value.decode("utf-8", "replace")
