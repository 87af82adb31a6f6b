"""A sweep: one candidate for each combination of settings, of which the best by validation is pushed.

Candidates run side by side in one root, so that whatever two of them have in common is executed once: data, schema and
statistics always, the autoencoder where only the classifier differs. Each ends with the Evaluator, and its record is that
of a candidate. Then the best is run once more, up to the Pusher: all but the last two nodes come from the cache, and
floors and gates hold for it as for any run. Test figures are shown, and take no part in the choice.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import MnistTfxError, Problems
from components.training.device import CPU
from components.untrusted import read_object
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request, chosen_device, configure, settings_and_paths
from pipeline.config.sweep import Point
from pipeline.process import memory
from pipeline.process.signals import PROCESS, Interrupted, Leave
from pipeline.provenance import record_store
from pipeline.provenance.choice import BY, CHOSEN
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.runs import new_run_id
from pipeline.root.paths import RunPaths
from pipeline.runner import devices, local
from pipeline.runner.held_root import HeldRoot, hold
from pipeline.runner.observers import EventLog
from pipeline.runner.part import Part
from pipeline.runner.progress import RunView
from pipeline.runner.side_by_side import Allowance, Lane, SideBySide
from pipeline.runner.sweep_view import Board
from pipeline.stages import CLASSIFIER, EVALUATOR, PUSHER, SAVED_MODEL_CHECK, SECTIONS, TRAINERS, feeding

if TYPE_CHECKING:
    from components.ingest.data_files import DataFiles
    from components.settings import Settings
    from pipeline.config.pipeline_config import PipelineConfig
    from pipeline.provenance.keys import PrivateKey
    from pipeline.runner.run import Outcome

FINAL: Final = (SAVED_MODEL_CHECK, PUSHER)
"""Nodes that only the chosen one gets to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One combination, run.

    Attributes:
      point: the combination.
      outcome: how its run ended.
      validation: (accuracy, loss) on the validation split in the epoch whose weights the classifier has; None if nothing
        was trained.
      seconds: wall time.
    """

    point: Point
    outcome: Outcome
    validation: tuple[float, float] | None
    seconds: float

    @property
    def has_trained(self) -> bool:
        """Return whether any Trainer got to work, or its earlier work was there."""
        return any(node.id in TRAINERS and node.state != "skipped" for node in self.outcome.record.nodes)

    @property
    def was_interrupted(self) -> bool:
        """Return whether a signal ended it."""
        return isinstance(self.outcome.error, Interrupted)

    @property
    def ending(self) -> str:
        """How it ended, in a line."""
        took = f"{self.seconds:.1f} s"
        if isinstance(self.outcome.error, MnistTfxError):
            return f"warning: {self.point}: {self.outcome.error.cause}"
        if self.outcome.error is not None:
            return "interrupted"
        accuracy = "no figure" if self.validation is None else f"accuracy {self.validation[0]:.4f}"
        return f"ended after {took}, validation {accuracy}"

    @property
    def rank(self) -> tuple[float, float]:
        """What the choice compares: the lowest is the best."""
        accuracy, loss = self.validation or (-math.inf, math.inf)
        return -accuracy, loss

    def facts(self) -> dict[str, Any]:
        """Return what the record of the chosen one says about it."""
        record = self.outcome.record
        accuracy, loss = self.validation or (None, None)
        return {
            "run_id": record.run_id,
            "values": dict(self.point.values),
            "status": record.status,
            "validation_accuracy": accuracy,
            "validation_loss": loss,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swept:
    """A sweep that came to an end of some kind.

    Attributes:
      id: of the sweep.
      root: absolute path of the root.
      candidates: in the order of the points; None for those that were not run.
      points: all combinations.
      best: the candidate that was chosen.
      finished: its last run; None where none was chosen.
      error: what stopped the sweep, if anything did.
      total_s: seconds since the process started.
    """

    id: str
    root: Path
    candidates: tuple[Candidate | None, ...]
    points: tuple[Point, ...]
    best: Candidate | None
    finished: local.Finished | None
    error: MnistTfxError | Interrupted | None
    total_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the data of the answer of `run --sweep`."""
        return {
            "sweep": self.id,
            "chosen_by": BY,
            "candidates": [self._row(number) for number in range(len(self.points))],
            "chosen": None if self.best is None else self.points.index(self.best.point),
            "run": None if self.finished is None else self.finished.to_dict(),
            "total_s": round(self.total_s, 3),
        }

    def _row(self, number: int) -> dict[str, Any]:
        values = dict(self.points[number].values)
        if (found := self.candidates[number]) is None:
            figures: dict[str, Any] = dict.fromkeys(
                ("run_id", "validation_accuracy", "test_accuracy", "seconds", "version")
            )
            return {"values": values, **figures, "state": "not run"}
        chosen = self.finished if found is self.best else None
        return {
            "values": values,
            "run_id": found.outcome.record.run_id,
            "validation_accuracy": found.facts()["validation_accuracy"],
            "test_accuracy": (found.outcome.record.metrics or {}).get("accuracy"),
            "seconds": round(found.seconds, 3),
            "version": None if chosen is None else chosen.outcome.record.version,
            "state": _state(found, chosen),
        }


