"""The ways in which a request fails, by gRPC's canonical codes, and the HTTP status that TensorFlow Serving gives each."""

from __future__ import annotations

import enum
from typing import Final

from components.errors import shortened


class Code(enum.IntEnum):
    """The canonical codes of gRPC that this server uses; the numbers are gRPC's own."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


HTTP: Final = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""As TensorFlow Serving's REST interface maps them."""

LONGEST: Final = 500
"""Characters of a message, which may quote what was sent."""


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
      code: whose fault it is.
      message: for whoever asked.
      http: status of the HTTP answer.
    """

    def __init__(self, code: Code, message: str, http: int | None = None) -> None:
        # gRPC sends it among the headers, and a client refuses headers beyond 8 KiB.
        message = shortened(message, LONGEST)
        super().__init__(message)
        self.code = code
        self.message = message
        self.http = HTTP[code] if http is None else http


def invalid(message: str) -> RequestError:
    """Return the error of a request that cannot be understood."""
    return RequestError(Code.INVALID_ARGUMENT, message)
