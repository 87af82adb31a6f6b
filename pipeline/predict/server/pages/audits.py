"""Audits that were asked for on a page, each with the time at which it was made; none is made unasked."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
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
    """The last audit of each version since the server was started, and those that are under way.

    Args:
      root: of the pipeline.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._one_at_a_time = threading.Lock()
        self._registry = threading.Lock()
        self._last: Mapping[int, Audited] = {}
        self._running: dict[int, Future[Audited]] = {}

    def last(self, version: int) -> Audited | None:
        """Return the last audit of a version; None if nobody has asked for one."""
        return self._last.get(version)

    def is_running(self, version: int) -> bool:
        """Return whether a version is being audited, or waits for it."""
        return version in self._running

    def start(self, version: int) -> Future[Audited]:
        """Audit a version on a thread of its own; nothing in the root is changed. One that is under way is joined."""
        with self._registry:
            found = self._running.get(version)
            if found is None:
                found = self._running[version] = Future()
                # A daemon: the server does not wait for an audit when it ends.
                threading.Thread(target=self._audit, args=(version, found), name="audit", daemon=True).start()
            return found

    def _audit(self, version: int, future: Future[Audited]) -> None:
        try:
            with self._one_at_a_time:
                began = utc(time.time())
                done = Audited(time=began, audit=audit_version(self._root, version))
        except MnistTfxError as err:
            done = Audited(time=began, why_not=shortened(err))
        except Exception as err:  # noqa: BLE001  # a root may be damaged in any way, and a page waits for an answer
            done = Audited(time=began, why_not=shortened(f"{type(err).__name__}: {err}"))
        self._last = {**self._last, version: done}
        with self._registry:
            del self._running[version]
        future.set_result(done)


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
