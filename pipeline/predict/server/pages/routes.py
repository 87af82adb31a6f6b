"""The table of the pages."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.errors import BadInput, MnistTfxError, shortened
from pipeline.lineage.history import HistoryReader
from pipeline.predict.server.pages import overview, shell
from pipeline.predict.server.pages.audits import Audits
from pipeline.predict.server.pages.site import Site

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(site: Site) -> list[Route]:
    """Return the pages, each with its path; a path of the API is never asked here."""
    pages = _Pages(site)
    table: list[tuple[str, Endpoint]] = [
        ("/", pages.runs),
        ("/live.json", pages.live),
        ("/{path:path}", pages.missing),
    ]
    return [Route(path, _shown(endpoint), methods=["GET"]) for path, endpoint in table]


class _Pages:
    """What the pages about runs and versions share: the history that was read, and the audits that were made.

    Args:
      site: what pages can ask.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._reader = HistoryReader(site.root)
        self._audits = Audits(site.root)

    async def runs(self, request: Request) -> Response:
        return await self._site.run(self._runs, overview.Query.of(request.query_params))

    def _runs(self, query: overview.Query) -> Response:
        shown = overview.overview(self._reader, self._audits, self._site.service, query)
        return shell.answer(
            "overview.html.j2", here="/", it=shown, name=self._site.name, columns=overview.COLUMNS, rows=overview.ROWS
        )

    async def live(self, request: Request) -> Response:
        del request
        return JSONResponse(await self._site.run(self._live), headers={"cache-control": "no-store"})

    def _live(self) -> dict[str, object]:
        history = self._reader.read()
        running = [{"run_id": run.run_id, "phase": run.note} for run in history.runs if run.is_running]
        return {"state": overview.mark(history), "running": running, "log": None}

    async def missing(self, request: Request) -> Response:
        raise BadInput("there is no such page", got=request.scope["path"])


def _shown(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that answers what is wrong with a root, or an address, in a page of its own."""

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except MnistTfxError as err:
            missing = isinstance(err, BadInput)
            return shell.answer(
                "problem.html.j2",
                here="",
                status=404 if missing else 500,
                title="Not here" if missing else "This root cannot be read",
                error=shortened(err, 500),
                hint=err.hint,
            )

    return answer
