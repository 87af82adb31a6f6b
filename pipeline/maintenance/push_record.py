"""The record of a push outside a run: everything that a run's Pusher leaves of one.

That is, in this order: intent, running execution, `pushed.json`, record, published execution, `pushed` line, commit.
A rollback serves the version between the second and the third; a repair finds it served already.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components import disk
from components.errors import MnistTfxError
from pipeline.metadata.executions import RecordedExecution
from pipeline.metadata.store import Store, explained
from pipeline.provenance import record_store, recording, records
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef, measure
from pipeline.provenance.code import Code, code_of, lock_digest
from pipeline.provenance.git import git_state
from pipeline.provenance.ledger import Line
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.pushes import note_push
from pipeline.provenance.records import ExecutionRecord
from pipeline.root import identity
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER, STAGES

EXECUTOR: Final = "components.atomic_pusher.AtomicPusherExecutor"
PUSHED_FILE: Final = "pushed.json"
"""As `components.atomic_pusher` has it, which cannot be imported without TFX."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What a push reads.

    Attributes:
      pipeline: recipe name.
      inputs: {channel of the Pusher: artifacts}.
    """

    pipeline: str
    inputs: Mapping[str, tuple[ArtifactRef, ...]]


class PushRecorder:
    """Records one push that is done outside a run.

    Attributes:
      run_id: under which ledger and store know it.
    """

    def __init__(self, paths: RunPaths, ledger: Ledger, store: Store, origin: Origin, run_id: str) -> None:
        self.run_id = run_id
        self._paths = paths
        self._ledger = ledger
        self._store = store
        self._origin = origin
        self._intent: Line | None = None
        self._number = 0
        self._started = time.time()
        self._code = _code()
        self._parameters = _parameters(paths, self._code)
        self._key = push_key(paths, origin)

    def begin(self, intent: Line | None = None) -> None:
        """Write the intent, unless a run left one behind, and put the running execution."""
        from pipeline.metadata import writer  # brings ml_metadata's protobufs

        self._intent = intent or self._ledger.intent(node=PUSHER, run_id=self.run_id, key=self._key)
        one = RecordedExecution(node=PUSHER, run_id=self.run_id, pipeline=self._origin.pipeline, state="RUNNING")
        with explained(self._store.path):
            try:
                self._number = writer.begin(
                    self._store.raw, one, self._parameters, self._origin.inputs, stored_root(self._paths)
                )
            except BaseException as err:
                self._lose(str(err))
                raise

    def finish(self, version: int, digest: str, extra: Mapping[str, Any], **details: Any) -> str:
        """Record that `version`, with the model digest `digest`, is what this push served.

        Args:
          version: its number.
          digest: of its model.
          extra: for the record.
          **details: for the `pushed` line.

        Returns:
          The record's hash.
        """
        if self._intent is None:
            raise ValueError("not begun")
        record = self._record(self._pushed_model(version, digest), extra)
        hash_ = record_store.write(self._paths.records, record)
        self._publish(hash_, record)
        note_push(record, self._ledger, **details)
        self._ledger.commit(self._intent, record=hash_)
        return hash_

    def reuse(self, nodes: Mapping[str, tuple[str, ExecutionRecord]]) -> None:
        """Put cached executions for what the rest of the pipeline had done before: {node id: (hash, record)}."""
        from pipeline.metadata import writer  # brings ml_metadata's protobufs

        pipeline = self._origin.pipeline
        with explained(self._store.path):
            for node, (hash_, record) in nodes.items():
                one = RecordedExecution(
                    node=node, run_id=self.run_id, pipeline=pipeline, state="CACHED", hash=hash_, record=record
                )
                writer.put_cached(self._store.raw, one, stored_root(self._paths))

    def give_up(self, why: str) -> None:
        """Settle what `begin` left open, after a failure; what cannot be settled now, the next recovery settles."""
        self._lose(why)
        # A store that has failed in a transaction takes no other, and what it says then is not what went wrong.
        with contextlib.suppress(MnistTfxError):
            self._store.fail(self._store.unfinished())

    def _lose(self, why: str) -> None:
        if self._intent is not None:
            with contextlib.suppress(MnistTfxError):
                self._ledger.lost(self._intent, why=why)
            self._intent = None

    def _pushed_model(self, version: int, digest: str) -> ArtifactEntry:
        folder = self._paths.artifacts / PUSHER / "pushed_model" / str(self._number)
        serving = self._paths.serving
        fields = {"version": version, "path": f"{serving.name}/{version}", "digest": digest, "repeated": False}
        try:
            folder.mkdir(parents=True)
            (folder / PUSHED_FILE).write_text(json.dumps(fields, indent=1) + "\n")
        except OSError as err:
            raise disk.problem(err, "cannot write the push", where=folder) from err
        properties = {"pushed": 1, "pushed_destination": str(serving / str(version)), "pushed_version": str(version)}
        path = self._paths.relative(folder)
        return measure(self._paths.root, path, type_name="PushedModel", properties=properties)

    def _record(self, pushed_model: ArtifactEntry, extra: Mapping[str, Any]) -> ExecutionRecord:
        pending = recording.PendingExecution(
            pipeline=self._origin.pipeline,
            run_id=self.run_id,
            node=PUSHER,
            key=self._key,
            parameters=self._parameters,
            code=self._code,
            lock_digest=lock_digest(),
            environment=records.Environment.here(device="cpu"),
            git=git_state(),
            inputs=self._origin.inputs,
            extra=extra,
        )
        outputs, seconds = {"pushed_model": (pushed_model,)}, time.time() - self._started
        return recording.execution_record(pending, outputs, {}, started=self._started, seconds=seconds)

    def _publish(self, hash_: str, record: ExecutionRecord) -> None:
        from pipeline.metadata import writer  # brings ml_metadata's protobufs

        one = RecordedExecution(
            node=PUSHER, run_id=self.run_id, pipeline=record.pipeline, state="COMPLETE", hash=hash_, record=record
        )
        with explained(self._store.path):
            writer.publish(self._store.raw, self._number, one, stored_root(self._paths))


def push_key(paths: RunPaths, origin: Origin) -> str:
    """Return the node key of a push, as a run with the code of today would have it."""
    return records.node_key(PUSHER, EXECUTOR, _parameters(paths, _code()), origin.inputs)


def stored_root(paths: RunPaths) -> Path:
    """Return where the store believes the root to be: where it lay during its last run."""
    return Path(identity.place(paths.identity) or paths.root)


def _parameters(paths: RunPaths, code: Code) -> dict[str, records.Scalar]:
    return {"code_digest": code.digest, "serving_dir": paths.serving.name}


def _code() -> Code:
    return code_of(STAGES[PUSHER].modules, lock_digest())
