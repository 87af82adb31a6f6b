"""Served versions -> one of them again under a new number, or fewer of them.

TF Serving loads the highest number, so going back means serving the old bytes under a new one. Numbers are never used
twice, and nothing leaves the directory in part: a version is renamed to what is no number before it is removed. Only
what the ledger says was pushed is counted or removed, and only while its bytes are those of then.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem, Refused
from components.files import sync_folder
from components.publish import publish
from components.serving import (
    PROVENANCE,
    SIGNATURE,
    STAGE_PREFIX,
    ServedVersion,
    locked,
    raise_floor,
)
from pipeline.maintenance.orphans import Survey, size
from pipeline.maintenance.push_record import Origin, Push
from pipeline.maintenance.recovery import named, recover_first
from pipeline.metadata.store import open_store
from pipeline.process.signals import PROCESS
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Event, Line
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord, NodeOutcome, RunRecord, utc
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.writable import WRITTEN_BY_A_PUSH, check_places, check_removable
from pipeline.stages import PUSHER

ROLLED_BACK: Final = "rolled_back"
"""Key of `ExecutionRecord.extra` in the record of a rollback: which version it brought back, and instead of which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollback:
    """A version that serves older bytes.

    Attributes:
      version: its number, the highest now.
      path: its directory, relative to the root.
      digest: of its model.
      restored: the version with the same bytes.
      rolled_back_from: the version that was served until now.
      record: hash of the record of this push.
      run_id: under which records and ledger know it.
    """

    version: int
    path: str
    digest: str
    restored: int
    rolled_back_from: int
    record: str
    run_id: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruned:
    """A version that was removed.

    Attributes:
      version: its number.
      path: the directory it had, relative to the root.
      digest: of its model.
      bytes: that its removal freed.
    """

    version: int
    path: str
    digest: str
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruning:
    """What pruning came to.

    Attributes:
      pruned: the versions that were removed, lowest number first.
      kept: the numbers of those that were counted and stay, lowest first.
      left: lines about what was neither counted nor removed.
    """

    pruned: tuple[Pruned, ...]
    kept: tuple[int, ...]
    left: tuple[str, ...]


def rollback(root: Path, version: int, say: Callable[[str], None]) -> Rollback:
    """Serves a version again, under the next number.

    Raises:
      BadInput: if it is not there, or is what is served already.
      Refused: if its push is not on record, or its bytes are not those that were pushed.
      EnvironmentProblem: if a run is under way, the store is lost or locked, or the disk does not take it.
    """
    with exclusive_lock(root) as paths:
        recover_first(paths, say)
        survey = Survey.of(paths)
        old, highest = _chosen(survey.serving, version)
        survey.serving.require_ours(say)
        check_places(paths, *WRITTEN_BY_A_PUSH)
        pushed, record = _recorded_push(survey, old)
        if highest.digest == old.digest:
            raise BadInput(f"{highest} serves the same bytes as {old}", where=paths.serving)
        ledger = Ledger.open(paths.ledger)
        origin = Origin(pipeline=record.pipeline, inputs=record.inputs)
        push = Push(paths, ledger, open_store(paths, say=say), origin, named("rollback"))
        raise_floor(paths.serving, ledger.chain.highest_version())
        note = {"restored": version, "rolled_back_from": highest.version}
        started = time.time()
        PROCESS.check()
        with PROCESS.held_back():  # what is served is recorded, or not served
            try:
                push.begin()
                # The manifest stays the same, and with it what was signed.
                signature = old.path / SIGNATURE if (old.path / SIGNATURE).is_file() else None
                made = publish(old.path, paths.serving, old.path / PROVENANCE, old.digest, signature=signature)
            except BaseException as err:
                push.give_up(str(err))
                raise
            push.reuse(_others(survey, pushed.run_id))
            known = push.finish(made.version, made.digest, {ROLLED_BACK: {**note, "run_id": pushed.run_id}}, **note)
            done = Rollback(
                **note,
                version=made.version,
                path=paths.relative(made.path),
                digest=made.digest,
                record=known,
                run_id=push.run_id,
            )
            _note_run(survey, ledger, done, pushed.run_id, started)
    return done


def _chosen(directory: ServingDirectory, version: int) -> tuple[ServedVersion, ServedVersion]:
    found, where = {served.version: served for served in directory.ours}, directory.paths.serving
    if version not in found:
        foreign = next((entry for entry in directory.foreign if entry.number == version), None)
        if foreign is not None:
            raise Refused("cannot serve what was not pushed", where=where / Path(foreign.path).name, got=foreign.what)
        known = ", ".join(map(str, found)) or "none"
        raise BadInput("no such version", where=where, wanted=f"one of {known}", got=version)
    newest = max(found)
    if version == newest:
        raise BadInput(f"version {version} is what is served now", where=where)
    return found[version], found[newest]


