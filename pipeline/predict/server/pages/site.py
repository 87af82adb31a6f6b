"""What pages are made from, and the application that answers them."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from pipeline.predict.server.body import read_body
from pipeline.predict.server.service import Service
from pipeline.predict.server.status import Code, RequestError

Result = TypeVar("Result")

THREADS: Final = 2
"""For what pages read: never those that models are asked on."""

MOST: Final = 32
"""Pages that are answered at the same time; predictions are to find room whatever browsers do."""

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Others are told nothing; our own forms say where they come from, which under no-referrer they would not.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Of every page, beside the Content-Security-Policy in its head."""

LOCAL: Final = frozenset({"localhost", ""})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """What a page can ask.

    Attributes:
      root: of the pipeline, absolute.
      name: of the model, in addresses.
      service: predicts, and knows the versions that are loaded.
      threads: run what blocks.
    """

    root: Path
    name: str
    service: Service
    threads: ThreadPoolExecutor = dataclasses.field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
    )

    async def run(self, function: Callable[..., Result], *args: object, **kwargs: object) -> Result:
        """Return what a function returns that reads files or computes, called on a thread of the pages' own."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *args, **kwargs))

    async def body(self, request: Request) -> bytes:
        """Return what a request carries, within the server's limits of size and time.

        Raises:
          RequestError: if it is larger, or does not come in time.
        """
        return await read_body(request.scope, request.receive, self.service.limits)


class Pages:
    """Answers what is no path of the API.

    Args:
      site: what the pages are made from.
      routes: their table.
      guarded: whether a token or a certificate protects them already.
    """

    def __init__(self, site: Site, routes: list[Route], *, guarded: bool) -> None:
        self._site = site
        self._router = Router(routes, redirect_slashes=False, default=_no_page)
        self._guarded = guarded
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ASGI's interface.

        Raises:
          RequestError: if there is no such page, or too many are asked at the same time.
        """
        self._require_own_host(Request(scope))
        if self._running >= MOST:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{MOST} pages are being answered")
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        self._running += 1
        try:
            await self._site.service.limited("page", "rest", lambda: self._router(scope, receive, answer))
        except RequestError:
            # Once the head has gone out, all that is left is to break the connection off, which the server then does.
            if not begun:
                raise
        finally:
            self._running -= 1

    def _require_own_host(self, request: Request) -> None:
        """Refuse a page to a name that somebody else's site has been given for this machine's address."""
        name = request.url.hostname or ""
        if self._guarded or name in LOCAL:
            return
        try:
            ipaddress.ip_address(name)
        except ValueError:
            raise RequestError(Code.NOT_FOUND, f"no pages at {name}: ask for localhost, or an address") from None


async def _no_page(scope: Scope, receive: Receive, send: Send) -> None:
    del receive, send
    raise RequestError(Code.NOT_FOUND, f"Malformed request: {scope['method']} {scope['path']}")
