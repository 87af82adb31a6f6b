"""Garbage collection: removal of the files that nothing behind a served version or a recent run refers to.

Records and ledger lines stay for ever, and nothing in the serving directory that TF Serving could see is touched. A
`collected` line goes before an artifact does, so that an audit can tell what was removed from what is missing.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from components import serving
from components.errors import EnvironmentProblem
from pipeline.maintenance.orphans import (
    Survey,
    artifact_folders,
    children,
    input_folders,
    inputs_of,
    latest_runs,
    open_keys,
    size,
)
from pipeline.maintenance.recovery import recover_first
from pipeline.metadata.store import open_store
from pipeline.process.signals import PROCESS
from pipeline.provenance import at_work, record_store
from pipeline.provenance.ancestry import closure
from pipeline.provenance.ledger import Event
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.provenance.statement import heads_of, read_provenance
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.user_cache import kept_reports
from pipeline.root.writable import check_places, check_removable

KEEP_RUNS: Final = 5
HALF_WRITTEN: Final = f"{record_store.NEW}*"
"""Records whose writer was killed; `record_store` writes under such a name first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that nothing refers to.

    Attributes:
      kind: `artifact`, `input`, `checkpoint`, `log`, `report`, `working-folder`, `half-written-record` or `stage`.
      path: relative to the root; absolute for chapters of a report in the user's cache.
      bytes: that its removal frees.
      record: hash of the record that made it, if one did.
    """

    kind: str
    path: str
    bytes: int
    record: str | None = None


def collect(
    root: Path, say: Callable[[str], None], *, keep_runs: int = KEEP_RUNS, dry_run: bool = False
) -> tuple[Garbage, ...]:
    """Remove what nothing refers to, or say what would be removed.

    Args:
      root: of the pipeline.
      say: called when another process has the store locked.
      keep_runs: number of last runs whose files stay, whether they were served or not.
      dry_run: whether to remove nothing.

    Raises:
      BadInput: if no pipeline has run here.
      EnvironmentProblem: if a run is under way, or if a record behind what is to stay is missing or changed.
    """
    with exclusive_lock(root) as paths:
        if not dry_run:
            recover_first(paths, say)
        survey = Survey.of(paths)
        unused = tuple(garbage(survey, reachable(survey, keep_runs), keep_runs))
        if unused and not dry_run:
            check_places(paths, paths.ledger, paths.metadata)
            for one in unused:
                check_removable(paths.root / one.path)
            _remove(unused, survey, say)
    return unused


def reachable(survey: Survey, keep_runs: int) -> dict[str, ExecutionRecord]:
    """Return the records behind what is served and behind the last runs, by hash.

    Raises:
      RecordMissing: if one of them is gone: then nobody can say what else stays.
      EnvironmentProblem: if the provenance of a version that the ledger does not know cannot be read.
    """
    runs = latest_runs(survey.ledger, keep_runs)
    lines = survey.ledger.lines
    heads = [line.record for line in lines if line.event == Event.COMMIT and line.run_id in runs]
    for run_id in runs:
        hash_ = survey.ledger.run_record(run_id)
        record = survey.records[hash_] if hash_ is not None else None
        if isinstance(record, RunRecord):
            heads += [node.record for node in record.nodes]
    for served in (*survey.serving.ours, *survey.serving.half_pruned):
        heads += _heads(survey, served.version, has_provenance=served.has_provenance)
    heads += [push.record for version in survey.staged.stagings for push in survey.ledger.stagings(version)]
    return closure(survey.records, dict.fromkeys(head for head in heads if head is not None))


def _heads(survey: Survey, version: int, *, has_provenance: bool) -> list[str | None]:
    # All of them, not only the one that made the version: what any of them read may be asked for again.
    if pushes := survey.ledger.pushes(version):
        return [push.record for push in pushes]
    return list(heads_of(read_provenance(survey.paths.root, version))) if has_provenance else []


def garbage(survey: Survey, kept: Mapping[str, ExecutionRecord], keep_runs: int) -> Iterator[Garbage]:
    """Return what neither the records `kept` nor the last runs refer to."""
    paths = survey.paths
    makers = {entry.path: hash_ for hash_, record in survey.committed.items() for entry in record.artifacts}
    used = {entry.path for record in kept.values() for entry in record.artifacts}
    unmade: dict[str | None, None] = {}
    for folder in artifact_folders(paths):
        if (path := paths.relative(folder)) not in used:
            yield Garbage(kind="artifact", path=path, bytes=size(folder), record=makers.get(path))
            unmade[makers.get(path)] = None
    # They show what goes, and no report would take them from there any more.
    for record in filter(None, unmade):
        yield from (Garbage(kind="report", path=str(kept), bytes=size(kept)) for kept in kept_reports(record))
    inputs = inputs_of(kept.values())
    yield from _of("input", paths, (folder for folder in input_folders(paths) if folder.name not in inputs))
    runs = latest_runs(survey.ledger, keep_runs)
    wanted = open_keys(survey, runs)
    stale = (one for one in children(paths.checkpoints) if one.name not in wanted and size(one))
    yield from _of("checkpoint", paths, stale)
    # A run that waits for this to end has its files already.
    waiting = {run.run_id for run in at_work.at_work(paths)}
    remembered = {*runs, *waiting, *(record.run_id for record in kept.values())}
    logged = {paths.log(run) for run in remembered} | {paths.presence(run) for run in waiting}
    yield from _of("log", paths, (log for log in children(paths.log("").parent) if log not in logged))
    # Pages of our runs alone: `report --output` may have put others there.
    forgotten = {line.run_id for line in survey.ledger.lines} - remembered
    pages = {page for run in forgotten for page in (paths.report(run), paths.lineage_page(run))}
    yield from _of("report", paths, (page for page in children(paths.report("").parent) if page in pages))
    left = (one for one in _below(paths, "artifacts/*/.system/*/*") if size(one))
    yield from _of("working-folder", paths, left)
    yield from _of("half-written-record", paths, _below(paths, f"{paths.records.name}/{HALF_WRITTEN}"))
    for folder in (paths.serving, paths.staged):
        yield from _of("stage", paths, serving.stages(folder))


def _below(paths: RunPaths, pattern: str) -> Iterator[Path]:
    """Yield what matches a pattern below the root; a glob enters links, and what lies behind one is not ours."""
    for path in sorted(paths.root.glob(pattern)):
        folders = path.relative_to(paths.root).parents
        if not any((paths.root / folder).is_symlink() for folder in folders):
            yield path


def _of(kind: str, paths: RunPaths, entries: Iterable[Path]) -> Iterator[Garbage]:
    for path in entries:
        yield Garbage(kind=kind, path=paths.relative(path), bytes=size(path))


def _remove(unused: tuple[Garbage, ...], survey: Survey, say: Callable[[str], None]) -> None:
    paths = survey.paths
    store = open_store(paths, say=say)
    PROCESS.check()
    with PROCESS.held_back():  # ledger and store say the same
        _note(unused, survey)
        store.mark_deleted(one.record for one in unused if one.record is not None)
    for one in unused:
        PROCESS.check()
        if one.kind != "stage":
            with PROCESS.held_back():
                remove(paths.root / one.path)
    if any(one.kind == "stage" for one in unused):
        for folder in filter(Path.is_dir, (paths.serving, paths.staged)):
            with serving.locked(folder):
                left = serving.clear_stages(folder)
            for err in left:
                raise EnvironmentProblem("cannot remove it", where=err.filename, got=err.strerror) from err


def _note(unused: tuple[Garbage, ...], survey: Survey) -> None:
    """Write what is about to go into the ledger, one line for each record that loses something."""
    noted = survey.ledger.collected()
    ledger = Ledger.open(survey.paths.ledger)
    lost: dict[str, list[Garbage]] = {}
    for one in unused:
        if one.record is not None and one.path not in noted:
            lost.setdefault(one.record, []).append(one)
    for hash_, gone in lost.items():
        record = survey.committed[hash_]
        ledger.collected(
            node=record.node,
            run_id=record.run_id,
            record=hash_,
            paths=[one.path for one in gone],
            bytes=sum(one.bytes for one in gone),
        )


def remove(path: Path) -> None:
    """Remove a file or folder; a link goes, what it points at stays.

    Raises:
      EnvironmentProblem: if the system does not let it.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)
    except OSError as err:
        raise EnvironmentProblem("cannot remove it", where=err.filename or path, got=err.strerror) from err
