"""Recovery of a root on request: a torn ledger line, what `recovery` settles, executions that nobody runs any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pipeline.maintenance.orphans import Survey
from pipeline.maintenance.recovery import Repair, recover
from pipeline.metadata.store import Store, open_store
from pipeline.process.signals import PROCESS
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places

_COPY: Final = "put it back from a copy"


def repair(root: Path, say: Callable[[str], None], *, dry_run: bool = False) -> tuple[Repair, ...]:
    """Settle what can be settled in a root, or say what would be.

    Raises:
      BadInput: if no pipeline has run here.
      EnvironmentProblem: if a run is under way, the ledger is broken, or the store is lost or locked.
    """
    with exclusive_lock(root) as paths:
        if not dry_run:
            check_places(paths, "ledger.jsonl", "metadata.db", "records", "artifacts")
        store = open_store(paths, say=say, read_only=dry_run)
        if not dry_run:
            store.require_room()
        with PROCESS.held_back():
            return tuple(_repairs(paths, store, dry_run=dry_run))


def _repairs(paths: RunPaths, store: Store, *, dry_run: bool) -> Iterator[Repair]:
    if torn := read_ledger(paths.ledger).torn:
        why = f"{len(torn)} bytes behind its last whole line"
        yield Repair(kind="line-repaired", where=paths.ledger.name, why=why)
    # Opening a ledger repairs a torn line.
    yield from recover(paths, store, None if dry_run else Ledger.open(paths.ledger))
    unfinished = store.unfinished()
    if not dry_run:
        store.fail(unfinished)
    for execution in unfinished:
        why = f"{execution.type}: RUNNING, but no run is at work"
        yield Repair(kind="failed", where=f"execution {execution.id}", why=why)
    yield from _beyond_repair(paths)


def _beyond_repair(paths: RunPaths) -> Iterator[Repair]:
    """Name the records and versions that are gone or damaged: the ledger keeps their digests, and nothing their bytes."""
    survey = Survey.of(paths)
    for line, problem in survey.damaged:
        of = f"run {line.run_id}" if line.event == Event.RUN else f"{line.node} of run {line.run_id}"
        named = f"ledger line {line.sequence} names it for {of}, and nothing else holds what it said"
        why = f"{problem.what}: {named}: {_COPY}; until then `mnist-tfx lineage audit` fails"
        yield Repair(kind="left", where=f"{paths.records.name}/{line.record}.json", why=why)
    for version in survey.staged.missing:
        why = f"staged, neither promoted nor pruned, but gone: {_COPY}"
        yield Repair(kind="left", where=f"{paths.staged.name}/{version}", why=why)
    for version in survey.serving.missing:
        yield Repair(
            kind="left", where=f"{paths.serving.name}/{version}", why=f"pushed and not pruned, but gone: {_COPY}"
        )