def _state(found: Candidate, chosen: local.Finished | None) -> str:
    if chosen is not None:
        status = chosen.outcome.record.status
        return "pushed" if status == "ok" else status
    status = found.outcome.record.status
    return status if found.validation is None or status == "interrupted" else "not chosen"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done for one combination.

    Attributes:
      point: the combination.
      nodes: `id`, `state` and `why` of each up to the Evaluator.
    """

    point: Point
    nodes: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"values": dict(self.point.values), "nodes": self.nodes}


def run(  # noqa: PLR0913  # one argument to each side of a run
    points: Sequence[Point],
    reuse: Reuse,
    view: RunView,
    *,
    jobs: int | None = None,
    sign_key: PrivateKey | None = None,
    verbose: bool = False,
    leave: Leave | None = None,
) -> Swept:
    """Run every combination, and push the best.

    Args:
      points: the combinations; at least one.
      reuse: what to take from earlier runs.
      view: shows how it goes.
      jobs: how many candidates to train at a time; None to have memory and cores decide.
      sign_key: to sign what is served with.
      verbose: whether to say where the log is.
      leave: as for `local.run`.

    Raises:
      MnistTfxError: if it could not be started; what stops a started sweep is in what is returned.
    """
    request = points[0].request
    local.require_device(request)
    settings, paths, files = _checked(points)
    local.require_serviceable(paths, sign_key, view.say)
    sweep = new_run_id("sweep")
    if verbose:
        view.say(f"log: {paths.log(sweep)}")
    local.prepare(request, paths, files, view)
    allowance = Allowance(
        jobs or (1 if _is_alone(request, settings) else None),
        cores=len(os.sched_getaffinity(0)),
        available=memory.available,
        say=view.say,
    )
    with local.engine(request, paths, sweep, view, settings.name, leave=leave, at_once=reuse.none) as ready:
        ready.runner(view)
        with hold(configure(request, settings, paths, files), view.wait) as held:
            board = Board(view, tuple(map(str, points)))
            running = _Sweep(
                id=sweep,
                paths=paths,
                files=files,
                engine=ready,
                reuse=reuse,
                view=view,
                held=held,
                board=board,
                points=points,
            )
            candidates = running.candidates(allowance)
            ended = [found for found in candidates if found is not None]
            best, error = (None, PROCESS.arrived) if PROCESS.arrived else choose(ended)
            finished = None
            if best is not None and error is None:
                finished = running.push(best, ended, sign_key)
                error = finished.outcome.error
    return Swept(
        id=sweep,
        root=paths.root,
        candidates=tuple(candidates),
        points=tuple(points),
        best=best if finished is not None else None,
        finished=finished,
        error=error,
        total_s=local.process_age(),
    )


def _is_alone(request: Request, settings: Settings) -> bool:
    """Return whether a training has the machine to itself: a GPU, or workers that find each other by their ports."""
    if request.workers is not None or settings.multiworker:
        return True
    return chosen_device(request).kind != CPU and bool(devices.look(quick=True).gpus)


def plan(
    points: Sequence[Point], reuse: Reuse, say: Callable[[str], None], *, leave: Leave | None = None
) -> list[Plan]:
    """Say what each combination would execute, without writing anything below the root.

    Raises:
      MnistTfxError: as `local.plan`.
    """
    plans, executed = [], set[str]()
    for number, point in enumerate(points):
        found = local.plan(point.request, reuse, _nothing if number else say, leave=leave)
        nodes = [node for node in found.to_dict()["nodes"] if node["id"] not in FINAL]
        works = {node["id"]: _work(node["id"], found.settings) for node in nodes}
        shared = {"state": "shared", "why": "a candidate before it executes the same"}
        nodes = [{**node, **shared} if works[node["id"]] in executed else node for node in nodes]
        executed.update(works[node["id"]] for node in nodes if node["state"] == "execute")
        plans.append(Plan(point=point, nodes=nodes))
    return plans


def _work(node: str, settings: Mapping[str, Any]) -> str:
    """Return what a node's work follows from within a sweep: the sections of the recipe of all that feeds it."""
    sections = {stage: settings[SECTIONS[stage]] for stage in feeding(node) if stage in SECTIONS}
    return json.dumps([node, sections], sort_keys=True)


def _nothing(message: str) -> None:
    del message


