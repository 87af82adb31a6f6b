"""A version that was pruned: what the ledger says of its end, and its statement, which follows from the records."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem
from pipeline.provenance.ledger import Chain, Event, Line, Push
from pipeline.provenance.records import ExecutionRecord, Record
from pipeline.provenance.statement import build_statement, served_files, statement_bytes
from pipeline.root.paths import RunPaths

MODEL: Final = "model"
"""Channel by which the Pusher reads what it pushes."""

_EVENTS: Final = (Event.PUSHED, Event.STAGED, Event.PROMOTED, Event.PRUNED)


def removal(ledger: Chain, version: int) -> Line | None:
    """Return the line with which a version was pruned; None if it never was, or is there again."""
    lines = (line for line in ledger.of(*_EVENTS) if line.details.get("version") == version)
    last = next(iter(collections.deque(lines, maxlen=1)), None)
    return last if last is not None and last.event == Event.PRUNED else None


def removed_versions(ledger: Chain) -> tuple[int, ...]:
    """Return the numbers of the versions that were pruned, lowest first."""
    numbers = {*ledger.versions, *ledger.staged}
    return tuple(sorted(one for one in numbers if removal(ledger, one) is not None))


def removed_folder(paths: RunPaths, ledger: Chain, version: int) -> Path:
    """Return where a version was that is removed now: in service, or staged if it never was."""
    return (paths.staged if ledger.push(version) is None else paths.serving) / str(version)


def rebuilt_statement(records: Mapping[str, Record], push: Push) -> bytes:
    """Return the statement that was served with a version: the same arguments gave the same bytes when it was pushed.

    Args:
      records: by hash, all those behind the push among them.
      push: of the version.

    Raises:
      EnvironmentProblem: if no record tells of the push or of the model's files, or one behind them is gone.
    """
    record = None if push.record is None else records.get(push.record)
    if not isinstance(record, ExecutionRecord):
        raise EnvironmentProblem("removed, and no record tells of its push", where=f"version {push.version}")
    makers = (records.get(ref.record or "") for ref in record.inputs.get(MODEL, ()))
    artifacts = [entry for maker in makers if isinstance(maker, ExecutionRecord) for entry in maker.artifacts]
    model = next((entry for entry in artifacts if entry.sha256 == push.sha256), None)
    if model is None:
        what = "removed, and no record holds the list of its files"
        raise EnvironmentProblem(what, where=f"version {push.version}", wanted=f"digest {push.sha256}")
    return statement_bytes(build_statement(served_files(model), records, record.input_records))
