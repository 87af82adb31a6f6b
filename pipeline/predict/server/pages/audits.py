"""Audits that were asked for on a page, each with the time at which it was made; none is made unasked."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from components.errors import shortened
from pipeline.audit.audit import audit_version
from pipeline.audit.findings import FAIL, PASS, Audit
from pipeline.predict.server.pages.background import Background
from pipeline.predict.server.pages.refusals import attempt
from pipeline.predict.server.service import Service
from pipeline.provenance.records import moment, utc

NOT_YET = "not verified yet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastAudit:
    """An audit of a version, or why there is no verdict.

    Attributes:
      time: UTC, when it began.
      audit: what it says; None where it could not be made.
      why_not: why, in one line.
    """

    time: str
    audit: Audit | None = None
    why_not: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BytesState:
    """What is known of the bytes of a version without reading them again.

    Attributes:
      words: in one line.
      kind: `good`, `bad`, `warn`; empty where nothing is known.
    """

    words: str
    kind: str = ""


Audits = Background[int, LastAudit]
"""The last audit of each version since the server was started, and those that are under way."""


def audits_of(root: Path) -> Audits:
    """Return the audits of a root, of which none is made yet; nothing in the root is changed by one."""

    def audit(version: int) -> LastAudit:
        began = utc(time.time())
        return attempt(
            lambda: LastAudit(time=began, audit=audit_version(root, version)),
            lambda why_not: LastAudit(time=began, why_not=why_not),
        )

    return Background(audit)


def bytes_state(version: int, audits: Audits, service: Service | None) -> BytesState:
    """Return what is known of a version's bytes: its last audit, or what the server found when it loaded them."""
    last = audits.last(version)
    status = None if service is None else service.versions.statuses.get(version)
    if last is not None:
        return _of_audit(last)
    if status is not None and status.message:
        return BytesState(words=f"refused: {status.message}", kind="bad")
    return BytesState(words=NOT_YET)


def _of_audit(last: LastAudit) -> BytesState:
    at = f"{moment(last.time)[:16]} UTC"
    if last.audit is None:
        return BytesState(words=f"no verdict, {at}: {last.why_not}", kind="warn")
    result = last.audit.result
    first = next((one for one in last.audit.findings if one.level == result), None)
    if result == PASS or first is None:
        return BytesState(words=f"{PASS}, {at}", kind="good")
    return BytesState(words=f"{result}, {at}: {shortened(first)}", kind="bad" if result == FAIL else "warn")
