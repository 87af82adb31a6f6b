"""The pages of a root whose newest version is loaded in this process: no server, no port."""

from __future__ import annotations

from pathlib import Path

from server import many_runs
from starlette.testclient import TestClient

from pipeline.predict.server import model
from pipeline.predict.server.versions import Versions, Wanted
from pipeline.root.paths import RunPaths


def versions(root: Path, scratch: Path) -> Versions:
    """Return the newest version of a root, verified and loaded, as a server holds it."""
    found = Versions(
        RunPaths(root),
        Wanted(),
        load=lambda folder, number, digest: model.load(folder, number, digest, lambda _: None),
        scratch=scratch,
        say=print,
    )
    found.refresh()
    assert found.loaded
    return found


def pages(root: Path, loaded: Versions) -> TestClient:
    """Return a client of the pages of a root."""
    return many_runs.pages(root, versions=loaded)
