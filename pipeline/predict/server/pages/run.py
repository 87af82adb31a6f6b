"""The page of a run: what became of it, step by step, its log, and where its report is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, MnistTfxError
from components.untrusted import MIB, read_bytes
from pipeline.lineage.history import History, HistoryReader, RunFacts
from pipeline.provenance import record_store
from pipeline.provenance.plain_files import open_plain
from pipeline.provenance.records import RunRecord
from pipeline.root.paths import RunPaths

TAIL: Final = 32 << 10
"""Bytes of a log's end on the page."""

WHOLE: Final = 64 * MIB
"""Bytes of a log that are handed out; of a longer one, the end."""

REPORT: Final = 16 * MIB

METRICS: Final = ("accuracy", "loss", "reconstruction_mse")

STATES: Final[Mapping[str, str]] = {"executed": "good", "failed": "bad", "cached": "", "skipped": "warn"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """The end of a log: text, the size of the whole, and whether more is before it."""

    text: str
    size: int
    cut: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunPage:
    """What the page shows.

    Attributes:
      run: the run.
      record: its record; None while there is none.
      change: since the version before, in a few words.
      log: its end; None where there is none to read.
      has_report: whether its report is there.
      metrics: (name, value, the baseline's value).
    """

    run: RunFacts
    record: RunRecord | None
    change: str
    log: Log | None
    has_report: bool
    metrics: tuple[tuple[str, Any, Any], ...]


def page(reader: HistoryReader, root: Path, run_id: str) -> tuple[History, RunPage]:
    """Return what the page of a run shows, and the history it is from.

    Raises:
      BadInput: if there is no such run.
    """
    history = reader.read()
    run, paths = find(history, run_id), RunPaths(root)
    record = _record(history, paths, run_id)
    metrics = {} if record is None or record.metrics is None else record.metrics
    beside = metrics.get("baseline")
    baseline = beside if isinstance(beside, Mapping) else {}
    return history, RunPage(
        run=run,
        record=record,
        change=reader.change(run.run_id),
        log=tail(paths, run_id),
        has_report=paths.report(run_id).is_file(),
        metrics=tuple(
            (name.replace("_", " "), metrics[name], baseline.get(name))
            for name in METRICS
            if metrics.get(name) is not None
        ),
    )


def find(history: History, run_id: str) -> RunFacts:
    """Return a run by its whole id.

    Raises:
      BadInput: if the root has none such: no other id ever becomes a path.
    """
    run = history.run(run_id)
    if run is None:
        raise BadInput("no such run", where="address", got=run_id)
    return run


def tail(paths: RunPaths, run_id: str) -> Log | None:
    """Return the end of a run's log; None where there is none to read."""
    try:
        data, size = _end(paths.log(run_id), TAIL)
    except MnistTfxError:
        return None
    # From the first whole line on.
    shown = data if size <= TAIL else data[data.find(b"\n") + 1 :]
    return Log(text=shown.decode("utf-8", "replace"), size=size, cut=size > TAIL)


def whole_log(reader: HistoryReader, root: Path, run_id: str) -> bytes:
    """Return a run's log.

    Raises:
      BadInput: if there is no such run, or it left none.
    """
    find(reader.read(), run_id)
    try:
        return _end(RunPaths(root).log(run_id), WHOLE)[0]
    except MnistTfxError as err:
        raise BadInput("there is no log", where=f"run {run_id}", got=err.what) from err


def report(reader: HistoryReader, root: Path, run_id: str) -> bytes:
    """Return the report on a run, as it lies in the root.

    Raises:
      BadInput: if there is no such run, or no report on it.
    """
    find(reader.read(), run_id)
    try:
        return read_bytes(RunPaths(root).report(run_id), limit=REPORT)
    except BadInput as err:
        hint = f"mnist-tfx report {run_id} writes it"
        raise BadInput("there is no report", where=f"run {run_id}", got=err.what, hint=hint) from err


def _end(path: Path, most: int) -> tuple[bytes, int]:
    with open(open_plain(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - most))
        return file.read(most), size


def _record(history: History, paths: RunPaths, run_id: str) -> RunRecord | None:
    hash_ = history.chain.run_record(run_id)
    try:
        record = None if hash_ is None else record_store.read(paths.records, hash_)
    except MnistTfxError:
        return None  # the history says why
    return record if isinstance(record, RunRecord) else None
