"""The runs of a root, as their records tell them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from components.errors import BadInput, CannotTell, Problems
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Chain, Event, read_ledger
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import RunRecord
from pipeline.root.paths import RunPaths


def runs(root: Path) -> list[RunRecord]:
    """Return the records of all runs, in the ledger's order.

    Raises:
      BadInput: if there is no pipeline at `root`.
      EnvironmentProblem: if ledger or records are broken.
    """
    paths = RunPaths(root.absolute())
    if not paths.ledger.exists():
        raise BadInput("no pipeline has run here", where=root, hint="`mnist-tfx run --root` makes one")
    records = record_store.scan(paths.records)
    lines = read_ledger(paths.ledger).lines
    found = (records[line.record] for line in lines if line.event == Event.RUN and line.record is not None)
    return [record for record in found if isinstance(record, RunRecord)]


def run_record(ledger: Chain, records: Records, run_id: str) -> RunRecord | None:
    """Return the record of a run; None if it left none, or its file is gone."""
    known = ledger.run_record(run_id)
    record = None if known is None else records.get(known)
    return record if isinstance(record, RunRecord) else None


def new_run_id(kind: str = "") -> str:
    """Return a new id: the time, UTC, after what it is where it is no run of the whole pipeline."""
    now = datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{kind}-{now}" if kind else now


def find(root: Path, run_id: str | None) -> RunRecord:
    """Return one run, the last one if none is named; an id may be cut short where that is unambiguous.

    Raises:
      BadInput: if there is no such run, or several.
      CannotTell: if it began, and was killed before it could record what became of it.
    """
    known = runs(root)
    if not known and not _begun_runs(root, ""):
        raise BadInput("no run has ended here yet", where=root)
    matching = known[-1:] if run_id is None else [run for run in known if run.run_id.startswith(run_id)]
    if not matching and (begun := _begun_runs(root, run_id or "")):
        what = "it began and left no record of how it ended: it is still at work, or it was killed"
        hint = "mnist-tfx lineage show and trace know what it made; mnist-tfx lineage repair settles what it left"
        raise CannotTell(what, where=f"run {begun[-1]}", hint=hint)
    if len(matching) != 1:
        ids = ", ".join(run.run_id for run in known[-5:])
        raise BadInput("no such run" if not matching else "not one run", where=run_id, wanted=f"one of {ids}")
    return matching[0]


def require(root: Path, run_ids: Iterable[str]) -> None:
    """Refuse runs that are not there, all of them together, before anything is read of those that are.

    Raises:
      BadInput: if there is no such run, or several.
      CannotTell: as `find`, where none is unknown.
    """
    problems = Problems()
    begun: list[CannotTell] = []
    for run_id in run_ids:
        with problems.noted():
            begun += _without_record(root, run_id)
    problems.raise_any()
    for one in begun:
        raise one


def _without_record(root: Path, run_id: str) -> list[CannotTell]:
    try:
        find(root, run_id)
    except CannotTell as err:
        return [err]
    return []


def _begun_runs(root: Path, run_id: str) -> list[str]:
    """Return the ids of runs that executed something, by how they begin."""
    lines = read_ledger(RunPaths(root.absolute()).ledger).lines
    begun = dict.fromkeys(line.run_id for line in lines if line.event == Event.INTENT)
    return [known for known in begun if known.startswith(run_id)]
