"""An audit beside a run: what looks broken while somebody writes is looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem
from pipeline.audit.findings import COMPLETENESS, FAIL, INTEGRITY, Audit
from pipeline.provenance.ledger import read_ledger
from pipeline.root.paths import RunPaths

ATTEMPTS: Final = 4
STILL_S: Final = 1.0
"""Seconds that a push takes from the version to its line in the ledger, and many more than it usually does."""


def once_still(paths: RunPaths, look: Callable[[], tuple[Audit, ...]]) -> tuple[Audit, ...]:
    """Return what an audit finds, which holds no lock: between a push and its record a root looks as after a crash.

    So a fault counts once nobody is at work, or once it is there a few times.
    """
    audits: tuple[Audit, ...] = ()
    for _ in range(ATTEMPTS):
        before = _length(paths.ledger)
        audits = look()
        failed = any(audit.verdicts[about] == FAIL for audit in audits for about in (INTEGRITY, COMPLETENESS))
        if not failed or not _grows(paths, before):
            break
    return audits


def _grows(paths: RunPaths, before: int) -> bool:
    """Return whether somebody writes to a ledger that had so many bytes; waited for only where something is open in it."""
    if _length(paths.ledger) != before:
        return True
    try:
        is_open = bool(read_ledger(paths.ledger).unsettled())
    except EnvironmentProblem:
        return False
    deadline = time.monotonic() + STILL_S
    while is_open and time.monotonic() < deadline:
        time.sleep(0.05)
        if _length(paths.ledger) != before:
            return True
    return False


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
