"""The frame of every page of the model server: navigation, style and script around a template, and the answer it goes into."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

from starlette.responses import HTMLResponse

from pipeline.lineage.export import html
from pipeline.lineage.export import page as lineage_page

TEMPLATES: Final = Path(__file__).parent / "templates"

NAVIGATION: Final = (("/", "Runs"), ("/draw", "Draw"), ("/impact", "Impact"))
"""(path, name) of the pages that every page leads to."""


def answer(  # noqa: PLR0913  # what a page can differ in
    template: str,
    *,
    here: str,
    status: int = 200,
    folder: Path = TEMPLATES,
    style: str = "",
    script: str = "",
    **values: Any,
) -> HTMLResponse:
    """Return a page.

    Args:
      template: name of a template that extends `base.html.j2` by its blocks `title` and `main`.
      here: path of the page in the navigation; empty if it is not there.
      status: of the HTTP answer.
      folder: where the template is.
      style: CSS of this page, beside that of all pages.
      script: JavaScript of this page, beside that of all pages.
      values: of the template.
    """
    text = html.rendered(
        folder / template,
        style=_style() + style,
        script=text_of("pages.js") + script,
        pictures=True,
        served=True,
        beside=(TEMPLATES, lineage_page.TEMPLATE.parent),
        navigation=NAVIGATION,
        here=here,
        **values,
    )
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store"})


@functools.cache
def _style() -> str:
    # The lineage page's own: its drawing is on our pages, and its tables fold on a narrow screen.
    files = (lineage_page.TEMPLATE.with_name("page.css"), TEMPLATES / "pages.css")
    return "".join(file.read_text(encoding="utf-8") for file in files)


@functools.cache
def text_of(name: str) -> str:
    """Return the text of a file beside the templates, such as the script of one page."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
