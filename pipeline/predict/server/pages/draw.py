"""The page `/draw`: a picture is drawn or sent, and the version that is served says what it takes it for, and why."""

from __future__ import annotations

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.errors import CannotTell, MnistTfxError
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.pages import drawing
from pipeline.predict.server.pages.drawing import PictureAnswer
from pipeline.predict.server.pages.form_page import FormPage
from pipeline.predict.server.pages.reading import Progress, Readers
from pipeline.predict.server.pages.refusals import one_line, status_of
from pipeline.predict.server.pages.site import Site
from pipeline.predict.server.pages.uploads import Upload, kept_briefly, read_form
from pipeline.predict.server.status import RequestError

PENDING: Final = "making"


def routes(site: Site) -> list[Route]:
    """Return the page, the same as JSON, and how far the training rows are."""
    page = _Draw(site)
    return [*page.routes(), Route(f"{page.path}/rows.json", page.rows, methods=["GET"])]


class _Draw(FormPage[PictureAnswer]):
    path, template, script = "/draw", "draw.html.j2", "draw.js"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._readers = Readers(site.root)

    async def find(self, request: Request) -> PictureAnswer:
        upload = (await read_form(self._site, request))[0]
        return await self._site.run(self._read, self._site.service.versions.find(None), upload)

    def as_json(self, found: PictureAnswer) -> Response:
        text = json.dumps(found.to_dict(), allow_nan=False)
        return Response(text, media_type="application/json", headers=found.model.headers)

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

    def _read(self, model: LoadedModel, upload: Upload) -> PictureAnswer:
        with kept_briefly([upload]) as (path,):
            return drawing.read(model, self._readers.reader(model), self._readers.rows(model), path)
