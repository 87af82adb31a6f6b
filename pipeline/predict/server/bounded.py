"""uvicorn's HTTP protocol with bounds on a request's head, which uvicorn and its parser in C have none for."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST: Final = 64 << 10
"""Bytes of a head that has not ended; one that comes in a single read may be as large as the read."""

SECONDS: Final = 30.0
"""From a connection or a head's first byte to the head's end."""


def raise_descriptor_limit() -> None:
    """Let this process have as many open files and connections as it may; the usual limit is for `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # "unlimited" is not taken everywhere
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _most_connections() -> int:
    """Return how many descriptors may be connections: the rest is for models, gRPC and what accepting takes."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most // 2


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that sends too large a head, or none in time: neither memory nor descriptors are for that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        self._in_head = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > _most_connections():
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count a head; the parser calls it."""
        super().on_message_begin()
        self._head, self._in_head = 0, True
        self._wait()

    def on_headers_complete(self) -> None:
        """Count no more; the parser calls it."""
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MOST and not self.transport.is_closing():
                self.send_400_response(f"The head of the request is larger than {MOST} bytes.")

    def _wait(self) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(SECONDS, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
