"""One execution: intent in the ledger, the executor's work, digests and record on its outputs.

The operator below stands where TFX puts its own, so that the Launcher publishes `sha256` and `record` with each output
artifact. Everything that identifies the work was settled by the planner; the record repeats it with what came out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf import message
from tfx.orchestration.portable import (
    base_executor_operator,
    beam_executor_operator,
    data_types,
    python_executor_operator,
)
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2

from components import disk
from components.progress import listening
from components.training.process import CHECKPOINTS, OWN_CODE, TRAINER_ENVIRONMENT, WORKERS
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.process import trace
from pipeline.process.child import CPU_ONLY
from pipeline.process.forkserver_client import Progress
from pipeline.provenance import own_code, record_store, recording, records
from pipeline.provenance.artifacts import DIGEST_PROPERTY, RECORD_PROPERTY, ArtifactEntry, measure
from pipeline.provenance.git import GitState
from pipeline.provenance.ledger import Line
from pipeline.provenance.ledger_writer import Ledger
from pipeline.runner.beam import cancellation
from pipeline.runner.compiled import Node
from pipeline.runner.held_root import Processes
from pipeline.runner.planner import CompletedNode, NodePlan
from pipeline.stages import PUSHER

SPECS: Final = (executable_spec_pb2.PythonClassExecutableSpec, executable_spec_pb2.BeamExecutableSpec)

Prepare = Callable[[Node, data_types.ExecutionInfo], None]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RunContext:
    """What all executions of a run share.

    Attributes:
      run_id: of the run.
      config: what was asked for.
      ledger: open for appending.
      processes: for executors that need the engines.
      environment: of this machine.
      git: state of the project's checkout.
      resumes: whether a training goes on from its checkpoint.
    """

    run_id: str
    config: PipelineConfig
    ledger: Ledger
    processes: Processes
    environment: records.Environment
    git: GitState
    resumes: bool = True


class Execution:
    """One node on its way from intent to commit.

    Args:
      context: what all executions of the run share.
      node: the node.
      planned: what the planner has settled.
      prepare: called before the executor starts.
      progress: called with each progress line.
      hold: called when signals have to wait until the commit; may be called twice.

    Attributes:
      done: hash and record, once the executor has succeeded.
    """

    def __init__(  # noqa: PLR0913  # what the runner knows
        self,
        context: RunContext,
        node: Node,
        planned: NodePlan,
        *,
        prepare: Prepare,
        progress: Progress,
        hold: Callable[[], None],
    ) -> None:
        self._context = context
        self._node = node
        self._planned = planned
        self._prepare = prepare
        self._progress = progress
        self._hold = hold
        self._intent: Line | None = None
        self.done: CompletedNode | None = None

    def operator(self, **spec: Any) -> base_executor_operator.BaseExecutorOperator:
        """Return the operator that the Launcher calls; what it passes is the executor's spec."""
        return _RecordingOperator(self, **spec)

    def run(self, spec: message.Message, info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        """Do what the Launcher asks: intent, work, record."""
        info.exec_properties = dict(self._planned.parameters)
        self._intent = self._context.ledger.intent(
            node=self._node.id, run_id=self._context.run_id, key=self._planned.key
        )
        started, clock = time.time(), time.monotonic()
        with trace.span(f"{self._node.id}: preparation"):
            self._prepare(self._node, info)
        if self._node.id == PUSHER:
            self._hold()
        try:
            output = self._execute(spec, info)
        except OSError as err:
            root = self._context.config.paths.root
            raise disk.problem(err, err.strerror or "failed", where=root / "artifacts" / self._node.id) from err
        self._hold()  # what is published has to be committed
        seconds = time.monotonic() - clock
        with trace.span(f"{self._node.id}: digests and record"):
            self._record(info, output, started, seconds)
        return output

    def commit(self) -> CompletedNode:
        """Settle the intent after the Launcher has published."""
        if self.done is None or self._intent is None:
            raise RuntimeError(f"{self._node.id} has not been executed")
        self._context.ledger.commit(self._intent, record=self.done.hash)
        return self.done

    def give_up(self, why: str) -> None:
        """Settle the intent of an execution that failed."""
        if self._intent is not None:
            self._context.ledger.lost(self._intent, why=why)

    def _execute(self, spec: message.Message, info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        if self._node.stage.in_process:
            kind = (
                beam_executor_operator.BeamExecutorOperator
                if self._node.beam
                else python_executor_operator.PythonExecutorOperator
            )
            with _arguments_hidden(), listening(self._progress), trace.span(f"{self._node.id}: executor"):
                return kind(spec).run_executor(info)
        request = {
            "spec": spec.SerializeToString(),
            "beam": self._node.beam,
            "invocation": info.to_proto().SerializeToString(),
        }
        with tempfile.TemporaryDirectory(prefix="jobs-") as folder, cancellation.cancelling(Path(folder)):
            env = {**self._child_environment(), cancellation.OPEN_JOBS: folder}
            answer = self._context.processes.run(self._node.id, request, env, self._progress)
        return execution_result_pb2.ExecutorOutput.FromString(answer)

    def _child_environment(self) -> dict[str, str]:
        if not self._node.stage.trains:
            return dict(CPU_ONLY)
        config = self._context.config
        folder = config.paths.checkpoints / str(self._planned.key)
        if not self._context.resumes:
            shutil.rmtree(folder, ignore_errors=True)
        workers = {} if config.workers is None else {WORKERS: str(config.workers)}
        own = config.own_code.get(self._node.id)
        code = {} if own is None else {OWN_CODE: str(own_code.keep(config.paths.inputs, own))}
        device = config.device.environment(os.environ)
        return {**TRAINER_ENVIRONMENT, CHECKPOINTS: str(folder), **device, **workers, **code}

    def _record(
        self,
        info: data_types.ExecutionInfo,
        output: execution_result_pb2.ExecutorOutput,
        started: float,
        seconds: float,
    ) -> None:
        context, planned = self._context, self._planned
        paths = context.config.paths
        work = recording.PendingExecution(
            pipeline=context.config.settings.name,
            run_id=context.run_id,
            node=self._node.id,
            key=str(planned.key),
            parameters=records.without_root(planned.parameters, str(paths.root)),
            code=self._node.code,
            lock_digest=context.config.lock_digest,
            environment=context.environment,
            git=context.git,
            inputs=planned.inputs,
            extra={records.BEAM: context.config.beam_engine} if self._node.beam else {},
        )
        made = {channel: self._measured(channel, info, output) for channel in info.output_dict}
        folders = {channel: paths.root / entries[0].path for channel, entries in made.items()}
        record = recording.execution_record(work, made, folders, started=started, seconds=seconds)
        known = record_store.write(paths.records, record)
        self.done = CompletedNode(hash=known, record=record)
        for channel, entries in made.items():
            for artifact, entry in zip(output.output_artifacts[channel].artifacts, entries, strict=True):
                artifact.custom_properties[DIGEST_PROPERTY].string_value = entry.sha256
                artifact.custom_properties[RECORD_PROPERTY].string_value = known

    def _measured(
        self, channel: str, info: data_types.ExecutionInfo, output: execution_result_pb2.ExecutorOutput
    ) -> tuple[ArtifactEntry, ...]:
        paths = self._context.config.paths
        return tuple(
            measure(
                paths.root,
                paths.relative(artifact.uri),
                type_name=info.output_dict[channel][0].type_name,
                properties=recording.plain(artifact.custom_properties),
            )
            for artifact in output.output_artifacts[channel].artifacts
        )


class _RecordingOperator(base_executor_operator.BaseExecutorOperator):  # type: ignore[misc]  # tfx has no annotations
    """The Launcher's way to an `Execution`."""

    SUPPORTED_EXECUTOR_SPEC_TYPE = SPECS
    SUPPORTED_PLATFORM_CONFIG_TYPE = ()

    def __init__(self, execution: Execution, executor_spec: message.Message, platform_config: Any = None) -> None:
        super().__init__(executor_spec, platform_config)
        self._execution = execution

    def run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        return self._execution.run(self._executor_spec, execution_info)


@contextlib.contextmanager
def _arguments_hidden() -> Iterator[None]:
    """Hide our command line from TFX's executors, which read their own flags from it."""
    before = sys.argv
    sys.argv = before[:1]
    try:
        yield
    finally:
        sys.argv = before
