"""An application that is made while the server answers already: pages need imports that take as long as a model's load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from components.errors import shortened


class Later:
    """Answers as the application does, once it is made; who asks before waits for it.

    Args:
      make: imports and makes it; called once, on a thread.
      say: called with one line if that fails; each request fails then.
    """

    def __init__(self, make: Callable[[], ASGIApp], say: Callable[[str], None]) -> None:
        self._make = make
        self._say = say
        self._made: asyncio.Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ASGI's interface."""
        # Shielded: whoever loses patience must not cancel what the others wait for.
        app = await asyncio.shield(self.begin())
        await app(scope, receive, send)

    def begin(self) -> asyncio.Future[ASGIApp]:
        """Make the application unless that has begun; called on the event loop's thread."""
        if self._made is None:
            self._made = asyncio.get_running_loop().run_in_executor(None, self._make)
            self._made.add_done_callback(self._report)
        return self._made

    def _report(self, made: asyncio.Future[ASGIApp]) -> None:
        if not made.cancelled() and (failure := made.exception()) is not None:
            self._say(f"no pages: {type(failure).__name__}: {shortened(failure)}")
