"""Rollback to an older served version.

TF Serving loads the highest number, and numbers are never used twice: going back means to serve the old bytes under a new
number. The push is recorded as that of a run is, with the inputs of the push that first made the version.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from components.errors import BadInput, Refused
from components.publish import publish
from components.serving import PROVENANCE, SIGNATURE, ServedVersion, raise_floor
from pipeline.maintenance.orphans import Survey, unended
from pipeline.maintenance.push_record import Origin, PushRecorder
from pipeline.maintenance.recovery import recover_first
from pipeline.metadata.store import open_store
from pipeline.process.signals import PROCESS
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Push, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord, NodeOutcome, RunRecord, utc
from pipeline.provenance.runs import new_run_id, run_record
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.lock import exclusive_lock
from pipeline.root.writable import WRITTEN_BY_A_PUSH, check_places
from pipeline.stages import PUSHER

PREFIX: Final = "rollback"
"""Of the ids of runs that are rollbacks."""

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


def rollback(root: Path, version: int, say: Callable[[str], None]) -> Rollback:
    """Serve a version again, under the next number; a rollback to it that was killed after its push is ended.

    Raises:
      BadInput: if it is not there, or is what is served already.
      Refused: if its push is not on record, or its bytes are not those that were pushed.
      EnvironmentProblem: if a run is under way, the store is lost or locked, or the disk does not take it.
    """
    with exclusive_lock(root) as paths:
        before = read_ledger(paths.ledger)
        begun = {line.run_id for line in before.unsettled()} | {push.run_id for push in unended(paths, before)}
        recover_first(paths, say)
        survey = Survey.of(paths)
        old, highest = _choose_versions(survey.serving, version)
        if (done := _begun_before(survey, old, highest, begun)) is not None:
            return done
        survey.serving.require_ours(say)
        check_places(paths, *WRITTEN_BY_A_PUSH)
        pushed, record = _recorded_push(survey, old)
        run = run_record(survey.ledger, survey.records, pushed.run_id)
        if highest.digest == old.digest:
            raise BadInput(f"{highest} serves the same bytes as {old}", where=paths.serving)
        ledger = Ledger.open(paths.ledger)
        origin = Origin(pipeline=record.pipeline, inputs=record.inputs)
        store = open_store(paths, say=say)
        store.require_room(sum(path.stat().st_size for path in old.path.rglob("*") if path.is_file()))
        push = PushRecorder(paths, ledger, store, origin, new_run_id(PREFIX))
        raise_floor(paths.serving, ledger.chain.highest_version())
        note = {"restored": version, "rolled_back_from": highest.version}
        others = {} if run is None else _others(survey, run)
        started = time.time()
        PROCESS.check()
        with PROCESS.held_back():  # what is served is recorded, or not served
            try:
                push.begin()
                # The manifest stays the same, and with it what was signed.
                signature = old.path / SIGNATURE if (old.path / SIGNATURE).is_file() else None
                served = publish(old.path, paths.serving, old.path / PROVENANCE, old.digest, signature=signature)
            except BaseException as err:
                push.give_up(str(err))
                raise
            push.reuse(others)
            hash_ = push.finish(served.version, served.digest, {ROLLED_BACK: {**note, "run_id": pushed.run_id}}, **note)
            done = Rollback(
                **note,
                version=served.version,
                path=paths.relative(served.path),
                digest=served.digest,
                record=hash_,
                run_id=push.run_id,
            )
            if run is not None:
                again = _run_again(run, done, started)
                ledger.run(run_id=done.run_id, record=record_store.write(paths.records, again))
    return done


def _begun_before(survey: Survey, old: ServedVersion, highest: ServedVersion, begun: set[str]) -> Rollback | None:
    """Return the rollback to this version that recovery has recorded, if one of the runs that had not ended was that."""
    push = survey.ledger.push(highest.version)
    if push is None or push.record is None or push.run_id not in begun or highest.digest != old.digest:
        return None
    if not push.run_id.startswith(f"{PREFIX}-"):
        return None
    return Rollback(
        version=highest.version,
        path=survey.paths.relative(highest.path),
        digest=highest.digest,
        restored=old.version,
        rolled_back_from=max(one.version for one in survey.serving.ours if one.version != highest.version),
        record=push.record,
        run_id=push.run_id,
    )


def _choose_versions(directory: ServingDirectory, version: int) -> tuple[ServedVersion, ServedVersion]:
    ours, where = {served.version: served for served in directory.ours}, directory.paths.serving
    if version not in ours:
        foreign = next((entry for entry in directory.foreign if entry.number == version), None)
        if foreign is not None:
            raise Refused("cannot serve what was not pushed", where=where / Path(foreign.path).name, got=foreign.what)
        if version in StagedDirectory(directory.paths, directory.ledger).stagings:
            hint = f"`mnist-tfx serving promote {version}` puts it into service"
            raise BadInput(f"version {version} is staged, and was never in service", where=where, hint=hint)
        numbers = ", ".join(map(str, ours)) or "none"
        raise BadInput("no such version", where=where, wanted=f"one of {numbers}", got=version)
    newest = max(ours)
    if version == newest:
        raise BadInput(f"version {version} is what is served now", where=where)
    return ours[version], ours[newest]


def _recorded_push(survey: Survey, old: ServedVersion) -> tuple[Push, ExecutionRecord]:
    """Return the push that made a version, and its record; the version's bytes must be those of then."""
    push = survey.ledger.push(old.version)
    record = survey.records[push.record] if push is not None and push.record is not None else None
    if push is None or not isinstance(record, ExecutionRecord) or not old.has_provenance:
        hint = "`mnist-tfx lineage repair` attaches a version whose model was blessed"
        raise Refused("not on record", where=old.path, hint=hint)
    if push.sha256 != old.digest:
        raise Refused("not the bytes that were pushed", where=old.path, wanted=push.sha256, got=old.digest)
    return push, record


def _run_again(run: RunRecord, done: Rollback, started: float) -> RunRecord:
    """Return the record of a rollback's run: that of the version's own run, with everything reused but the push."""
    return dataclasses.replace(
        run,
        run_id=done.run_id,
        nodes=tuple(_reuse(node, run.run_id, done.record) for node in run.nodes),
        version=done.version,
        serving_path=done.path,
        started=utc(started),
        finished=utc(time.time()),
    )


def _others(survey: Survey, run: RunRecord) -> dict[str, tuple[str, ExecutionRecord]]:
    """Return {node id: (hash, record)} of the nodes of a run whose outputs a rollback reuses: all but the push."""
    result = {}
    for node in run.nodes:
        record = survey.records[node.record] if node.record is not None and node.id != PUSHER else None
        if node.record is not None and isinstance(record, ExecutionRecord):
            result[node.id] = (node.record, record)
    return result


def _reuse(node: NodeOutcome, before: str, pusher: str) -> NodeOutcome:
    if node.id == PUSHER:
        return dataclasses.replace(node, state="executed", seconds=0.0, why="rollback", record=pusher)
    return dataclasses.replace(node, state="cached", seconds=0.0, why=f"as in run {before}")