def _checked(points: Sequence[Point]) -> tuple[Settings, RunPaths, DataFiles | None]:
    """Resolve every combination, which may need the data to say which recipe it is; return what the first came to.

    Raises:
      BadInput: naming all that is wrong, each fault once.
    """
    problems, found = Problems(), []
    for point in points:
        with problems.noted():
            found.append(settings_and_paths(point.request))
            local.require_workers(point.request, found[-1][0])
    problems.raise_any()
    return found[0]


def choose(candidates: Sequence[Candidate]) -> tuple[Candidate | None, MnistTfxError | Interrupted | None]:
    """Return the best by validation, or what stopped the sweep: an interruption, or that nothing was trained."""
    if (stopped := next((found for found in candidates if found.was_interrupted), None)) is not None:
        return None, stopped.outcome.error
    trained = [found for found in candidates if found.validation is not None]
    if not trained:
        return None, candidates[0].outcome.error
    return min(trained, key=lambda found: found.rank), None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sweep:
    """What the runs of one sweep share."""

    id: str
    paths: RunPaths
    files: DataFiles | None
    engine: local.Engine
    reuse: Reuse
    view: RunView
    held: HeldRoot
    board: Board
    points: Sequence[Point]

    def candidates(self, allowance: Allowance) -> list[Candidate | None]:
        """Run as many side by side as may go on; None for those that were not begun.

        One that fails in its training does not keep the others from theirs. What stops one before its training stops all:
        they share everything up to there.
        """
        threads = self.engine.opened.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(self.points), thread_name_prefix="candidate")
        )
        with self.board.shown():
            return SideBySide(
                len(self.points),
                self._candidate,
                lambda found: found.outcome.error is None or (found.has_trained and not found.was_interrupted),
                held=self.held,
                processes=self.engine.processes,
                allowance=allowance,
                threads=threads,
            ).run()

    def push(self, best: Candidate, candidates: Sequence[Candidate], sign_key: PrivateKey | None) -> local.Finished:
        """Run the best to its end: floors and gates decide whether it is served."""
        accuracy = best.facts()["validation_accuracy"]
        self.view.say(f"chosen of {len(candidates)} by validation, accuracy {accuracy:.4f}: {best.point}")
        facts = {
            "id": self.id,
            "role": CHOSEN,
            "by": BY,
            "values": dict(best.point.values),
            "candidates": [candidate.facts() for candidate in candidates],
        }
        lane = Lane(held=self.held, processes=self.engine.processes, interruptions=PROCESS)
        # It is what was trained just now, whatever was asked to be trained anew.
        outcome = self.engine.run(
            self._config(best.point),
            new_run_id(),
            reuse=Reuse(),
            view=self.view,
            sign_key=sign_key,
            part=Part(facts=facts),
            lane=lane,
        )
        report = self.engine.report(self.paths, outcome, self.view)
        return local.Finished(
            outcome=outcome,
            root=self.paths.root,
            import_s=self.engine.import_s,
            total_s=local.process_age(),
            report=report,
            log=self.paths.log(self.id),
        )

    def _candidate(self, number: int, lane: Lane) -> Candidate:
        point, clock = self.points[number], time.monotonic()
        part = Part(facts={"id": self.id, "role": "candidate", "values": dict(point.values)}, last=EVALUATOR)
        with self.held.turn(lane.interruptions):  # ids are times: no two at a time
            run_id, config = new_run_id(), self._config(point)
        with self.board.candidate(number + 1) as view, view.observed_by(EventLog(self.paths.log(run_id))):
            view.say(f"of {len(self.points)}: {point}")
            outcome = self.engine.run(config, run_id, reuse=self.reuse, view=view, part=part, lane=lane)
            found = Candidate(
                point=point,
                outcome=outcome,
                validation=validation_figures(self.paths, outcome),
                seconds=time.monotonic() - clock,
            )
            view.say(found.ending)
        return found

    def _config(self, point: Point) -> PipelineConfig:
        settings, paths, _ = settings_and_paths(point.request)
        return configure(point.request, settings, paths, self.files)


def validation_figures(paths: RunPaths, outcome: Outcome) -> tuple[float, float] | None:
    """Return accuracy and loss on validation in the epoch that a run's classifier was kept of; None if it has none."""
    trained = next((node.record for node in outcome.record.nodes if node.id == CLASSIFIER), None)
    from pipeline.provenance.recording import TRAINING_FILE  # TFX, which is imported by now

    record = None if trained is None else record_store.read(paths.records, trained)
    if not isinstance(record, ExecutionRecord):
        return None
    training = read_object(paths.root / record.outputs["model_run"][0].path / TRAINING_FILE)
    kept = next(epoch for epoch in training["history"] if epoch["number"] == training["kept_epoch"])
    accuracy, loss = kept["metrics"]["val_accuracy"], kept["val_loss"]
    return None if accuracy is None or not math.isfinite(accuracy) else (accuracy, loss)
