"""TensorFlow Serving's REST interface, as its documentation and its paths have it, on Starlette."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.predict.server import json_tensors
from pipeline.predict.server.body import header, read_body
from pipeline.predict.server.metrics import CONTENT_TYPE
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.openapi import DOCUMENT
from pipeline.predict.server.service import Service, Spec
from pipeline.predict.server.status import Code, RequestError, invalid
from pipeline.predict.server.tokens import Token

Result = TypeVar("Result")

JSON: Final = "application/json"
PATH: Final = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?:/(?P<metadata>metadata)|:(?P<method>predict|classify|regress))?",
    re.IGNORECASE,
)
METRICS: Final = ("/metrics", "/monitoring/prometheus/metrics")
"""Ours, and where TensorFlow Serving has them."""

LARGE: Final = 64 << 10
"""Bytes of a body that is parsed in a thread: 14 MB, which are 4,096 images, take 0.1 s."""

_TYPE: Final = (b"content-type", JSON.encode())
OPENAPI: Final = "/openapi.json"
MOST_VERSION: Final = (1 << 63) - 1


class RestApi:
    """The application: one object, one method for each kind of request.

    Args:
      service: answers.
      token: that every request has to bear; None asks for none.
      say: called with one line for each request that failed by a fault of this server.
      pages: answers what is no path of the interface; None where there are no pages.
    """

    def __init__(
        self, service: Service, token: Token | None, say: Callable[[str], None], pages: ASGIApp | None = None
    ) -> None:
        self._service = service
        self._token = token
        self._say = say
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ASGI's interface."""
        try:
            self._require_token(scope)
            if self._pages is not None and _is_page(scope["path"]):
                await self._pages(scope, receive, send)
                return
            response = await self._answer(scope, receive)
        except RequestError as err:
            response = _failure(err)
        except Exception as err:  # noqa: BLE001  # a fault of ours: whoever asked gets JSON all the same
            self._say(f"cannot answer {scope['method']} {scope['path']}: {type(err).__name__}: {err}")
            response = _failure(RequestError(Code.INTERNAL, "internal error; the server's standard error has more"))
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        # As the server decoded it, once: an URL made of it again would lose its line breaks.
        path = scope["path"]
        if path in METRICS:
            _require_method(scope, "GET")
            return Response(self._service.metrics_page(), media_type=CONTENT_TYPE)
        if path == OPENAPI:
            _require_method(scope, "GET")
            return _json(DOCUMENT)
        found = PATH.fullmatch(path)
        if found is None:
            raise RequestError(Code.NOT_FOUND, f"Malformed request: {scope['method']} {path}")
        spec, method = _spec(found), (found["method"] or "").lower()
        _require_method(scope, "POST" if method else "GET")
        if method:
            return await self._timed(method, lambda: self._ask(scope, receive, spec, method))
        kind, answer = ("metadata", self._metadata) if found["metadata"] else ("status", self._status)
        return await self._timed(kind, lambda: answer(spec))

    async def _timed(self, method: str, answer: Callable[[], Awaitable[Response]]) -> Response:
        return await self._service.limited(method, "rest", answer)

    async def _ask(self, scope: Scope, receive: Receive, spec: Spec, method: str) -> Response:
        body = await read_body(scope, receive, self._service.limits)
        model = self._service.find(spec)
        if method != "predict":
            declared = f"tensorflow/serving/{method}"
            raise invalid(f"Expected signature method_name to be {declared}. Was: tensorflow/serving/predict")
        # What is large is read and written by a thread, so that small requests are answered meanwhile.
        large = len(body) > LARGE
        signature, inputs, form = await _called(json_tensors.parse_predict, body, model, in_thread=large)
        outputs = await self._service.predict(model, signature, inputs)
        return _Prediction(await _called(json_tensors.format_predict, outputs, form, in_thread=large), model)

    async def _status(self, spec: Spec) -> Response:
        return Response(json_format.MessageToJson(self._service.status(spec), **_PROTO), media_type=JSON)

    async def _metadata(self, spec: Spec) -> Response:
        from tensorflow_serving.apis import get_model_metadata_pb2

        model = self._service.find(spec)
        response = self._service.metadata(model)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        named = json_format.MessageToDict(response.model_spec, **_PROTO)
        # TensorFlow Serving's answer names the spec's fields even where they are empty.
        body = {
            "model_spec": {"signature_name": "", **named},
            "metadata": {"signature_def": json_format.MessageToDict(signatures, **_PROTO)},
        }
        return _json(body, model.headers)

    def _require_token(self, scope: Scope) -> None:
        if self._token is None or self._token.accepts(header(scope, b"authorization").decode("latin-1")):
            return
        self._service.metrics.refused_tokens.labels("rest").inc()
        # A browser asks its user for a password where it is told of Basic.
        asks = 'Basic realm="mnist-tfx", charset="UTF-8"' if self._pages and _is_page(scope["path"]) else "Bearer"
        raise _Unauthenticated(asks)


_SHOW_DEFAULTS: Final = (
    "including_default_value_fields"  # until protobuf 5, with TFX 1.16
    if "including_default_value_fields" in inspect.signature(json_format.MessageToJson).parameters
    else "always_print_fields_with_no_presence"
)
_PROTO: Final[dict[str, Any]] = {"preserving_proto_field_name": True, _SHOW_DEFAULTS: True}
"""As TensorFlow Serving prints its protos."""


def _spec(found: re.Match[str]) -> Spec:
    version = None if found["version"] is None else int(found["version"][:20])
    if version is not None and version > MOST_VERSION:
        raise invalid(f"Failed to convert version: {found['version'][:40]} to numeric.")
    return Spec(name=found["name"], version=version, label=found["label"])


def _json(body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(json_tensors.dumps(body), media_type=JSON, headers=headers)


def _failure(error: RequestError) -> Response:
    headers: dict[str, str] | None
    headers = {"retry-after": "1"} if error.code in {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE} else None
    if isinstance(error, _Unauthenticated):
        headers = {"www-authenticate": error.asks}
    if isinstance(error, _MethodNotAllowed):
        headers = {"allow": error.allowed}
    body = json_tensors.dumps({"error": error.message})
    return Response(body, status_code=error.http, media_type=JSON, headers=headers)


class _Prediction(Response):
    """The answer that all speed is for: its headers are ready, and no others are made first."""

    def __init__(self, body: bytes, model: LoadedModel) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [_TYPE, (b"content-length", b"%d" % len(body)), *model.raw_headers]


async def _called(function: Callable[..., Result], *args: object, in_thread: bool) -> Result:
    return await asyncio.to_thread(function, *args) if in_thread else function(*args)


class _Unauthenticated(RequestError):
    def __init__(self, asks: str) -> None:
        super().__init__(Code.UNAUTHENTICATED, "a bearer token is required")
        self.asks = asks


class _MethodNotAllowed(RequestError):
    def __init__(self, scope: Scope, allowed: str) -> None:
        message = f"Malformed request: {scope['method']} {scope['path']}"
        super().__init__(Code.INVALID_ARGUMENT, message, http=405)
        self.allowed = allowed


def _require_method(scope: Scope, allowed: str) -> None:
    if scope["method"] != allowed:
        raise _MethodNotAllowed(scope, allowed)


def _is_page(path: str) -> bool:
    return not path.lower().startswith("/v1/") and path not in METRICS and path != OPENAPI
