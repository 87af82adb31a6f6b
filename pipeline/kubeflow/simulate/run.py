"""Simulated run of a compiled file: its tasks in order, with retries, conditions and caching.

Tasks that do not depend on one another are executed one after the other all the same: each pod imports TensorFlow and
fills the two cores that a small machine has. Once a task has failed, open-source KFP starts nothing any more (Argo's DAGs
fail fast), while Vertex AI still executes what does not depend on it; what would have run beside it there is skipped here. A
task whose condition does not hold takes along what depends on it, without failing the run.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from pipeline.kubeflow import buckets as places_of
from pipeline.kubeflow.document import Document, Task
from pipeline.kubeflow.simulate import cache, importer, outcome, pod, submission
from pipeline.kubeflow.simulate.buckets import Buckets
from pipeline.kubeflow.simulate.container import Container
from pipeline.kubeflow.simulate.dialect import DIALECTS, Dialect
from pipeline.kubeflow.simulate.driver import DriverResult, Run, drive
from pipeline.kubeflow.simulate.launcher import Launcher, LaunchResult
from pipeline.kubeflow.simulate.metadata import CACHED, COMPLETE, FAILED, Execution, MetadataStore
from pipeline.kubeflow.simulate.outcome import RunResult, Simulated, Stopped, TaskOutcome
from pipeline.kubeflow.simulate.outputs import Outputs, TaskOutputs
from pipeline.kubeflow.simulate.values import Json
from pipeline.kubeflow.simulate.volumes import Volumes, secret_variables
from pipeline.process.signals import PROCESS, Interrupted
from pipeline.root.lock import locked
from pipeline.root.paths import RunPaths
from pipeline.runner.observers import observed
from pipeline.runner.progress import RunView

STATE_FOLDER: Final = ".kfp"
"""Below the root: what the imitated cluster knows."""

NOTHING: Final = TaskOutputs(parameters={}, artifacts={})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to simulate.

    Attributes:
      root: absolute folder that stands for the pipeline root.
      parameters: {runtime parameter: its value}.
      buckets: {URI: folder} for other places in buckets.
      volumes: {claim or secret: folder}.
      reuse: whether the cache is asked.
      run_id: the run's id; by default a new one.
      target: the platform; by default the one whose form the file has.
      container: what containers are started with; without one, processes of this installation stand for them.
    """

    root: Path
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    buckets: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    volumes: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    reuse: bool = True
    run_id: str | None = None
    target: str | None = None
    container: Container | None = None


def simulate(document: Document, options: Options, view: RunView) -> Simulated:
    """Execute a compiled file.

    Raises:
      MnistTfxError: if the platform would not take it; what stops a started run is in what is returned.
    """
    from pipeline.report.write import after_run  # jinja2 and numpy: not for --help

    simulation = Simulation(document, options)
    paths = RunPaths(options.root)
    state = options.root / STATE_FOLDER
    try:
        for folder in (state, paths.serving, paths.log("").parent):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise EnvironmentProblem("not writable", where=err.filename, got=err.strerror) from err
    with PROCESS.watched(), locked(RunPaths(state), view.say), observed(view, paths, simulation.run_id, document.name):
        result = simulation.run(view)
        with PROCESS.held_back():
            finished = outcome.conclude(paths, result)
    if finished.record is not None:
        finished = dataclasses.replace(finished, report=after_run(paths.root, result.run_id, view.say))
    return finished


