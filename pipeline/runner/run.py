"""One run: every node launched or reused, recorded, and accounted for in every outcome.

It drives TFX's own Launcher, as TFX's LocalDagRunner does, and hands it an executor operator (`pipeline.runner.execution`), so
that nothing of TFX is patched. One run at a time may write to a root; another one waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tfx.orchestration.portable import data_types, launcher

from components import disk, savedmodel_check
from components.errors import EnvironmentProblem, MnistTfxError, Refused
from components.serving import highest_claimed, raise_floor
from pipeline.config.pipeline_config import PipelineConfig, Reuse
from pipeline.maintenance import recovery
from pipeline.metadata import tfx
from pipeline.metadata.address import SqliteFile
from pipeline.metadata.connection import Connection, connect
from pipeline.metadata.store import Store
from pipeline.process import trace
from pipeline.process.signals import Interrupted, Interruptions
from pipeline.provenance import candidate, record_store, records, results, schema_approvals, signing
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef
from pipeline.provenance.ended_keys import require_not_ended
from pipeline.provenance.git import git_state
from pipeline.provenance.keys import PrivateKey
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.pushes import note_push, version_of
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.identity import claim
from pipeline.runner import resumption, unfinished_learning
from pipeline.runner.compiled import CompiledPipeline, Node, compile_pipeline
from pipeline.runner.execution import SPECS, Execution, RunContext
from pipeline.runner.held_root import HeldRoot, Processes, hold
from pipeline.runner.part import Part
from pipeline.runner.planner import CompletedNode, NodePlan, Planner
from pipeline.runner.progress import RunView
from pipeline.runner.run_record import portable, run_record, skipped
from pipeline.stages import CLASSIFIER, EVALUATOR, INGEST, PUSHER, SAVED_MODEL_CHECK, SCHEMA_GATE, TRAINERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
      record: what is written about it; the ledger holds its hash.
      error: what stopped it, if anything did.
      train_s: time of both Trainer nodes from launch to publication, in seconds.
    """

    record: records.RunRecord
    error: MnistTfxError | Interrupted | None
    train_s: float


