"""The page `/draw`: a picture is drawn or sent, and the version that is served says what it takes it for, and why."""

from __future__ import annotations

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.errors import CannotTell, MnistTfxError
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.pages import drawing, shell
from pipeline.predict.server.pages.drawing import PictureAnswer
from pipeline.predict.server.pages.reading import Progress, Readers
from pipeline.predict.server.pages.refusals import one_line, status_of
from pipeline.predict.server.pages.site import Site
from pipeline.predict.server.pages.uploads import Upload, kept_briefly, read_form
from pipeline.predict.server.status import RequestError

PATH: Final = "/draw"
PENDING: Final = "making"


def routes(site: Site) -> list[Route]:
    """Return the page, the same as JSON, and how far the training rows are."""
    page = _Draw(site)
    return [
        Route(PATH, page.empty, methods=["GET"]),
        Route(PATH, page.answer, methods=["POST"]),
        Route(f"{PATH}/answer.json", page.answer_json, methods=["POST"]),
        Route(f"{PATH}/rows.json", page.rows, methods=["GET"]),
    ]


class _Draw:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._readers = Readers(site.root)

    async def empty(self, request: Request) -> Response:
        del request
        return self._page(None, None)

    async def answer(self, request: Request) -> Response:
        try:
            return self._page(await self._drawn(request), None)
        except (MnistTfxError, RequestError) as err:
            return self._page(None, err)

    async def answer_json(self, request: Request) -> Response:
        try:
            drawn = await self._drawn(request)
        except (MnistTfxError, RequestError) as err:
            return JSONResponse({"error": one_line(err)}, status_of(err))
        text = json.dumps(drawn.to_dict(), allow_nan=False)
        return Response(text, media_type="application/json", headers=drawn.model.headers)

    async def rows(self, request: Request) -> Response:
        """Say how far the rows of the version are that answers now; `state` is making, ready, or unknown."""
        del request
        try:
            found = await self._site.run(self._rows, self._site.service.versions.find(None))
        except CannotTell as err:
            return JSONResponse({"state": "unknown", "text": one_line(err)})
        except (MnistTfxError, RequestError) as err:
            return JSONResponse({"error": one_line(err)}, status_of(err))
        making = isinstance(found, Progress)
        return JSONResponse({"state": PENDING if making else "ready", "text": str(found) if making else ""})

    def _rows(self, model: LoadedModel) -> object:
        return self._readers.rows(model).get()

    async def _drawn(self, request: Request) -> PictureAnswer:
        upload = (await read_form(self._site, request))[0]
        return await self._site.run(self._read, self._site.service.versions.find(None), upload)

    def _read(self, model: LoadedModel, upload: Upload) -> PictureAnswer:
        with kept_briefly([upload]) as (path,):
            return drawing.read(model, self._readers.reader(model), self._readers.rows(model), path)

    def _page(self, drawn: PictureAnswer | None, error: MnistTfxError | RequestError | None) -> Response:
        return shell.answer(
            "draw.html.j2",
            here=PATH,
            status=200 if error is None else status_of(error),
            style=shell.text_of("draw.css"),
            script=shell.text_of("draw.js"),
            it=drawn,
            error=None if error is None else one_line(error),
        )
