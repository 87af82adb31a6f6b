"""The first page: every run of the root with its version and its data, to be sorted, filtered and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from pipeline.lineage.history import History, HistoryReader, RunFacts
from pipeline.predict.server.pages.audits import Audits, BytesState, bytes_state
from pipeline.predict.server.service import Service
from pipeline.provenance.approvals import UNSIGNED

ROWS: Final = 50
"""To a page: what changed is compared for these alone."""

KINDS: Final[Mapping[str, str]] = {
    "served": "good",
    "running": "warn",
    "rolled back": "warn",
    "staged": "warn",
    "unfinished": "warn",
    **dict.fromkeys(("refused", "failed", "interrupted", "killed", "missing", "unreadable", "broken"), "bad"),
}
"""{state: colour}; others have none."""

COLUMNS: Final = (
    ("started", "Run"),
    ("state", "State"),
    ("accuracy", "Accuracy"),
    ("version", "Version"),
    ("data", "Data"),
    ("", "Changed since the version before"),
    ("", "Verdict"),
    ("approved", "Approved by"),
    ("served", "Served, UTC"),
)
"""(key of the order, heading); those without a key cannot be sorted by."""

ASCENDING, DESCENDING = "ascending", "descending"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """What is shown of the runs.

    Attributes:
      text: only runs with it in id, recipe, state, version, data or note.
      state: only runs in this state; empty for all.
      sort: key of the order, of `COLUMNS`.
      order: `ascending` or `descending`.
      page: from 1.
    """

    text: str = ""
    state: str = ""
    sort: str = "started"
    order: str = DESCENDING
    page: int = 1

    @staticmethod
    def of(fields: Mapping[str, str]) -> Query:
        """Return the query in the fields of an address; what is nothing we know is left at its default."""
        sort, page = fields.get("sort", ""), fields.get("page", "")
        return Query(
            text=fields.get("text", "")[:200].strip(),
            state=fields.get("state", "")[:40],
            sort=sort if sort and sort in dict(COLUMNS) else "started",
            order=ASCENDING if fields.get("order") == ASCENDING else DESCENDING,
            page=max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 7 else 1,
        )

    def address(self, **changes: Any) -> str:
        """Return the address of this query with some of it changed."""
        fields = dataclasses.asdict(dataclasses.replace(self, **changes))
        default = dataclasses.asdict(Query())
        return "/?" + urlencode({name: value for name, value in fields.items() if value != default[name]})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A run as the table shows it."""

    run: RunFacts
    kind: str
    change: str
    bytes_state: BytesState | None
    approved: str
    approval_kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heading:
    """A column: its name, the address that sorts by it, and how it is sorted now."""

    name: str
    address: str
    sorted: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    """What the page shows.

    Attributes:
      rows: of this page.
      count: of all rows that the filter lets through.
      total: of all runs.
      headings: of the table.
      states: that runs are in, for the filter.
      query: as it was understood.
      newer: address of the page before; None on the first.
      older: address of the page after; None on the last.
      mark: of the history's state, by which a page knows that it is out of date.
    """

    rows: tuple[Row, ...]
    count: int
    total: int
    headings: tuple[Heading, ...]
    states: tuple[str, ...]
    query: Query
    newer: str | None
    older: str | None
    mark: str


def overview(reader: HistoryReader, audits: Audits, service: Service | None, query: Query) -> Overview:
    """Return what the page shows of a root.

    Raises:
      EnvironmentProblem: if the ledger cannot be read.
    """
    history = reader.read()
    wanted = _sorted([run for run in history.runs if _passes(run, query)], query)
    last = max(1, -(-len(wanted) // ROWS))
    page = min(query.page, last)
    shown = wanted[(page - 1) * ROWS : page * ROWS]
    changes = reader.changes(history, shown)
    return Overview(
        rows=tuple(row(run, changes.get(run.run_id, ""), audits, service) for run in shown),
        count=len(wanted),
        total=len(history.runs),
        headings=tuple(_heading(key, name, query) for key, name in COLUMNS),
        states=tuple(sorted({run.state for run in history.runs})),
        query=query,
        newer=query.address(page=page - 1) if page > 1 else None,
        older=query.address(page=page + 1) if page < last else None,
        mark=mark(history),
    )


def mark(history: History) -> str:
    """Return what is another text as soon as the page of a root would have other rows."""
    return " ".join((str(history.chain.head.sequence), *(run.run_id for run in history.runs if run.is_running)))


def row(run: RunFacts, change: str, audits: Audits, service: Service | None) -> Row:
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


def _passes(run: RunFacts, query: Query) -> bool:
    if query.state and run.state != query.state:
        return False
    version = () if run.version is None else (f"version {run.version.version}", run.version.sha256)
    data = () if run.data is None else (run.data.digest, *run.data.names)
    texts = (run.run_id, run.recipe, run.state, run.note, *version, *data)
    return query.text.casefold() in "\n".join(texts).casefold()


_KEYS: Final[Mapping[str, Callable[[RunFacts], Any]]] = {
    "started": lambda run: run.started,
    "state": lambda run: run.state,
    "accuracy": lambda run: None if run.accuracy is None else run.accuracy.value,
    "version": lambda run: None if run.version is None else run.version.version,
    "data": lambda run: None if run.data is None else (run.data.names, run.data.digest),
    "approved": lambda run: None if run.version is None or not run.version.approvals else run.version.approvals[0].by,
    "served": lambda run: None if run.version is None else run.version.period.start,
}


def _sorted(runs: Iterable[RunFacts], query: Query) -> Sequence[RunFacts]:
    """Return runs in order; those without the fact come last, whichever the order."""
    key, down = _KEYS[query.sort], query.order == DESCENDING
    newest_first = list(runs)[::-1]
    known = sorted((run for run in newest_first if key(run) is not None), key=key, reverse=down)
    return [*known, *(run for run in newest_first if key(run) is None)]


def _heading(key: str, name: str, query: Query) -> Heading:
    if not key:
        return Heading(name=name, address="", sorted="")
    now = query.order if key == query.sort else ""
    turned = ASCENDING if now == DESCENDING else DESCENDING
    return Heading(name=name, address=query.address(sort=key, order=turned, page=1), sorted=now)
