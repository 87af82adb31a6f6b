"""The table of the pages."""

from __future__ import annotations

from starlette.routing import Route

from pipeline.predict.server.pages.site import Site


def routes(site: Site) -> list[Route]:
    """Return the pages, each with its path; a path of the API is never asked here."""
    del site
    return []
