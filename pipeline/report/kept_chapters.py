"""Chapters of a report that were made before of the same records, kept in the user's own cache.

A run that reuses everything shows the same data, models and curves again: to read 16,000 rows, to draw and to fill in the
templates once more takes it a second. A chapter follows from what the run's nodes recorded and from the code of this package,
and is known by them. As it is not made of the artifacts again, they have to be what was recorded: a chapter is kept, and
taken, only where every byte of them was read and found to be so.

The files are not in the root: they become a part of the page as they are, and whoever can write to a root is not trusted
with that. They are used only if nobody but the user can write to them; where none can be kept, all is made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from markupsafe import Markup

from components.digest import canonical_json, sha256_bytes, sha256_file
from components.errors import MnistTfxError
from pipeline.audit.findings import INTEGRITY, PASS
from pipeline.provenance.artifacts import difference
from pipeline.report.page import RECORDED, Chapter
from pipeline.report.run_data import RunData
from pipeline.root.user_cache import REPORTS, is_own, keep, user_cache
from pipeline.stages import INGEST

MOST: Final = 40
"""Files that are kept, the ones that were used last; each has the chapters of a run, some 300 kB."""

DRAWN_WITH: Final = ("jinja2", "matplotlib", "numpy", "pillow")


def read(evidence: RunData) -> dict[str, Chapter]:
    """Return the chapters {id: chapter} that were kept for what a run recorded; none where there are none."""
    try:
        path = _file(evidence)
        if not (is_own(path.parent) and is_own(path)):
            return {}
        fields = json.loads(path.read_bytes())
        os.utime(path)
        return {id_: _chapter(id_, one) for id_, one in fields.items()}
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError):  # RuntimeError: no home
        return {}  # there is none, or no whole one


def write(evidence: RunData, chapters: Iterable[Chapter]) -> None:
    """Keep chapters for the next report on what the run recorded; where none can be kept, they are made again."""
    fields = {
        one.id: {"title": one.title, "html": one.html, "absent": one.absent} for one in chapters if one.id in RECORDED
    }
    with contextlib.suppress(OSError, RuntimeError):
        path = _file(evidence)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_own(path.parent):
            keep(path, json.dumps(fields).encode(), MOST)


def is_proven(evidence: RunData) -> bool:
    """Return whether all that the run's nodes recorded is there, and is as recorded.

    The audit of the version has read what is behind it. A run whose code is newer may have come to the same bytes by records
    of its own, and a run that was refused has no version: their artifacts are read here.
    """
    root, audited = evidence.paths.root, _audited(evidence)
    for node in evidence.run.nodes:
        record = evidence.executions.get(node.id)
        for entry in [] if record is None else itertools.chain.from_iterable(record.outputs.values()):
            if not (root / entry.path).is_dir() or (node.record not in audited and difference(root, entry)):
                return False
    return True


def _audited(evidence: RunData) -> frozenset[str]:
    """Return the hashes of the records whose artifacts the audit found to be intact."""
    try:
        audit = evidence.audit
    except MnistTfxError:
        return frozenset()  # the version is gone
    return audit.records if audit is not None and audit.verdicts[INTEGRITY] == PASS else frozenset()


def _file(evidence: RunData) -> Path:
    """Return where the chapters of a run are, which may not exist; a deletion request finds it by the data's record."""
    run = evidence.run
    ingested = next((node.record for node in run.nodes if node.id == INGEST), None)
    shown = {
        "code": _code(),
        "nodes": [[node.id, node.record] for node in run.nodes],
        "settings": run.settings,
        "sources": [dataclasses.asdict(source) for source in run.sources],
        "status": run.status,
    }
    return user_cache() / REPORTS / f"{ingested}-{sha256_bytes(canonical_json(shown))}.json"


@functools.cache
def _code() -> list[str]:
    """Return what stands for the code that makes chapters, its templates included."""
    files = sorted(file for file in Path(__file__).parent.rglob("*") if file.suffix in {".py", ".j2"})
    return [*map(sha256_file, files), *map(version, DRAWN_WITH)]


def _chapter(id_: str, fields: Mapping[str, str | None]) -> Chapter:
    html = fields["html"]
    safe = None if html is None else Markup(html)  # noqa: S704  # the user's own file, as the templates gave it
    return Chapter(id=id_, title=str(fields["title"]), html=safe, absent=str(fields["absent"]))
