"""Recovery of a root from a crash: intents, records and served versions. Served bytes are never touched.

ML Metadata and the ledger share no transaction: an intent is in the ledger before an execution, its commit after the
execution was published. Whoever holds the root's lock knows that nobody is between the two any more. What was published
is committed only if all its bytes are what its record says. A served version is attached only if its digest is that of a
model which both the Evaluator and the SavedModelCheck blessed; anything else that is served stays what it is, and the
audit says so. The start of a run, `lineage repair` and whatever else changes a root recover it by this module.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from components.errors import MnistTfxError
from components.serving import ServedVersion
from pipeline.maintenance.orphans import Survey, unended
from pipeline.maintenance.push_record import Origin, PushRecorder, push_key
from pipeline.metadata.store import Store, open_store
from pipeline.process.signals import PROCESS
from pipeline.provenance import record_store
from pipeline.provenance.ancestry import closure
from pipeline.provenance.artifacts import ArtifactRef, difference
from pipeline.provenance.ledger import Line, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.pushes import note_push
from pipeline.provenance.records import ExecutionRecord, NodeOutcome, RunRecord
from pipeline.provenance.runs import new_run_id
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.provenance.statement import read_provenance
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER

REPAIRED: Final = "repaired"
"""Key of `ExecutionRecord.extra`, and of a ledger line's details, where a repair and not a run wrote them."""

MODEL, MODEL_BLESSING, INFRA_BLESSING = "model", "model_blessing", "infra_blessing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """One thing that was settled, or could not be.

    Attributes:
      kind: `attached`, `promoted`, `committed`, `lost`, `failed`, `run-recorded`, `line-repaired` or `left`.
      where: what it is about.
      why: on what grounds.
    """

    kind: str
    where: str
    why: str

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do about it."""
        return self.kind != "left"

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.why}"


def recover(paths: RunPaths, store: Store, ledger: Ledger | None) -> Iterator[Repair]:
    """Settle one thing after the other: intents, then pushes, since they rest on the records of other nodes, then runs.

    Args:
      paths: of a root whose lock is held.
      store: its metadata store.
      ledger: open for appending; None says what would be done and does nothing.

    Yields:
      What was settled, or could not be.
    """
    yield from _Recovery(paths, store, ledger).repairs()


def recover_first(paths: RunPaths, say: Callable[[str], None]) -> None:
    """Settle what a crash left open, before a root whose lock is held is changed; without an open intent, do nothing.

    Raises:
      EnvironmentProblem: if the ledger is broken, or the store is lost or locked.
    """
    ledger = read_ledger(paths.ledger)
    half_done = ledger.unsettled() or StagedDirectory(paths, ledger).half_promoted or unended(paths, ledger)
    if not half_done:
        return
    store = open_store(paths, say=say)
    with PROCESS.held_back():
        for done in recover(paths, store, Ledger.open(paths.ledger)):
            if done.settled:
                say(f"recovered from a crash: {done}")


def blessed(survey: Survey, digest: str) -> Origin | None:
    """Return what a push of the model with this digest would read: the newest model with both blessings, if any."""
    for record in reversed(survey.committed.values()):
        model = next(iter(record.inputs.get(MODEL, ())), None)
        if model is None or model.sha256 != digest:
            continue
        blessings = {kind: _blessing(survey, kind, model) for kind in ("ModelBlessing", "InfraBlessing")}
        if (by_evaluation := blessings["ModelBlessing"]) and (by_check := blessings["InfraBlessing"]):
            inputs = {MODEL: (model,), MODEL_BLESSING: (by_evaluation,), INFRA_BLESSING: (by_check,)}
            return Origin(pipeline=record.pipeline, inputs=inputs)
    return None


def _blessing(survey: Survey, kind: str, model: ArtifactRef) -> ArtifactRef | None:
    for hash_, record in reversed(survey.committed.items()):
        if model in record.inputs.get(MODEL, ()):
            entries = (entry for entry in record.artifacts if entry.type == kind)
            for entry in entries:
                # The newest verdict counts, whichever it is.
                return entry.ref(hash_) if entry.properties.get("blessed") == 1 else None
    return None


