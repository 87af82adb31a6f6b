"""Audits that were asked for on a page, each with the time at which it was made; none is made unasked."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from components.errors import MnistTfxError, shortened
from pipeline.audit.audit import audit_version
from pipeline.audit.findings import FAIL, PASS, Audit
from pipeline.predict.server.service import Service
from pipeline.provenance.records import utc

NOT_YET = "not verified yet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audited:
    """The answer of an audit.

    Attributes:
      time: UTC, when it began.
      audit: what it says; None where it could not be made.
      why_not: why, in one line.
    """

    time: str
    audit: Audit | None = None
    why_not: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What can be said of the bytes of a version without looking at them again.

    Attributes:
      words: in one line.
      kind: `good`, `bad`, `warn`; empty where nothing is known.
    """

    words: str
    kind: str = ""


class Audits:
    """The last audit of each version since the server was started.

    Args:
      root: of the pipeline.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._last: Mapping[int, Audited] = {}

    def last(self, version: int) -> Audited | None:
        """Return the last audit of a version; None if nobody has asked for one."""
        return self._last.get(version)

    def make(self, version: int) -> Audited:
        """Audit a version now, one at a time; nothing in the root is changed."""
        asked = time.time()
        with self._lock:
            last = self._last.get(version)
            if last is not None and last.time >= utc(asked):
                return last  # made while this one waited
            began = utc(time.time())
            try:
                done = Audited(time=began, audit=audit_version(self._root, version))
            except MnistTfxError as err:
                done = Audited(time=began, why_not=shortened(err))
            self._last = {**self._last, version: done}
            return done


def standing(version: int, audits: Audits, service: Service | None) -> Standing:
    """Return what is known of a version's bytes: its last audit, or what the server found when it loaded them."""
    last = audits.last(version)
    status = None if service is None else service.versions.statuses.get(version)
    if last is not None:
        return _of_audit(last)
    if status is not None and status.message:
        return Standing(words=f"refused: {status.message}", kind="bad")
    return Standing(words=NOT_YET)


def _of_audit(last: Audited) -> Standing:
    at = f"{last.time[:16].replace('T', ' ')} UTC"
    if last.audit is None:
        return Standing(words=f"no verdict, {at}: {last.why_not}", kind="warn")
    result = last.audit.result
    first = next((one for one in last.audit.findings if one.level == result), None)
    if result == PASS or first is None:
        return Standing(words=f"{PASS}, {at}", kind="good")
    return Standing(words=f"{result}, {at}: {shortened(first)}", kind="bad" if result == FAIL else "warn")
