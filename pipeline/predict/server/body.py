"""The body of a request, read within bounds of size and time."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope

from pipeline.predict.server.deadline import deadline
from pipeline.predict.server.service import Limits
from pipeline.predict.server.status import Code, RequestError


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first header of a name, in lower case; nothing where there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """Return what a request carries.

    Raises:
      RequestError: if it is too large (413), does not come in time (408), or the client goes away meanwhile.
    """
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > limits.body:
        raise _too_large(limits.body)
    try:
        # Half of the time: what a slow client does not send is to be its own failure, not ours.
        async with deadline(limits.seconds / 2):
            return await _read(receive, limits.body)
    except asyncio.TimeoutError:
        raise RequestError(Code.DEADLINE_EXCEEDED, "the body was not sent in time", http=408) from None


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(Code.CANCELLED, "the client has gone")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> RequestError:
    return RequestError(Code.INVALID_ARGUMENT, f"the body is larger than {most} bytes", http=413)
