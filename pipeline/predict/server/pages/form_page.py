"""A page with a form: empty, answered on the page, and answered as JSON."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.errors import MnistTfxError
from pipeline.predict.server.pages import shell
from pipeline.predict.server.pages.refusals import one_line, status_of
from pipeline.predict.server.pages.site import Site
from pipeline.predict.server.status import RequestError


class Answered(Protocol):
    """What a form is answered with."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""


Found = TypeVar("Found", bound=Answered)


class FormPage(abc.ABC, Generic[Found]):
    """The endpoints of one form; what is refused is said where the answer would stand.

    Attributes:
      path: of the page; its JSON is below it.
      template: of the page.
      script: of the page.

    Args:
      site: what pages can ask.
      values: what the template is given besides the answer.
    """

    path: ClassVar[str]
    template: ClassVar[str]
    script: ClassVar[str]

    def __init__(self, site: Site, **values: Any) -> None:
        self._site = site
        self._values = values

    def routes(self) -> list[Route]:
        """Return the page, and the same as JSON."""
        return [
            Route(self.path, self._empty, methods=["GET"]),
            Route(self.path, self._answer, methods=["POST"]),
            Route(f"{self.path}/answer.json", self._answer_json, methods=["POST"]),
        ]

    @abc.abstractmethod
    async def find(self, request: Request) -> Found:
        """Return the answer to a form that was sent.

        Raises:
          MnistTfxError: if there is none.
          RequestError: if what was sent is not to be read.
        """

    def as_json(self, found: Found) -> Response:
        """Return the answer as JSON."""
        return JSONResponse(found.to_dict())

    async def _empty(self, request: Request) -> Response:
        del request
        return self._page(None, None)

    async def _answer(self, request: Request) -> Response:
        try:
            return self._page(await self.find(request), None)
        except (MnistTfxError, RequestError) as err:
            return self._page(None, err)

    async def _answer_json(self, request: Request) -> Response:
        try:
            found = await self.find(request)
        except (MnistTfxError, RequestError) as err:
            return JSONResponse({"error": one_line(err)}, status_of(err))
        return self.as_json(found)

    def _page(self, found: Found | None, error: MnistTfxError | RequestError | None) -> Response:
        return shell.answer(
            self.template,
            here=self.path,
            status=200 if error is None else status_of(error),
            style=shell.text_of("draw.css"),
            script=shell.text_of(self.script),
            it=found,
            error=None if error is None else one_line(error),
            **self._values,
        )
