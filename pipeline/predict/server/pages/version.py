"""The page of a version: its lineage across runs as a graph, and what is known of each node, of its bytes, and who approved it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, MnistTfxError, shortened
from pipeline.audit.findings import FAIL, PASS, VERDICTS, Audit
from pipeline.lineage.export import details
from pipeline.lineage.export import page as lineage_page
from pipeline.lineage.export.marks import Mark, marks
from pipeline.lineage.history import HistoryReader, RunFacts, VersionFacts
from pipeline.lineage.show import show
from pipeline.predict.monitor import Monitoring, latest
from pipeline.predict.server.pages.audits import Audits, BytesState, LastAudit, bytes_state
from pipeline.predict.server.pages.changes import Changes, Differences, changes
from pipeline.predict.server.service import Service

AFFECTED: Final = "/affected/"
"""Beginning of the address at which it is said what a digest went into."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One verdict of an audit: its name, its result, its colour, and what it is about."""

    name: str
    result: str
    kind: str
    scope: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionPage:
    """What the page shows.

    Attributes:
      version: the version.
      run: that made it; None where its record is gone.
      changes: since the version before; None of the first one.
      bytes_state: what is known of its bytes.
      last_audit: its last audit; None if nobody asked for one since the server was started.
      auditing: whether one is under way.
      verdicts: of that audit.
      findings: of that audit, a line to each.
      monitoring: what was last said of the requests to it; None if nobody asked.
      unmonitored: why that cannot be read, in one line.
      loaded: whether the server answers with it.
      undrawn: why its lineage cannot be drawn; empty if it can.
      others: numbers of the versions before and after it, None at the ends.
    """

    version: VersionFacts
    run: RunFacts | None
    changes: Changes | None
    bytes_state: BytesState
    last_audit: LastAudit | None
    auditing: bool
    verdicts: tuple[Verdict, ...]
    findings: tuple[str, ...]
    monitoring: Monitoring | None
    unmonitored: str
    loaded: bool
    undrawn: str
    others: tuple[int | None, int | None]


def page(  # noqa: PLR0913  # what a version has to do with
    reader: HistoryReader,
    audits: Audits,
    differences: Differences,
    service: Service | None,
    root: Path,
    number: int,
) -> tuple[VersionPage, str, dict[str, Any]]:
    """Return what the page of a version shows, and the style and the values of its drawing.

    Raises:
      BadInput: if no such version was ever pushed.
    """
    history = reader.read()
    version = history.versions.get(number)
    if version is None:
        known = ", ".join(map(str, history.versions)) or "none"
        raise BadInput("no such version", where="address", wanted=f"one of {known}", got=number)
    run = history.run(version.run_id)
    last = audits.last(number)
    audit = None if last is None else last.audit
    undrawn, style, values = _drawn(root, number, audit)
    monitoring, unmonitored = _monitoring(root, version)
    numbers = sorted(history.versions)
    place = numbers.index(number)
    before = numbers[place - 1] if place else None
    shown = VersionPage(
        version=version,
        run=run,
        changes=None if before is None else changes(root, before, number, differences),
        bytes_state=bytes_state(number, audits, service),
        last_audit=last,
        auditing=audits.is_running(number),
        verdicts=() if audit is None else tuple(_verdict(audit, name) for name in VERDICTS),
        findings=() if audit is None else tuple(str(finding) for finding in audit.findings),
        monitoring=monitoring,
        unmonitored=unmonitored,
        loaded=service is not None and number in service.versions.loaded,
        undrawn=undrawn,
        others=(before, numbers[place + 1] if place + 1 < len(numbers) else None),
    )
    return shown, style, values


def _monitoring(root: Path, version: VersionFacts) -> tuple[Monitoring | None, str]:
    try:
        return latest(root, version.version, version.sha256), ""
    except MnistTfxError as err:
        return None, shortened(err)


def _drawn(root: Path, number: int, audit: Audit | None) -> tuple[str, str, dict[str, Any]]:
    """Return why the lineage cannot be drawn, or the style and the values of its drawing."""
    try:
        lineage = show(root, number)
        known = details.gather(root, lineage)
    except MnistTfxError as err:
        return shortened(err), "", {}
    broken: tuple[Mark, ...] = () if audit is None else marks(lineage, known.records, audit.findings)
    drawing, values = lineage_page.drawn(lineage, broken, details=known, affected=AFFECTED)
    return "", lineage_page.style_of(drawing), values


def _verdict(audit: Audit, name: str) -> Verdict:
    result = audit.verdicts[name]
    kind = "good" if result == PASS else "bad" if result == FAIL else "warn"
    return Verdict(name=name, result=result, kind=kind, scope=str(audit.scopes[name]) if name in audit.scopes else "")