class Run:
    """One run of the local runner."""

    def __init__(  # noqa: PLR0913  # what a run needs is made where it is started
        self,
        config: PipelineConfig,
        run_id: str,
        *,
        reuse: Reuse,
        view: RunView,
        processes: Processes,
        interruptions: Interruptions,
        before_training: Callable[[], None] = lambda: None,
        before_check: Callable[[Mapping[str, records.ExecutionRecord]], None] = lambda _: None,
        sign_key: PrivateKey | None = None,
        part: Part | None = None,
        held: HeldRoot | None = None,
    ) -> None:
        self._config = config
        self._run_id = run_id
        self._reuse = reuse
        self._view = view
        self._processes = processes
        self._interruptions = interruptions
        self._before_training = before_training
        self._before_check = before_check
        self._sign_key = sign_key
        self._part = part
        self._held = held
        self._done: dict[str, CompletedNode] = {}
        self._outcomes: dict[str, records.NodeOutcome] = {}
        self._highest_version = 0

    def run(self) -> Outcome:
        """Run the pipeline; known errors, refusals and interruptions end up in the outcome, others are raised."""
        started = time.time()
        with contextlib.ExitStack() as holding:
            held = self._held or holding.enter_context(hold(self._config, self._view.wait))
            holding.enter_context(held.turn(self._interruptions))
            return self._run(held, started)

    def _run(self, held: HeldRoot, started: float) -> Outcome:
        with trace.span("compile the pipeline"):
            compiled = compile_pipeline(self._config, self._run_id)
        with contextlib.ExitStack() as last_lines:
            try:
                error = self._attempt(compiled, held)
                last_lines.enter_context(self._interruptions.held_back())
            except Interrupted as err:  # between the last node and the line above; it is raised only once
                error = err
            nodes = [self._outcomes.get(node.id) or self._skipped(node.id, error) for node in compiled.nodes]
            record = run_record(self._config, self._run_id, nodes, self._done, error, started, self._part)
            self._view.note(None, f"ends, {record.status}" + (f": {error}" if error else ""))
            by = {} if self._config.by is None else {"by": self._config.by}
            hash_ = record_store.write(self._config.paths.records, record)
            held.ledger.run(run_id=self._run_id, record=hash_, **by)
        return Outcome(record=record, error=error, train_s=self._train_seconds())

    def _attempt(self, compiled: CompiledPipeline, held: HeldRoot) -> MnistTfxError | Interrupted | None:
        """Run the nodes and return what stopped them, if anything did."""
        self._view.open([node.id for node in compiled.nodes])
        try:
            self._run_nodes(compiled, held)
        except (MnistTfxError, Interrupted) as err:
            self._keep_report(err)
            if isinstance(err, Interrupted) and err.hint is not None:
                self._view.say(err.hint)  # such as what became of a job on a cluster
            return err
        except Exception as err:  # noqa: BLE001  # becomes the outcome, its traceback goes to the log
            # What a library makes of a signal that met it is about the library.
            return self._interruptions.arrived or self._unexpected(err)
        finally:
            self._view.close()
        return None

    def _run_nodes(self, compiled: CompiledPipeline, held: HeldRoot) -> None:
        ledger = held.ledger
        with self._view.phase("opening the metadata store"):
            connection = connect(self._config.metadata, self._config.paths, ledger.chain, self._view.say)
            if not held.is_settled:
                with self._interruptions.held_back():
                    self._settle(connection, ledger, held.before)
                held.is_settled = True
        self._highest_version = ledger.chain.highest_version()
        context = RunContext(
            run_id=self._run_id,
            config=self._config,
            ledger=ledger,
            processes=self._processes,
            environment=records.Environment.here(device="cpu"),
            git=git_state(),
            resumes=self._reuse.trainings,
        )
        planner = Planner(
            paths=self._config.paths,
            records=record_store.scan(self._config.paths.records),
            order=(),
            resumes=self._reuse.trainings,
            forced=self._reuse.forced([node.id for node in compiled.nodes]),
        )
        try:
            for node in compiled.nodes:
                self._interruptions.check()
                self._run_node(node, held, planner, context, connection, compiled)
                if self._part is not None and node.id == self._part.last:
                    break
            self._interruptions.check()
            if PUSHER in self._done:
                self._sign_again()
        finally:
            # Nothing of this run is still at work, however it ended.
            with self._interruptions.held_back():
                tfx.fail_running(connection, (self._run_id,))

    def _skipped(self, node: str, error: MnistTfxError | Interrupted | None) -> records.NodeOutcome:
        return skipped(node) if error is not None else skipped(node, "a candidate of a sweep goes no further")

    def _settle(self, connection: Connection, ledger: Ledger, before: Path | None) -> None:
        """Follow a root that was moved or copied, and settle what an earlier run left open."""
        paths, say = self._config.paths, self._view.say
        if ledger.repaired:
            say(f"warning: {ledger.repaired}")
        if before is not None and before != paths.root:
            tfx.relocate(connection, before, paths.root)
        claim(paths, self._config.identity, str(connection.address))
        schema = self._config.schema_folder / f"{self._config.settings.data.geometry}.pbtxt"
        schema_approvals.note_approval(ledger, schema, self._config.schema_digest)
        if (gone := schema_approvals.last_withdrawn(ledger, self._config.schema_digest)) is not None:
            say(f"warning: the approval of schema {gone.name} by {gone.by} was {gone.withdrawn}")
        begun = [line.run_id for line in ledger.unsettled()]
        foreign = {entry.path for entry in ServingDirectory(paths, ledger.chain).foreign}  # named before the imports
        with connection as handle:
            address = connection.address
            place = address.path if isinstance(address, SqliteFile) else address
            for done in recovery.recover(paths, Store(place, handle.store, paths), ledger):
                if done.where not in foreign:
                    say(f"{'recovered from a crash' if done.settled else 'warning'}: {done}")
        logs, known = paths.log("").parent, record_store.scan(paths.records)
        runs = dict.fromkeys((*tfx.open_runs(ledger.chain, logs, known), *begun))
        if left := tfx.fail_running(connection, runs):
            say(f"warning: {left} executions of an earlier run had not ended: marked as failed")

    def _run_node(  # noqa: PLR0913  # what all nodes of a run share
        self,
        node: Node,
        held: HeldRoot,
        planner: Planner,
        context: RunContext,
        connection: Connection,
        compiled: CompiledPipeline,
    ) -> None:
        self._view.started(node.id)
        clock = time.monotonic()
        state, why, shown = "failed", "", ""
        try:
            with trace.span(f"{node.id}: planning"):
                planned = self._plan(node, held, planner)
            with held.executing(planned.key), trace.span(node.id):
                state, why = self._reuse_or_execute(node, planned, context, connection, compiled)
            if state == "executed" and planned.key is not None:
                held.fresh.add(planned.key)
            shown = why
        except BaseException as err:
            why = str(err)
            # The command prints the error at its end, and nothing is said twice.
            shown = type(err).exit_code.status if isinstance(err, MnistTfxError) else ""
            raise
        finally:
            seconds = round(time.monotonic() - clock, 3)
            done = self._done.get(node.id)
            if done is not None and state == "failed":  # a signal came when all was done
                state = "executed" if done.record.run_id == self._run_id else "cached"
            self._outcomes[node.id] = records.NodeOutcome(
                id=node.id,
                state=state,
                seconds=seconds,
                why=portable(self._config, why),
                record=done.hash if done else None,
            )
            self._view.finished(node.id, state, seconds, shown)
        self._say_warnings(node)
        try:
            results.require(node.id, self._config.paths.root, self._done[node.id].record)
        except Refused as err:
            if node.id == EVALUATOR:
                trained = {name: done.record for name, done in self._done.items()}
                longer = unfinished_learning.commands(self._config.paths.root, trained)
                err.commands = (*longer, *err.commands)[:3]
            self._view.note(node.id, f"refused: {err.cause}")
            raise

    def _plan(self, node: Node, held: HeldRoot, planner: Planner) -> NodePlan:
        """Decide about a node by all that is recorded by now; what a run beside this one executes is waited for."""
        while True:
            chain = held.ledger.chain
            planner = dataclasses.replace(
                planner,
                order=chain.order,
                collected=chain.collected(),
                unfinished=chain.unfinished(),
                fresh=frozenset(held.fresh),
            )
            planned = planner.plan(node, self._done)
            if not held.is_busy(planned.key):
                return planned
            self._view.progress(node.id, {"stage": "waits for a candidate that executes the same"})
            held.await_others(planned.key, self._interruptions)

    def _reuse_or_execute(
        self,
        node: Node,
        planned: NodePlan,
        context: RunContext,
        connection: Connection,
        compiled: CompiledPipeline,
    ) -> tuple[str, str]:
        if planned.damaged:
            self._view.say(f"warning: {node.id}: {planned.why}: computed again")
        if planned.reuse is not None:
            # The store must not know of a reuse that the run's record does not.
            with self._interruptions.held_back():
                if self._published_again(node, planned, connection):
                    self._done[node.id] = planned.reuse
                    return "cached", planned.why
        self._processes.start()
        # A signal waits from the moment when the execution changes something until the ledger says so.
        with contextlib.ExitStack() as unrecorded:
            execution = Execution(
                context,
                node,
                planned,
                prepare=self._prepare,
                progress=lambda line: self._view.progress(node.id, line),
                hold=lambda: unrecorded.enter_context(self._interruptions.held_back()),
            )
            try:
                # What is left of it, less what the execution has spans for, is TFX's driver and publisher.
                with trace.span(f"{node.id}: driver and publisher"):
                    self._launch(node, execution, connection, compiled)
            except BaseException as err:
                with self._interruptions.held_back():
                    execution.give_up(portable(self._config, str(err)))
                raise
            # Before the commit: a push whose node is committed always has its line.
            if execution.done is not None:
                note_push(execution.done.record, context.ledger)
            self._done[node.id] = execution.commit()
        if (version := version_of(self._done[node.id].record)) is not None:
            self._view.note(node.id, f"{'staged' if self._config.stage else 'published'} version {version}")
        why = planned.why if planned.reuse is None else "the metadata store does not know its outputs"
        resumed = resumption.resumed(self._config.paths.root, self._done[node.id].record)
        return "executed", why if resumed is None else f"{why}; {resumed}"

    def _published_again(self, node: Node, planned: NodePlan, connection: Connection) -> bool:
        reused = planned.reuse
        if reused is None:
            return False
        read, made = (self._uris(side) for side in (planned.inputs, reused.record.outputs))
        return tfx.reuse(connection, node.proto, planned.parameters, read, made)

    def _uris(self, channels: Mapping[str, Sequence[ArtifactRef | ArtifactEntry]]) -> dict[str, list[str]]:
        root = self._config.paths.root
        return {channel: [str(root / one.path) for one in artifacts] for channel, artifacts in channels.items()}

    def _launch(self, node: Node, execution: Execution, connection: Connection, compiled: CompiledPipeline) -> None:
        launcher.Launcher(
            pipeline_node=node.proto,
            mlmd_connection=connection,
            pipeline_info=compiled.proto.pipeline_info,
            pipeline_runtime_spec=compiled.proto.runtime_spec,
            executor_spec=node.executor_spec,
            custom_driver_spec=node.driver_spec,
            custom_executor_operators=dict.fromkeys(SPECS, execution.operator),
        ).launch()

    def _prepare(self, node: Node, info: data_types.ExecutionInfo) -> None:
        """Do what a node needs just before its executor starts."""
        if node.id in TRAINERS:
            self._before_training()
        if node.id == EVALUATOR:
            # The check's bare interpreter asks the model while one core evaluates. While models train, which is when most
            # memory is taken, it would add a third of a gigabyte and gain nothing.
            model, examples = self._folder_of(CLASSIFIER, "model"), self._folder_of(INGEST, "examples")
            savedmodel_check.ask_ahead(model, examples, self._config.settings.data)
        if node.id == SAVED_MODEL_CHECK:
            # Once the Evaluator has given its core and its memory back.
            self._before_check({name: done.record for name, done in self._done.items()})
        if node.id == PUSHER:
            self._write_provenance(node, info)

    def _folder_of(self, node: str, channel: str) -> Path:
        """Return where the one artifact lies that a node has given."""
        [entry] = self._done[node].record.outputs[channel]
        return self._config.paths.root / entry.path

    def _write_provenance(self, node: Node, info: data_types.ExecutionInfo) -> None:
        """Give the Pusher the manifest that goes into the served version, built from the records of its inputs."""
        heads = [self._done[producer].hash for producer in node.producers]
        model = self._done[CLASSIFIER].record.outputs["model"][0]
        folder = Path(info.tmp_dir) / str(info.execution_id)
        self._require_key()
        candidate.write(folder, model, record_store.scan(self._config.paths.records), heads, self._sign_key)
        # Of a root whose serving folder was lost; and served and staged versions share their numbers.
        paths = self._config.paths
        claimed = max(map(highest_claimed, (paths.serving, paths.staged)))
        raise_floor(self._config.pushed_to, max(self._highest_version, claimed))

    def _sign_again(self) -> None:
        """Sign what is served where the push was reused, or found its bytes there already."""
        served = results.pushed(self._config.paths.root, self._done[PUSHER].record)
        if self._sign_key is not None and served is not None:
            self._require_key()
            signing.sign(self._config.paths.root / served.path, self._sign_key)

    def _require_key(self) -> None:
        """Refuse to sign with a key that came to its end while the run was at work."""
        if self._sign_key is not None:
            require_not_ended(read_ledger(self._config.paths.ledger), self._sign_key.public)

    def _say_warnings(self, node: Node) -> None:
        if node.id == INGEST:
            for line in results.left_out(self._done[node.id].record):
                self._view.say(line)
        if node.id == SCHEMA_GATE:
            for warning in results.gate_warnings(self._config.paths.root, self._done[node.id].record):
                self._view.say(f"warning: SchemaGate: {warning}")

    def _keep_report(self, err: MnistTfxError | Interrupted) -> None:
        """Write down what a gate saw when it refused: the Launcher removes the artifacts of a failed node."""
        if isinstance(err, MnistTfxError) and err.report is not None:
            text = json.dumps(err.report, indent=1) + "\n"
            place = self._config.paths.gate_report(self._run_id)
            place.write_text(text)
            err.page = str(place)

    def _unexpected(self, err: Exception) -> EnvironmentProblem:
        """Turn what nobody foresaw into one line; the traceback goes to the log."""
        log = self._config.paths.log(self._run_id)
        with contextlib.suppress(OSError), log.open("a") as file:  # the disk may be full: that is what went wrong
            traceback.print_exception(type(err), err, err.__traceback__, file=file)
        if disk.is_full(err):
            return disk.no_space(getattr(err, "filename", None) or self._config.paths.root)
        if isinstance(err, OSError):
            return EnvironmentProblem(err.strerror or str(err), where=err.filename)
        what = f"{type(err).__name__}: {' '.join(str(err).split())[:500]}"
        return EnvironmentProblem(what, hint=f"the traceback is in {log}")

    def _train_seconds(self) -> float:
        return sum(
            outcome.seconds
            for node, outcome in self._outcomes.items()
            if node in TRAINERS and outcome.state == "executed"
        )