def _recorded_push(survey: Survey, old: ServedVersion) -> tuple[Line, ExecutionRecord]:
    """Returns the line and the record of the push that made a version, whose bytes must be those of then."""
    lines = [
        line
        for line in survey.ledger.lines
        if line.event == Event.PUSHED and line.details.get("version") == old.version
    ]
    commits = [line for line in survey.ledger.lines if line.event == Event.COMMIT and line.node == PUSHER]
    found = [line.record for line in commits if lines and line.run_id == lines[-1].run_id]
    record = survey.records[str(found[-1])] if found else None
    if not isinstance(record, ExecutionRecord) or not old.has_provenance:
        hint = "`mnist-tfx lineage repair` attaches a version whose model was blessed"
        raise Refused("not on record", where=old.path, hint=hint)
    if (wanted := lines[-1].details.get("sha256")) != old.digest:
        raise Refused("not the bytes that were pushed", where=old.path, wanted=wanted, got=old.digest)
    return lines[-1], record


def _note_run(survey: Survey, ledger: Ledger, done: Rollback, before: str, started: float) -> None:
    """Writes the run's record: that of `before`, the version's own run, with everything reused but the push."""
    old = _run(survey, before)
    if old is None:
        return
    record = dataclasses.replace(
        old,
        run_id=done.run_id,
        nodes=tuple(_reused(node, before, done.record) for node in old.nodes),
        version=done.version,
        serving_path=done.path,
        started=utc(started),
        finished=utc(time.time()),
    )
    ledger.run(run_id=done.run_id, record=record_store.write(survey.paths.records, record))


def _run(survey: Survey, run_id: str) -> RunRecord | None:
    runs = [line.record for line in survey.ledger.lines if line.event == Event.RUN and line.run_id == run_id]
    record = survey.records[str(runs[-1])] if runs else None
    return record if isinstance(record, RunRecord) else None


def _others(survey: Survey, run_id: str) -> dict[str, tuple[str, ExecutionRecord]]:
    """Returns {node id: (hash, record)} of the nodes of a run whose outputs a rollback reuses: all but the push."""
    old = _run(survey, run_id)
    found = {}
    for node in old.nodes if old is not None else ():
        record = survey.records[node.record] if node.record is not None and node.id != PUSHER else None
        if node.record is not None and isinstance(record, ExecutionRecord):
            found[node.id] = (node.record, record)
    return found


def _reused(node: NodeOutcome, before: str, pusher: str) -> NodeOutcome:
    if node.id == PUSHER:
        return dataclasses.replace(node, state="executed", seconds=0.0, why="rollback", record=pusher)
    return dataclasses.replace(node, state="cached", seconds=0.0, why=f"as in run {before}")


def prune(root: Path, keep: int, *, dry_run: bool = False) -> Pruning:
    """Removes the oldest versions until `keep` are left; the newest always stays.

    Counted and removed are versions that the ledger says were pushed, and that still hold the bytes of then. A folder of
    somebody else's, a link, and a version that was changed may be all that is left of something: they stay.

    Raises:
      BadInput: if `keep` is less than 1, or no pipeline has run here.
      EnvironmentProblem: if a run is under way, or the directory cannot be written.
    """
    if keep < 1:
        raise BadInput("the highest version always stays", where="--keep", wanted="1 or more", got=keep)
    with exclusive_lock(root) as paths:
        directory = ServingDirectory.of(paths)
        whole = [served for served in directory.recorded if directory.is_as_recorded(served)]
        found = Pruning(
            pruned=tuple(_pruned(paths, served) for served in (*directory.half_pruned, *whole[:-keep])),
            kept=tuple(served.version for served in whole[-keep:]),
            left=tuple(_left(directory)),
        )
        if found.pruned and not dry_run:
            check_places(paths, paths.ledger, paths.serving)
            for one in found.pruned:
                check_removable(paths.root / one.path)
            _remove(directory, found.pruned)
    return found


def _pruned(paths: RunPaths, served: ServedVersion) -> Pruned:
    path = paths.relative(served.path)
    return Pruned(version=served.version, path=path, digest=served.digest, bytes=size(served.path))


def _left(directory: ServingDirectory) -> Iterator[str]:
    yield from map(str, directory.foreign)
    for served in directory.unrecorded:
        yield f"{_name(directory, served)}: no push of it is recorded: `mnist-tfx lineage repair` attaches it"
    for served in directory.recorded:
        if not directory.is_as_recorded(served):
            audit = f"`mnist-tfx lineage audit {served.version}` says what is wrong with it"
            yield f"{_name(directory, served)}: not the bytes that were pushed: {audit}"


def _name(directory: ServingDirectory, served: ServedVersion) -> str:
    return directory.paths.relative(served.path)


def _remove(directory: ServingDirectory, gone: tuple[Pruned, ...]) -> None:
    paths, ledger, run_id = directory.paths, Ledger.open(directory.paths.ledger), named("prune")
    # Also where the directory of claims was lost: no number on record comes again.
    raise_floor(paths.serving, ledger.chain.highest_version())
    with locked(paths.serving):
        for one in gone:
            PROCESS.check()
            with PROCESS.held_back():  # what the ledger calls pruned is gone
                if one.version not in directory.pruned:
                    ledger.pruned(run_id=run_id, version=one.version, digest=one.digest)
                hidden = paths.serving / f"{STAGE_PREFIX}{uuid.uuid4().hex}"
                try:
                    os.rename(paths.root / one.path, hidden)
                    sync_folder(paths.serving)
                    shutil.rmtree(hidden)
                except OSError as err:
                    where = err.filename or paths.root / one.path
                    raise EnvironmentProblem("cannot remove it", where=where, got=err.strerror) from err