class _Recovery:
    """One recovery of a held root."""

    def __init__(self, paths: RunPaths, store: Store, ledger: Ledger | None) -> None:
        self._paths = paths
        self._store = store
        self._ledger = ledger
        self._survey = Survey.of(paths)

    def repairs(self) -> Iterator[Repair]:
        yield from self._promotions()
        waiting, intents = [], self._survey.ledger.unsettled()
        for intent in intents:
            published = self._published(intent)
            if published is not None:
                yield self._commit(intent, published)
            elif intent.node == PUSHER:
                waiting.append(intent)
            else:
                yield self._lose(intent)
        if intents:
            self._look_again()
        yield from self._pushes(waiting)
        yield from self._pruned()
        yield from self._runs()
        self._look_again()
        yield from self._unended()

    def _promotions(self) -> Iterator[Repair]:
        """Record the promotions that moved their version into service and were killed before they could say so."""
        found = StagedDirectory(self._paths, self._survey.ledger).half_promoted
        for staging, served in found:
            if self._ledger is not None:
                self._ledger.promoted(staging, **{REPAIRED: True})
            why = "its promotion had begun, and its bytes are those that were staged"
            yield Repair(kind="promoted", where=self._paths.relative(served.path), why=why)
        if found:
            self._look_again()

    def _look_again(self) -> None:
        if self._ledger is not None:
            self._survey = Survey.of(self._paths)

    def _published(self, intent: Line) -> str | None:
        """Return the record that an intent came to, if store and files bear it out."""
        for hash_, record in self._survey.uncommitted.items():
            same_node = isinstance(record, ExecutionRecord) and (record.run_id, record.node) == (
                intent.run_id,
                intent.node,
            )
            if same_node and isinstance(record, ExecutionRecord) and record.key == intent.details.get("key"):
                entries = record.artifacts
                whole = not any(difference(self._paths.root, entry) for entry in entries)
                return hash_ if whole and self._store.has_published(hash_) else None
        return None

    def _commit(self, intent: Line, hash_: str) -> Repair:
        if self._ledger is not None:
            record = self._survey.uncommitted[hash_]
            if isinstance(record, ExecutionRecord):
                note_push(record, self._ledger, **{REPAIRED: True})
            self._ledger.commit(intent, record=hash_, **{REPAIRED: True})
        why = "published, its record and all its bytes are there: committed"
        return Repair(kind="committed", where=_name(intent), why=why)

    def _lose(self, intent: Line) -> Repair:
        why = "its process ended before it was published"
        if self._ledger is not None:
            self._ledger.lost(intent, why=why, **{REPAIRED: True})
        return Repair(kind="lost", where=_name(intent), why=why)

    def _pushes(self, waiting: list[Line]) -> Iterator[Repair]:
        for entry in self._survey.serving.foreign:
            yield Repair(kind="left", where=entry.path, why=f"{entry.what}: move it out of there: {entry.remedy}")
        for served in self._survey.serving.unrecorded:
            origin = blessed(self._survey, served.digest)
            if origin is not None:
                yield from self._attach(served, origin, waiting)
            else:
                why = f"no model with digest {served.digest} was blessed: left as it is"
                yield Repair(kind="left", where=self._paths.relative(served.path), why=why)
        for intent in waiting:
            yield self._lose(intent)

    def _attach(self, served: ServedVersion, origin: Origin, waiting: list[Line]) -> Iterator[Repair]:
        where = self._paths.relative(served.path)
        yield Repair(kind="attached", where=where, why=f"its digest {served.digest} is that of a blessed model")
        # The code may have been changed since; then the intent asked for something else than is recorded now.
        key = push_key(self._paths, origin)
        intent = next((line for line in waiting if line.details.get("key") == key), None)
        if intent is not None:
            waiting.remove(intent)
        if self._ledger is None:
            return
        run_id = new_run_id("repair") if intent is None else intent.run_id
        push = PushRecorder(self._paths, self._ledger, self._store, origin, run_id)
        push.begin(intent)
        note = {"why": "served, but not recorded", "digest": served.digest}
        pushed = push.finish(served.version, served.digest, {REPAIRED: note}, **{REPAIRED: True})
        self._look_again()
        yield from self._end_run(push, pushed, served.version)

    def _end_run(self, push: PushRecorder, pushed: str, version: int) -> Iterator[Repair]:
        """Put what a run reuses and its record, which it did not live to do after its push."""
        # A new id has put nothing of what it reuses, and a rollback that was killed after the rename perhaps a part.
        ancestors = closure(self._survey.records, [pushed])
        others = {record.node: (hash_, record) for hash_, record in ancestors.items() if record.run_id != push.run_id}
        push.reuse(others)
        yield from self._note_run(push.run_id, pushed, self._settings(version))

    def _settings(self, version: int) -> Mapping[str, Any]:
        """Return the sections of the recipe that the nodes had, as the provenance of a version tells them."""
        try:
            definition = read_provenance(self._paths.root, version)["predicate"]["buildDefinition"]
            return dict(definition["externalParameters"]["settings"])
        except (MnistTfxError, KeyError, TypeError, ValueError):
            return {}

    def _note_run(self, run_id: str, hash_: str, settings: Mapping[str, Any]) -> Iterator[Repair]:
        """Write the record of the run that a push belongs to, which did not live to write it."""
        if self._ledger is None or self._survey.ledger.run_record(run_id) is not None:
            return
        record = self._run_record(run_id, closure(self._survey.records, [hash_]), settings)
        self._ledger.run(run_id=run_id, record=record_store.write(self._paths.records, record), **{REPAIRED: True})
        self._look_again()
        yield _run_recorded(run_id)

    def _run_record(
        self, run_id: str, ancestors: Mapping[str, ExecutionRecord], settings: Mapping[str, Any]
    ) -> RunRecord:
        """Return the record of a run, with the results that can be read: of the push alone, if others cannot."""
        from pipeline.provenance import results  # the evaluation's modules, 0.1 s

        by_node = {record.node: record for record in ancestors.values()}
        pusher = by_node[PUSHER]
        build = functools.partial(
            results.run_record,
            self._paths.root,
            run_id=run_id,
            recipe=pusher.pipeline,
            settings=settings,
            status="interrupted",
            error={"kind": "Interrupted", "what": "ended after its model was served: recorded by lineage repair"},
            nodes=[
                NodeOutcome(
                    id=one.node,
                    state="executed" if one.run_id == run_id else "cached",
                    seconds=one.seconds,
                    why="as recorded",
                    record=hash_,
                )
                for hash_, one in ancestors.items()
            ],
            sources=[source for one in ancestors.values() for source in one.sources],
            started=min(one.started for one in ancestors.values() if one.run_id == run_id),
            finished=pusher.finished,
        )
        try:
            return build(by_node)
        except (OSError, ValueError, KeyError, TypeError, MnistTfxError):
            return build({PUSHER: pusher})

    def _runs(self) -> Iterator[Repair]:
        for hash_, record in self._survey.uncommitted.items():
            if isinstance(record, RunRecord):
                if self._ledger is not None:
                    self._ledger.run(run_id=record.run_id, record=hash_, **{REPAIRED: True})
                yield Repair(
                    kind="run-recorded", where=f"run {record.run_id}", why="its record was written, no line named it"
                )

    def _unended(self) -> Iterator[Repair]:
        """Record the runs that were killed between the commit of their push and their own record."""
        for pushed in self._survey.unended:
            if self._ledger is None:
                yield _run_recorded(pushed.run_id)
                continue
            hash_ = str(pushed.record)
            record = self._survey.committed[hash_]
            origin = Origin(pipeline=record.pipeline, inputs=record.inputs)
            push = PushRecorder(self._paths, self._ledger, self._store, origin, pushed.run_id)
            yield from self._end_run(push, hash_, pushed.version)

    def _pruned(self) -> Iterator[Repair]:
        """Name versions that were about to be removed; whether somebody has put them back, nobody can tell."""
        for served in self._survey.serving.half_pruned:
            why = "the ledger says that it was pruned, and it is served: `mnist-tfx serving prune` removes it"
            yield Repair(kind="left", where=self._paths.relative(served.path), why=why)


def _run_recorded(run_id: str) -> Repair:
    return Repair(kind="run-recorded", where=f"run {run_id}", why="it had ended without a record")


def _name(intent: Line) -> str:
    return f"{intent.node} of run {intent.run_id}"
