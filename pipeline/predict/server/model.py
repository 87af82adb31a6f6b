"""A version that is loaded: its signatures as they are declared, and the way to ask them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.serving import SAVED_MODEL
from pipeline.predict.server.batching import Arrays, Batcher, Call
from pipeline.predict.server.status import RequestError, invalid

PREDICT: Final = "tensorflow/serving/predict"
"""The method that every signature of ours declares."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A named input or output, as a signature declares it.

    Attributes:
      dtype: NumPy's; `object` for strings of bytes.
      tensorflow_dtype: the name of the type in TensorFlow's protos, such as `DT_UINT8`.
      shape: one number for each dimension, -1 where any size will do; None where the rank is not declared.
    """

    dtype: np.dtype[Any]
    tensorflow_dtype: str
    shape: tuple[int, ...] | None

    @property
    def batched(self) -> bool:
        """Whether the first dimension counts rows."""
        return bool(self.shape) and self.shape is not None and self.shape[0] == -1

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape can be given."""
        if self.shape is None:
            return True
        pairs = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(wanted in {-1, size} for wanted, size in pairs)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """One way to ask a version.

    Attributes:
      name: such as `serving_default`.
      inputs: {name: what is to be given}.
      outputs: {name: what comes back}.
      call: asks the model, on any thread.
      batcher: asks it together with other requests; None where its dimensions do not count rows.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    call: Any
    batcher: Batcher | None

    def rows(self, inputs: Arrays) -> int:
        """Return how many rows are asked about, after a check of all inputs.

        Raises:
          RequestError: INVALID_ARGUMENT for a missing, unknown or misshapen input, or one of another type.
        """
        if missing := sorted(self.inputs.keys() - inputs.keys()):
            raise invalid(f"Missing named input: {missing[0]} of signature {self.name}")
        for name, value in inputs.items():
            self._check(name, value)
        counts = {name: len(value) for name, value in inputs.items() if self.inputs[name].batched}
        if len(set(counts.values())) > 1:
            raise invalid(f"inputs have different numbers of rows: {counts}")
        return next(iter(counts.values()), 1)

    def input(self, name: str) -> TensorSpec:
        """Return what an input is declared as.

        Raises:
          RequestError: INVALID_ARGUMENT if there is none of that name.
        """
        if name not in self.inputs:
            raise invalid(f"signature {self.name} has no input {name}; its inputs are {', '.join(sorted(self.inputs))}")
        return self.inputs[name]

    def _check(self, name: str, value: npt.NDArray[Any]) -> None:
        spec = self.input(name)
        if value.dtype != spec.dtype:
            raise invalid(f"input {name} is {value.dtype}, expected {spec.tensorflow_dtype}")
        if not spec.accepts(value.shape):
            shape = [None if size == -1 else size for size in spec.shape or ()]
            raise invalid(f"input {name} has shape {list(value.shape)}, expected {shape}")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """One version, in memory.

    Attributes:
      version: its number.
      digest: the tree digest of the bytes that were loaded.
      signatures: {name: signature}.
      signature_defs: TensorFlow's protos of the same, as the file declares them.
      saved_model: it, as TensorFlow loaded it.
    """

    version: int
    digest: str
    signatures: Mapping[str, Signature]
    signature_defs: Mapping[str, Any]
    saved_model: Any = None

    @cached_property
    def headers(self) -> dict[str, str]:
        """The version and the digest that every answer names."""
        return {"x-model-version": str(self.version), "x-model-digest": self.digest}

    @cached_property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The same, as ASGI has headers."""
        return [(name.encode(), value.encode()) for name, value in self.headers.items()]

    def signature(self, name: str) -> Signature:
        """Return a signature by its name.

        Raises:
          RequestError: INVALID_ARGUMENT if there is none.
        """
        if name not in self.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    async def ask(self, signature: Signature, inputs: Arrays, rows: int, executor: Executor) -> Arrays:
        """Return the outputs of a signature; the inputs have been checked, and have so many rows."""
        if signature.batcher is not None:
            return await signature.batcher.ask(inputs, rows)
        return await asyncio.get_running_loop().run_in_executor(executor, signature.call, inputs)


def load(folder: Path, version: int, digest: str, batching: Callable[[Call], Batcher]) -> LoadedModel:
    """Load a SavedModel and ask each of its signatures once, so that no request pays for the first call.

    Args:
      folder: holds `saved_model.pb`; it is not needed afterwards.
      version: its number.
      digest: of the folder's bytes.
      batching: makes the batcher of a signature from its call.

    Raises:
      Exception: whatever TensorFlow raises for a SavedModel that it cannot load or ask.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL).read_bytes())
    declared = dict(proto.meta_graphs[0].signature_def)
    loaded = tf.saved_model.load(str(folder))
    signatures = {}
    for name, function in loaded.signatures.items():
        inputs = {key: _spec(info) for key, info in declared[name].inputs.items()}
        outputs = {key: _spec(info) for key, info in declared[name].outputs.items()}
        call = _Call(loaded, function)
        batched = all(spec.batched for spec in (*inputs.values(), *outputs.values()))
        batcher = batching(call) if batched else None
        signatures[name] = Signature(name=name, inputs=inputs, outputs=outputs, call=call, batcher=batcher)
    model = LoadedModel(
        version=version, digest=digest, signatures=signatures, signature_defs=declared, saved_model=loaded
    )
    _warm_up(model)
    return model


class _Call:
    """A signature's function, with the model that it belongs to: a function alone does not keep its variables."""

    def __init__(self, model: Any, function: Any) -> None:
        self._model = model
        self._function = function

    def __call__(self, inputs: Arrays) -> Arrays:
        import tensorflow as tf

        try:
            outputs = self._function(**{name: tf.constant(value) for name, value in inputs.items()})
        except tf.errors.InvalidArgumentError as err:
            # Such as bytes that are no Example: the model alone can tell.
            raise invalid(_cause(str(err.message))) from None
        return {name: value.numpy() for name, value in outputs.items()}


_NO_CAUSE: Final = ("Graph execution error", "Detected at node", "<stack traces")


def _cause(message: str) -> str:
    """Return the line of TensorFlow's message that says what is wrong with the input."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(_NO_CAUSE)), "invalid input")


def _spec(info: Any) -> TensorSpec:
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(
        dtype=np.dtype(dtype.as_numpy_dtype), tensorflow_dtype=types_pb2.DataType.Name(info.dtype), shape=shape
    )


def _warm_up(model: LoadedModel) -> None:
    for signature in model.signatures.values():
        if any(spec.dtype == object for spec in signature.inputs.values()):
            continue  # no bytes can be made up that every model would take
        shapes = {
            name: [1 if size == -1 else size for size in spec.shape or ()] for name, spec in signature.inputs.items()
        }
        try:
            signature.call({name: np.zeros(shape, signature.inputs[name].dtype) for name, shape in shapes.items()})
        except RequestError:
            continue  # zeros are no valid input of every model
