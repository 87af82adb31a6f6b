"""The OpenAPI document of the REST interface, for clients and for tests that make requests from it."""

from __future__ import annotations

from typing import Any, Final

_ERROR: Final = {
    "description": "What is wrong with the request, or why it is not answered now.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
_NAME: Final = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:]+$"}}
_VERSION: Final = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": (1 << 63) - 1},
}
_ANSWERED_BY: Final = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "Number of the version that answered."},
    "X-Model-Digest": {
        "schema": {"type": "string"},
        "description": "SHA-256 tree digest of the bytes that were loaded.",
    },
}
_TENSOR: Final[dict[str, Any]] = {"description": "A value, nested lists of them, or an object with one for each input."}
_REQUEST: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "signature_name": {"type": "string", "default": "serving_default"},
                    "instances": {"type": "array", "description": "Rows.", "items": _TENSOR},
                    "inputs": _TENSOR,
                },
            }
        }
    },
}


def _answer(what: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"description": what, "headers": _ANSWERED_BY, "content": {"application/json": {"schema": schema}}}


def _operation(name: str, what: str, properties: dict[str, Any], failures: tuple[str, ...]) -> dict[str, Any]:
    answers = {"200": _answer(what, properties), **dict.fromkeys(failures, _ERROR)}
    return {"operationId": name, "summary": what, "responses": answers}


def _paths(prefix: str, name: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    read, ask = ("400", "401", "404", "429", "503", "504"), ("400", "401", "404", "413", "429", "503", "504")
    status = _operation(f"status{name}", "Where versions stand.", {"model_version_status": {"type": "array"}}, read)
    metadata = _operation(f"metadata{name}", "The signatures.", {"metadata": {"type": "object"}}, read)
    predict = _operation(
        f"predict{name}", "The outputs of a signature.", {"predictions": _TENSOR, "outputs": _TENSOR}, ask
    )
    return {
        prefix: {"parameters": parameters, "get": status},
        f"{prefix}/metadata": {"parameters": parameters, "get": metadata},
        f"{prefix}:predict": {"parameters": parameters, "post": {**predict, "requestBody": _REQUEST}},
    }


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.0.3",
    "info": {"title": "mnist-tfx serve: TensorFlow Serving's REST interface", "version": "1"},
    "paths": {
        **_paths("/v1/models/{model}", "", [_NAME]),
        **_paths("/v1/models/{model}/versions/{version}", "OfVersion", [_NAME, _VERSION]),
    },
}
