"""The table of the pages."""

from __future__ import annotations

import asyncio
import functools
import io
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from components.errors import BadInput, MnistTfxError, Refused, shortened
from pipeline.lineage.data_sets import DataSetReader
from pipeline.lineage.evidence.write import write_evidence
from pipeline.lineage.history import HistoryReader
from pipeline.predict.server.pages import affected, comparison, draw, impacts, overview, run, shell, tables, version
from pipeline.predict.server.pages.audits import audits_of
from pipeline.predict.server.pages.changes import differences_of
from pipeline.predict.server.pages.site import Site
from pipeline.root.paths import RunPaths

Endpoint = Callable[[Request], Awaitable[Response]]

PATIENCE: Final = 10.0
"""Seconds that whoever asks for an audit is kept waiting for its answer."""

_INERT: Final = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "cache-control": "no-store",
}
"""Headers of what lies in the root as a file: whoever can write there shall not have a script run among the pages."""

_UNREADABLE: Final = (500, "This root cannot be read")
_PROBLEMS: Final[Mapping[type[MnistTfxError], tuple[int, str]]] = {
    BadInput: (404, "Not here"),
    Refused: (403, "Refused"),
}
"""{kind of error: status of the answer, title of the page}."""

_EVIDENCE: Final[Mapping[str, str]] = {"html": "text/html; charset=utf-8", "zip": "application/zip"}


def routes(site: Site) -> list[Route]:
    """Return the pages, each with its path; a path of the API is never asked here."""
    pages = _Pages(site)
    table: list[tuple[str, Endpoint]] = [
        ("/", pages.runs),
        ("/live.json", pages.live),
        ("/runs/{run_id}", pages.run),
        ("/runs/{run_id}/log", pages.log),
        ("/runs/{run_id}/report", pages.report),
        ("/runs/{run_id}/{name}.lineage.html", pages.lineage),
        ("/versions/{number:int}", pages.version),
        ("/versions/{number:int}/evidence.{form}", pages.evidence),
        ("/affected/{digest}", pages.affected),
        ("/compare", pages.compare),
    ]
    return [
        *(Route(path, _shown(endpoint), methods=["GET"]) for path, endpoint in table),
        Route("/versions/{number:int}/verify", _shown(pages.verify), methods=["POST"]),
        *draw.routes(site),
        *impacts.routes(site),
        # Whatever has no page comes last: it takes every path.
        Route("/{path:path}", _shown(pages.missing), methods=["GET"]),
    ]