class Simulation:
    """One run of a compiled file.

    Args:
      document: the file.
      options: how.

    Raises:
      BadInput: if the platform would not take it, or something on it has no counterpart here.
    """

    def __init__(self, document: Document, options: Options) -> None:
        self._document = document
        self._options = options
        self._dialect: Dialect = DIALECTS[options.target or document.target]
        submission.check(document, self._dialect)
        root = submission.root(document, self._dialect)
        self._run = _run(document, options, self._dialect, root)
        self._buckets = _buckets(options, root, self._dialect)
        self._volumes = Volumes.of(document, RunPaths(options.root).serving, options.volumes)
        self._tasks = document.in_order()
        for task in self._tasks:
            self._check_places(task)
        if options.container is not None:
            options.container.check()
        self._done: dict[str, Execution] = {}
        self._outcomes: dict[str, TaskOutcome] = {}
        self._error: Stopped = None
        self._say: Callable[[str], None] = lambda _: None

    @property
    def run_id(self) -> str:
        """Id of the run, as the platform would give it."""
        return self._run.id

    def run(self, view: RunView) -> RunResult:
        """Execute the tasks."""
        started, self._say = time.time(), view.say
        pods = self._options.root / pod.FOLDER
        pod.sweep(pods)
        self._store = MetadataStore(self._options.root / STATE_FOLDER)
        self._launcher = self._new_launcher(pods)
        view.open([task.name for task in self._tasks])
        try:
            self._warn(view)
            for task in self._tasks:
                self._step(task, view)
        finally:
            view.close()
            pod.sweep(pods)
        return RunResult(
            document=self._document,
            target=self._dialect.target,
            run_id=self._run.id,
            started=started,
            outcomes=tuple(self._outcomes.values()),
            lineage=outcome.lineage_folders(self._done, self._store, self._buckets),
            error=self._error,
        )

    def _step(self, task: Task, view: RunView) -> None:
        started = time.monotonic()
        blocked = self._blocked(task)
        if blocked is not None:
            outcome = TaskOutcome(id=task.name, state="skipped", seconds=0.0, why=blocked)
        else:
            view.started(task.name)
            self._note(task.name)
            try:
                outcome = self._execute(task)
            except (MnistTfxError, Interrupted) as err:
                outcome = self._fail(task, err)
            except OSError as err:
                problem = EnvironmentProblem("its pod cannot be provided for", where=err.filename, got=err.strerror)
                outcome = self._fail(task, problem)
            self._error = (
                self._error or PROCESS.arrived
            )  # which a pod may have outlasted, being in the middle of a push
            outcome = dataclasses.replace(outcome, seconds=round(time.monotonic() - started, 3))
        self._outcomes[task.name] = outcome
        view.finished(task.name, outcome.state, outcome.seconds, outcome.why)

    def _fail(self, task: Task, err: MnistTfxError | Interrupted, outputs: TaskOutputs = NOTHING) -> TaskOutcome:
        self._error = self._error or err
        self._store.put_execution(
            run_id=self._run.id,
            task=task.name,
            state=FAILED,
            parameters=outputs.parameters,
            artifacts=outputs.artifacts,
        )
        return TaskOutcome(id=task.name, state="failed", seconds=0.0, why=str(err))

    def _blocked(self, task: Task) -> str | None:
        """Return why a task is not even looked at, if so."""
        if isinstance(self._error, Interrupted):
            return "the run had stopped"
        failed = [one.id for one in self._outcomes.values() if one.state == "failed"]
        if failed and self._dialect.fails_fast:
            return f"{failed[0]} failed"
        missing = [name for name in task.upstream if name not in self._done]
        return None if not missing else f"{missing[0]} {_became(self._outcomes[missing[0]])}"

    def _execute(self, task: Task) -> TaskOutcome:
        if task.importer is not None:
            outputs, is_registered = importer.import_artifact(task, self._run, self._store, self._dialect)
            why = "imported before, and not to be imported again" if is_registered else "imported"
            return self._finish(task, outputs, "cached" if is_registered else "executed", why)
        driven = drive(task, self._run, self._done, self._store, self._dialect)
        if not driven.triggered:
            return TaskOutcome(id=task.name, state="skipped", seconds=0.0, why=f"condition is false: {task.condition}")
        resolved = self._launcher.hook(task, driven)
        if not (task.cached and self._options.reuse):
            why = "caching is off" if self._options.reuse else "--no-cache"
            return self._conclude(task, self._launch(task, driven), why)
        return self._execute_cached(task, driven, resolved)

    def _execute_cached(self, task: Task, driven: DriverResult, resolved: Json) -> TaskOutcome:
        """Ask the cache; what a hook has resolved counts as a parameter."""
        claims = [mount.claim for mount in self._volumes.mounts(task, self._dialect) if mount.claim is not None]
        given = {**driven.inputs.get("parameterValues", {}), **resolved}
        inputs = {**driven.inputs, "parameterValues": given}
        key = cache.key(self._run.pipeline, task, inputs, driven.outputs, claims)
        earlier = self._store.cached(key)
        if earlier is not None:
            outputs = TaskOutputs(parameters=earlier.parameters, artifacts=earlier.artifacts)
            return self._finish(task, outputs, "cached", f"the same was executed in run {earlier.run_id}")
        fresh = self._conclude(task, self._launch(task, driven), "nothing cached under its key")
        if task.name in self._done:
            self._store.remember(key, self._done[task.name])
        return fresh

    def _launch(self, task: Task, driven: DriverResult) -> LaunchResult:
        """Run a task's container as often as Argo would: after any failure, since for Argo all of them are exit code 1.

        The driver's answer is the same for all attempts, so they write to the same places. Argo waits in between.
        """
        for attempt in range(task.retries + 1):
            launched = self._attempt(task, driven, attempt)
            if launched.error is None:
                break
            if attempt < task.retries:
                self._say(f"{task.name}: attempt {attempt + 1} of {task.retries + 1} failed: {launched.error}")
                self._note(f"{task.name}, attempt {attempt + 2}")
        return dataclasses.replace(launched, attempts=attempt + 1)

    def _attempt(self, task: Task, driven: DriverResult, attempt: int) -> LaunchResult:
        try:
            return self._launcher.launch(task, driven, attempt)
        except MnistTfxError as err:
            return LaunchResult(made=NOTHING, error=err)

    def _conclude(self, task: Task, launched: LaunchResult, why: str) -> TaskOutcome:
        if launched.error is not None:
            return self._fail(task, launched.error, launched.made)
        tried = why if launched.attempts == 1 else f"{why}; attempt {launched.attempts}"
        return self._finish(task, launched.made, "executed", tried)

    def _finish(self, task: Task, outputs: TaskOutputs, state: str, why: str) -> TaskOutcome:
        self._done[task.name] = self._store.put_execution(
            run_id=self._run.id,
            task=task.name,
            state=CACHED if state == "cached" else COMPLETE,
            parameters=outputs.parameters,
            artifacts=outputs.artifacts,
        )
        return TaskOutcome(id=task.name, state=state, seconds=0.0, why=why)

    def _new_launcher(self, pods: Path) -> Launcher:
        outputs = Outputs(
            dialect=self._dialect,
            buckets=self._buckets,
            store=self._store,
            pipeline=self._run.pipeline,
            run_root=self._run.root,
        )
        return Launcher(
            dialect=self._dialect,
            buckets=self._buckets,
            volumes=self._volumes,
            outputs=outputs,
            pods=pods,
            log=self._log,
            container=self._options.container,
        )

    @property
    def _log(self) -> Path:
        return RunPaths(self._options.root).log(self._run.id)

    def _note(self, title: str) -> None:
        with self._log.open("a") as log:
            log.write(f"\n--- {title} ---\n")

    def _check_places(self, task: Task) -> None:
        """Find out before the first pod runs that a bucket or a volume has no folder."""
        self._volumes.mounts(task, self._dialect)
        if task.importer is not None:
            uri = importer.artifact_uri(task, self._run.parameters)
            importer.check_key(task, uri, self._dialect)
            if self._dialect.cannot_open(uri, self._run.root):
                raise BadInput(
                    f"the launcher would fail: {places_of.launcher_says(uri)}",
                    where=f"{task.name}, {uri}",
                    wanted=f"data in {places_of.bucket(self._run.root)}, the bucket of the pipeline root",
                    hint="the launcher has credentials for no other one: copy the data, or compile with another --pipeline-root",
                )
            if not self._buckets.local(uri).exists():
                raise BadInput("nothing lies where it imports from", where=f"{task.name}, {uri}")

    def _warn(self, view: RunView) -> None:
        mounts = (mount for task in self._tasks for mount in self._volumes.mounts(task, self._dialect))
        for path in sorted({mount.path for mount in mounts if mount.assumed}):
            view.say(f"Vertex AI mounts no volume at {path} by itself: simulated as if one were")
        for task, uri in places_of.foreign_data(self._document):
            if not self._dialect.mounts_buckets:
                view.say(
                    f"{task.name}: {uri} is in another bucket than the root: the pods' account has to open it there"
                )
        for task in self._tasks:
            for variable in secret_variables(task):
                view.say(f"{task.name}: {variable} comes from a secret and is empty here")


def _run(document: Document, options: Options, dialect: Dialect, root: str) -> Run:
    run_id = options.run_id or dialect.new_run_id(document.name)
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    return Run(
        id=run_id,
        pipeline=document.name,
        name=f"{document.name} simulated",
        root=dialect.run_root(root, document.name, run_id),
        parameters=submission.parameters(document, options.parameters),
        created=f"{now:%Y-%m-%dT%H:%M:%SZ}",
    )


def _buckets(options: Options, root: str, dialect: Dialect) -> Buckets:
    given = {uri.rstrip("/"): folder for uri, folder in options.buckets.items()}
    for uri, folder in given.items():
        inside = f"{uri}/".startswith(f"{root}/") or f"{root}/".startswith(f"{uri}/")
        if uri == root or (inside and dialect.mounts_buckets):  # a mount within a mount would be made in the folder
            raise BadInput("--bucket overlaps with the pipeline root", where=uri, wanted=f"apart from {root}")
        if not folder.is_dir():
            raise BadInput("--bucket names no folder", where=folder)
    return Buckets({**given, root: options.root})


def _became(blocking: TaskOutcome) -> str:
    return {"failed": "failed", "skipped": "was not executed"}[blocking.state]
