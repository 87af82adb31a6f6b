"""The runs of a root, as their records tell them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, CannotTell, EnvironmentProblem, Problems
from pipeline.provenance import at_work, record_store
from pipeline.provenance.at_work import Presence
from pipeline.provenance.ledger import Chain, Event, read_ledger
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import Record, RunRecord
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER

RUNNING: Final = "running"
KILLED: Final = "killed"
UNFINISHED: Final = "unfinished"


def runs(root: Path) -> list[RunRecord]:
    """Return the records of all runs, in the ledger's order.

    Raises:
      BadInput: if there is no pipeline at `root`.
      EnvironmentProblem: if ledger or records are broken.
    """
    records = record_store.scan(RunPaths(root.absolute()).records)
    found = (records[hash_] for _, hash_ in _ended(root))
    return [record for record in found if isinstance(record, RunRecord)]


def _ended(root: Path) -> list[tuple[str, str]]:
    """Return the runs that left a record, as (id, hash of the record), in the ledger's order; raises as `runs` does."""
    paths = RunPaths(root.absolute())
    if not paths.ledger.exists():
        if at_work.at_work(paths) or at_work.killed(paths):
            return []
        raise BadInput("no pipeline has run here", where=root, hint="`mnist-tfx run --root` makes one")
    lines = read_ledger(paths.ledger).of(Event.RUN)
    return [(line.run_id, line.record) for line in lines if line.record is not None]


def run_record(ledger: Chain, records: Records, run_id: str) -> RunRecord | None:
    """Return the record of a run; None if it left none, or its file is gone."""
    known = ledger.run_record(run_id)
    record = None if known is None else records.get(known)
    return record if isinstance(record, RunRecord) else None


def stated_of(run: RunRecord | None) -> dict[str, str]:
    """Return what the recipe of a run states of the data; nothing of a run without a record."""
    data = {} if run is None else run.settings.get("data")
    fields = data if isinstance(data, Mapping) else {}
    return {name: value for name in ("source", "licence") if isinstance(value := fields.get(name), str) and value}


def starters(root: Path) -> dict[str, str]:
    """Return {run id: who started it}, of the runs whose user wanted that on record."""
    lines = read_ledger(RunPaths(root.absolute()).ledger).of(Event.RUN)
    named = ((line.run_id, line.details.get("by")) for line in lines)
    return {run_id: by for run_id, by in named if isinstance(by, str)}


def new_run_id(kind: str = "") -> str:
    """Return a new id: the time, UTC, after what it is where it is no run of the whole pipeline."""
    now = datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{kind}-{now}" if kind else now


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unrecorded:
    """A run that has left no record, yet or for ever.

    Attributes:
      run_id: its id.
      state: running; killed, where its process ended without a word; unfinished, where that cannot be told, as of a run
        on a cluster or of an older release.
      presence: what it says, or last said, of itself; None where it says nothing.
    """

    run_id: str
    state: str
    presence: Presence | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        said = dict.fromkeys(field.name for field in dataclasses.fields(Presence))
        if self.presence is not None:
            said.update(dataclasses.asdict(self.presence))
        return {**said, "run_id": self.run_id, "state": self.state}


def unrecorded(root: Path) -> list[Unrecorded]:
    """Return the runs of a root that have no record, in the order of their ids: those at work last of all."""
    paths = RunPaths(root.absolute())
    # Before the ledger is read: a run that ends meanwhile has its line there before it takes its file away.
    working, dead = at_work.at_work(paths), at_work.killed(paths)
    return without_record(read_ledger(paths.ledger), working, dead)


def without_record(ledger: Chain, working: Iterable[Presence], dead: Iterable[Presence]) -> list[Unrecorded]:
    """Return the runs that a ledger holds no record of; which are at work has to be looked up before it is read."""
    ended = {line.run_id for line in ledger.of(Event.RUN)}
    begun = {line.run_id for line in ledger.of(Event.INTENT) if line.node != PUSHER} - ended
    found = {run_id: Unrecorded(run_id=run_id, state=UNFINISHED) for run_id in sorted(begun)}
    for state, presences in ((KILLED, dead), (RUNNING, working)):
        for one in presences:
            found.pop(one.run_id, None)
            if one.run_id not in ended:
                found[one.run_id] = Unrecorded(run_id=one.run_id, state=state, presence=one)
    return sorted(found.values(), key=lambda run: (run.state == RUNNING, run.run_id))


def find(root: Path, run_id: str | None) -> RunRecord:
    """Return one run, the last one if none is named; an id may be cut short where that is unambiguous.

    Raises:
      BadInput: if there is no such run, or several.
      CannotTell: if it began, and has no record of what became of it.
    """
    found = look_up(root, run_id, running_too=False)
    if isinstance(found, RunRecord):
        return found
    hint = "mnist-tfx lineage show and trace know what it made"
    if found.state == RUNNING and found.presence is not None:
        raise CannotTell("it is still at work", where=f"run {found.run_id}", got=found.presence.phase, hint=hint)
    what = "it was killed" if found.state == KILLED else "it began, and left no record of how it ended"
    raise CannotTell(what, where=f"run {found.run_id}", hint=f"{hint}; mnist-tfx lineage repair settles what it left")


def look_up(root: Path, run_id: str | None, *, running_too: bool = True) -> RunRecord | Unrecorded:
    """Return one run, whatever became of it; by default the last.

    Args:
      root: of the pipeline.
      run_id: its id, or as much of it as is unambiguous.
      running_too: whether a run that is at work may be the last one.

    Raises:
      BadInput: if there is no such run, or several.
      EnvironmentProblem: if the ledger or its record is broken.
    """
    others = unrecorded(root)
    known = {run.run_id: run for run in others}
    ended = _ended(root)
    if run_id is None:
        running = [run for run in others if run.state == RUNNING and running_too]
        if ended and not running:
            return _read(root, ended[-1][1])
        for last in (running, others):
            if last:
                return last[-1]
        raise BadInput("no run has ended here yet", where=root)
    # Ids first: of hundreds of records only the one that is meant is read.
    ids = [*(id_ for id_, _ in ended), *known]
    matching = [id_ for id_ in ids if id_.startswith(run_id)]
    if len(matching) != 1:
        what = "no such run" if not matching else "not one run"
        raise BadInput(what, where=run_id, wanted=f"one of {', '.join(ids[-5:])}")
    [found] = matching
    return known[found] if found in known else _read(root, dict(ended)[found])


def _read(root: Path, hash_: str) -> RunRecord:
    return of_run(record_store.read(RunPaths(root.absolute()).records, hash_), hash_)


def of_run(record: Record, hash_: str) -> RunRecord:
    """Return a record that has to be a run's.

    Raises:
      EnvironmentProblem: if it is not.
    """
    if not isinstance(record, RunRecord):
        raise EnvironmentProblem("its record is of no run", where=hash_)
    return record


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