class _Pages:
    """What the pages about runs and versions share: the history that was read, and the audits that were made.

    Args:
      site: what pages can ask.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._reader = HistoryReader(site.root)
        self._data_sets = DataSetReader(site.root)
        self._audits = audits_of(site.root)
        self._answers = comparison.answers_of(site.root)
        self._differences = differences_of(site.root)
        self._paths = RunPaths(site.root)

    async def runs(self, request: Request) -> Response:
        return await self._site.run(self._runs, request.query_params)

    def _runs(self, fields: Mapping[str, str]) -> Response:
        shown = overview.overview(self._reader, self._data_sets, self._audits, self._site.service, fields)
        return shell.answer(
            "overview.html.j2",
            here="/",
            it=shown,
            name=self._site.name,
            run_table=overview.RUNS,
            data_table=overview.DATA_SETS,
            orders=tables.ORDERS,
            rows=tables.ROWS,
        )

    async def live(self, request: Request) -> Response:
        found = await self._site.run(self._live, request.query_params.get("run"))
        return JSONResponse(found, headers={"cache-control": "no-store"})

    def _live(self, run_id: str | None) -> dict[str, object]:
        history = self._reader.read()
        running = [{"run_id": run.run_id, "phase": run.note} for run in history.runs if run.is_running]
        known = run_id is not None and history.run(run_id) is not None
        log = run.tail(self._paths, run_id) if known and run_id is not None else None
        return {"state": overview.mark(history), "running": running, "log": None if log is None else log.text}

    async def run(self, request: Request) -> Response:
        return await self._site.run(self._run, request.path_params["run_id"])

    def _run(self, run_id: str) -> Response:
        history, shown = run.page(self._reader, self._site.root, run_id)
        kind = overview.KINDS.get(shown.run.state, "")
        return shell.answer(
            "run.html.j2",
            here="",
            it=shown,
            kind=kind,
            name=self._site.name,
            mark=overview.mark(history),
            states=run.STATES,
        )

    async def log(self, request: Request) -> Response:
        data = await self._site.run(run.whole_log, self._reader, self._site.root, request.path_params["run_id"])
        return Response(data, media_type="text/plain; charset=utf-8", headers=_INERT)

    async def report(self, request: Request) -> Response:
        data = await self._site.run(run.report, self._reader, self._site.root, request.path_params["run_id"])
        return Response(data, media_type="text/html; charset=utf-8", headers=_INERT)

    async def lineage(self, request: Request) -> Response:
        """Answer the link that a report has to the page beside it in the root."""
        found = await self._site.run(lambda: run.find(self._reader.read(), request.path_params["run_id"]))
        where = f"/runs/{found.run_id}" if found.version is None else f"/versions/{found.version.version}"
        return RedirectResponse(where, status_code=307)

    async def version(self, request: Request) -> Response:
        return await self._site.run(self._version, request.path_params["number"])

    def _version(self, number: int) -> Response:
        shown, style, values = version.page(
            self._reader, self._audits, self._differences, self._site.service, self._site.root, number
        )
        kind = overview.KINDS.get(shown.version.state, "")
        return shell.answer(
            "version.html.j2", here="", it=shown, kind=kind, name=self._site.name, style=style, **values
        )

    async def verify(self, request: Request) -> Response:
        _require_own_form(request)
        number = request.path_params["number"]
        known = await self._site.run(lambda: self._reader.read().versions)
        if number not in known:
            raise BadInput("no such version", where="address", got=number)
        done = asyncio.wrap_future(self._audits.start(number))
        # What takes longer goes on, and the page says so.
        await asyncio.wait({done}, timeout=PATIENCE)
        return RedirectResponse(f"/versions/{number}#verdicts", status_code=303)

    async def evidence(self, request: Request) -> Response:
        number, form = request.path_params["number"], request.path_params["form"]
        if form not in _EVIDENCE:
            raise BadInput("no form of evidence", where="address", wanted=" or ".join(_EVIDENCE), got=form)
        file = io.BytesIO()
        await self._site.run(write_evidence, self._site.root, number, file, form=form)
        name = f"{_plain(self._site.name)}-version-{number}-evidence.{form}"
        shown = "inline" if form == "html" else "attachment"
        headers = {**_INERT, "content-disposition": f'{shown}; filename="{name}"'}
        return Response(file.getvalue(), media_type=_EVIDENCE[form], headers=headers)

    async def affected(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        found = await self._site.run(affected.affected, self._site.root, digest)
        known = list(dict.fromkeys(one.what for one in found.found))
        return shell.answer("affected.html.j2", here="", it=found, digest=digest, known=known)

    async def compare(self, request: Request) -> Response:
        run_ids = request.query_params.getlist("run")
        hashes = await self._site.run(lambda: comparison.require(self._reader.read(), run_ids))
        unasked = [hash_ for hash_ in hashes if self._answers.last(hash_) is None]
        if unasked:
            await asyncio.wait({asyncio.wrap_future(self._answers.start(one)) for one in unasked}, timeout=PATIENCE)
        shown = await self._site.run(comparison.comparison, self._reader, self._site.root, hashes, self._answers)
        return shell.answer(
            "comparison.html.j2", here="", it=shown, kinds=overview.KINDS, again=f"/compare?{request.url.query}"
        )

    async def missing(self, request: Request) -> Response:
        raise BadInput("there is no such page", got=request.scope["path"])


def _shown(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that answers what is wrong with a root, or an address, in a page of its own."""

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except MnistTfxError as err:
            status, title = next((found for kind, found in _PROBLEMS.items() if isinstance(err, kind)), _UNREADABLE)
            return shell.answer(
                "problem.html.j2",
                here="",
                status=status,
                title=title,
                error=shortened(err, 500),
                hint=err.hint,
            )

    return answer


def _require_own_form(request: Request) -> None:
    """Refuse what another site's page sends: browsers name the sender of every POST.

    Raises:
      Refused: if it does not come from a page of this server.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    if origin != f"{request.url.scheme}://{request.headers.get('host', '')}" or site != "same-origin":
        raise Refused("only the pages of this server may ask for this", where="origin", got=origin or "none")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)
