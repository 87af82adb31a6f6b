"""The first page: every run of the root with its version, and every data set, to be sorted, filtered and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.lineage.data_sets import DataSetFacts, DataSetReader
from pipeline.lineage.history import History, HistoryReader, RunFacts
from pipeline.predict.server.pages.audits import Audits, BytesState, bytes_state
from pipeline.predict.server.pages.tables import Column, Shown, Table
from pipeline.predict.server.service import Service
from pipeline.provenance.approvals import UNSIGNED

PATIENCE: Final = 0.4
"""Seconds of computing after which no other run is compared with the one before it: the page comes, and comes again with the rest."""

KINDS: Final[Mapping[str, str]] = {
    "served": "good",
    "running": "warn",
    "rolled back": "warn",
    "staged": "warn",
    "unfinished": "warn",
    **dict.fromkeys(("refused", "failed", "interrupted", "killed", "missing", "unreadable", "broken"), "bad"),
}
"""{state: colour}; others have none."""


def _texts_of_run(run: RunFacts) -> Iterator[str]:
    yield from (run.run_id, run.recipe, run.state, run.note)
    if run.version is not None:
        yield from (f"version {run.version.version}", run.version.sha256)
    if run.data is not None:
        yield from (run.data.digest, *run.data.names)


def _texts_of_data(data: DataSetFacts) -> Iterator[str]:
    yield from (data.digest, *data.sources, *data.licences)
    for file in data.files:
        yield from (file.name, file.payload_digest)
    yield from (f"version {version.version}" for version in data.versions)


def _approver(run: RunFacts) -> str | None:
    return run.version.approvals[0].by if run.version is not None and run.version.approvals else None


RUNS: Final = Table[RunFacts](
    prefix="",
    anchor="runs",
    columns=(
        Column(name="Run", key="started", value=lambda run: run.started),
        Column(name="State", key="state", value=lambda run: run.state),
        Column(name="Accuracy", key="accuracy", value=lambda run: None if run.accuracy is None else run.accuracy.value),
        Column(name="Version", key="version", value=lambda run: None if run.version is None else run.version.version),
        Column(
            name="Data", key="data", value=lambda run: None if run.data is None else (run.data.names, run.data.digest)
        ),
        Column(name="Changed since the version before"),
        Column(name="Verdict"),
        Column(name="Approved by", key="approved", value=_approver),
        Column(
            name="Served, UTC",
            key="served",
            value=lambda run: None if run.version is None else run.version.period.start,
        ),
    ),
    texts=_texts_of_run,
    state=lambda run: run.state,
)

DATA_SETS: Final = Table[DataSetFacts](
    prefix="data_",
    anchor="data",
    columns=(
        Column(name="Data set", key="read", value=lambda data: data.last_read),
        Column(name="Files", key="files", value=lambda data: tuple(file.name for file in data.files)),
        Column(name="Rows", key="rows", value=lambda data: data.rows),
        Column(name="Classes", key="classes", value=lambda data: data.classes or None),
        Column(
            name="Source and licence",
            key="licence",
            value=lambda data: (*data.licences, *data.sources) or None,
        ),
        Column(name="Runs", key="runs", value=lambda data: len(data.runs)),
        Column(
            name="Versions",
            key="versions",
            value=lambda data: data.versions[-1].version if data.versions else None,
        ),
    ),
    texts=_texts_of_data,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A run as the table shows it; `change` is None where it has not been compared yet."""

    run: RunFacts
    kind: str
    change: str | None
    bytes_state: BytesState | None
    approved: str
    approval_kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    """What the page shows.

    Attributes:
      runs: the table of runs.
      rows: its runs, with what is shown of them besides.
      data_sets: the table of data sets.
      mark: of the history's state, by which a page knows that it is out of date.
    """

    runs: Shown[RunFacts]
    rows: tuple[Row, ...]
    data_sets: Shown[DataSetFacts]
    mark: str


def overview(
    reader: HistoryReader, data: DataSetReader, audits: Audits, service: Service | None, fields: Mapping[str, str]
) -> Overview:
    """Return what the page shows of a root.

    Args:
      reader: of its history.
      data: reader of its data sets.
      audits: that were made.
      service: which knows what was refused.
      fields: of the address.

    Raises:
      EnvironmentProblem: if the ledger cannot be read.
    """
    history = reader.read()
    runs = RUNS.shown(history.runs, fields, [DATA_SETS])
    changes = reader.changes(history, runs.rows, PATIENCE)
    complete = None not in changes.values()
    return Overview(
        runs=runs,
        rows=tuple(row(run, changes.get(run.run_id, ""), audits, service) for run in runs.rows),
        data_sets=DATA_SETS.shown(data.read(history), fields, [RUNS]),
        # A page that says "comparing" is out of date as soon as it is shown.
        mark=mark(history) if complete else f"{mark(history)} comparing",
    )


def mark(history: History) -> str:
    """Return what is another text as soon as the page of a root would have other rows."""
    return " ".join((str(history.chain.head.sequence), *(run.run_id for run in history.runs if run.is_running)))


def row(run: RunFacts, change: str | None, audits: Audits, service: Service | None) -> Row:
    """Return a run as the table shows it."""
    version = run.version
    approvals = () if version is None else version.approvals
    valid = [one for one in approvals if one.valid]
    shown = valid or approvals
    doubtful = any(one.verdict != UNSIGNED for one in approvals)
    return Row(
        run=run,
        kind=KINDS.get(run.state, ""),
        change=change,
        bytes_state=None if version is None else bytes_state(version.version, audits, service),
        approved="; ".join(f"{one.by}, {one.time[:10]}" + ("" if one.valid else f" ({one.why})") for one in shown),
        approval_kind="good" if valid else "bad" if doubtful else "",
    )
