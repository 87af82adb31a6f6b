"""TensorFlow Serving's PredictionService and ModelService, over the stubs of tensorflow-serving-api."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pipeline.predict.server.json_tensors import DEFAULT
from pipeline.predict.server.model import Signature, TensorSpec
from pipeline.predict.server.service import SIGNATURE_DEF, Service, Spec
from pipeline.predict.server.status import Code, RequestError, invalid
from pipeline.predict.server.tokens import Token

CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
LABEL, VERSION = "version_label", "version"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]  # generated
    """Predictions and metadata; the names of the methods are the protocol's."""

    def __init__(self, service: Service, token: Token | None = None) -> None:
        self._service = service
        self._token = token

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return a PredictResponse."""
        return await _answered(self._service, self._token, "predict", context, lambda: self._predict(request, context))

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return a GetModelMetadataResponse."""
        return await _answered(
            self._service, self._token, "metadata", context, lambda: self._metadata(request, context)
        )

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse, as TensorFlow Serving does where signatures are for Predict."""
        return await self._wrong_method("classify", request, context)

    async def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse, as TensorFlow Serving does where signatures are for Predict."""
        return await self._wrong_method("regress", request, context)

    async def _wrong_method(self, method: str, request: Any, context: Any) -> Any:
        async def refuse() -> Any:
            self._service.find(_spec(request.model_spec))
            wanted = f"tensorflow/serving/{method}"
            raise invalid(f"Expected signature method_name to be {wanted}. Was: tensorflow/serving/predict")

        return await _answered(self._service, self._token, method, context, refuse)

    async def _predict(self, request: Any, context: Any) -> Any:
        model = self._service.find(_spec(request.model_spec))
        signature = model.signature(request.model_spec.signature_name or DEFAULT)
        inputs = _arrays(request.inputs, signature, self._service.limits.body)
        outputs = await self._service.predict(model, signature, inputs)
        wanted = list(request.output_filter) or list(outputs)
        if unknown := sorted(set(wanted) - outputs.keys()):
            raise invalid(f"output tensor alias not found in signature: {unknown[0]}")
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self._service.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = signature.name
        for name in wanted:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        await context.send_initial_metadata(tuple(model.headers.items()))
        return response

    async def _metadata(self, request: Any, context: Any) -> Any:
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        if unknown := [field for field in request.metadata_field if field != SIGNATURE_DEF]:
            raise invalid(f"Metadata field {unknown[0]} is not supported")
        model = self._service.find(_spec(request.model_spec))
        await context.send_initial_metadata(tuple(model.headers.items()))
        return self._service.metadata(model)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]  # generated
    """Where versions stand."""

    def __init__(self, service: Service, token: Token | None = None) -> None:
        self._service = service
        self._token = token

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return a GetModelStatusResponse."""

        async def answer() -> Any:
            return self._service.status(_spec(request.model_spec))

        return await _answered(self._service, self._token, "status", context, answer)


def register(server: Any, service: Service, token: Token | None) -> None:
    """Add both services to a gRPC server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(service, token), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service, token), server)


async def _answered(
    service: Service, token: Token | None, method: str, context: Any, answer: Callable[[], Awaitable[Any]]
) -> Any:
    try:
        _require_token(service, context, token)
        return await service.limited(method, "grpc", answer)
    except RequestError as err:
        await context.abort(CODES[err.code], err.message)


def _require_token(service: Service, context: Any, token: Token | None) -> None:
    given = dict(context.invocation_metadata() or ()).get("authorization", "")
    if token is not None and not token.accepts(str(given)):
        service.metrics.refused_tokens.labels("grpc").inc()
        raise RequestError(Code.UNAUTHENTICATED, "a bearer token is required")


def _spec(spec: Any) -> Spec:
    """Return which model is meant.

    Raises:
      RequestError: INVALID_ARGUMENT if none is named.
    """
    if not spec.name:
        raise invalid("Missing ModelSpec")
    choice = spec.WhichOneof("version_choice")
    return Spec(
        name=spec.name,
        version=spec.version.value if choice == VERSION else None,
        label=spec.version_label if choice == LABEL else None,
    )


def _arrays(inputs: Any, signature: Signature, most: int) -> dict[str, Any]:
    """Return the tensors of a request as arrays of the declared types, of at most so many elements each."""
    return {name: _array(name, value, signature.input(name), most) for name, value in inputs.items()}


def _array(name: str, proto: Any, spec: TensorSpec, most: int) -> Any:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    # A proto of a few bytes can declare any shape, and stand for one value repeated.
    if any(size < 0 for size in sizes) or math.prod(sizes) > most:
        raise invalid(f"Tensor proto of input {name} has shape {sizes}: at most {most} elements")
    if spec.dtype.kind in "iu" and proto.int_val:
        limits = np.iinfo(spec.dtype)
        if min(proto.int_val) < limits.min or max(proto.int_val) > limits.max:
            raise invalid(f"Tensor proto of input {name} has values beyond {limits.min} to {limits.max}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError) as err:
        raise invalid(f"Tensor proto of input {name} cannot be read: {str(err)[:200]}") from None
