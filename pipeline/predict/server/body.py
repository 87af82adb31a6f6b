"""The body of a request, read within bounds of size and time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from pipeline.predict.server.service import Limits
from pipeline.predict.server.status import Code, RequestError


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return what a request carries.

    Raises:
      RequestError: if it is too large (413), does not come in time (408), or the client goes away meanwhile.
    """
    try:
        # Half of the time: what a slow client does not send is to be its own failure, not ours.
        return await asyncio.wait_for(_read(request, limits.body), limits.seconds / 2)
    except asyncio.TimeoutError:
        raise RequestError(Code.DEADLINE_EXCEEDED, "the body was not sent in time", http=408) from None
    except ClientDisconnect:
        raise RequestError(Code.CANCELLED, "the client has gone") from None


async def _read(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> RequestError:
    return RequestError(Code.INVALID_ARGUMENT, f"the body is larger than {most} bytes", http=413)
