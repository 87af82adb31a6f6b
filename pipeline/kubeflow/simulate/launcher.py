"""Launcher of a task: fetches inputs, runs the container, uploads and registers outputs, or says why not.

Follows backend/src/v2/component/launcher_v2.go. Of a task that fails its logs are uploaded and registered, and no more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem, MnistTfxError
from components.training.process import DEVICE
from pipeline.kubeflow import termination
from pipeline.kubeflow.buckets import launcher_says
from pipeline.kubeflow.document import Json as Spec
from pipeline.kubeflow.document import Task
from pipeline.kubeflow.simulate import placeholders, pod
from pipeline.kubeflow.simulate.buckets import Buckets, copy_files, in_pod
from pipeline.kubeflow.simulate.container import Container
from pipeline.kubeflow.simulate.dialect import Dialect
from pipeline.kubeflow.simulate.driver import LOGS, DriverResult, of_attempt
from pipeline.kubeflow.simulate.outputs import Outputs, TaskOutputs
from pipeline.kubeflow.simulate.pod import Exit, Pod
from pipeline.kubeflow.simulate.values import Json
from pipeline.kubeflow.simulate.volumes import Volumes, secret_variables

HOOK: Final = "preCacheCheck"

RETRY_INDEX: Final = "KFP_RETRY_INDEX"
"""Variable by which open-source KFP's driver tells a container how many attempts came before it, if there may be any."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchResult:
    """A task whose container has ended.

    Attributes:
      made: what is registered of it: of a task that failed, its logs at most.
      error: why it failed.
      attempts: how many it took.
    """

    made: TaskOutputs
    error: MnistTfxError | None = None
    attempts: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launcher:
    """Runs the containers of one run.

    Attributes:
      dialect: the platform.
      buckets: what stands for its buckets.
      volumes: what stands for its volumes.
      outputs: where they are uploaded to and registered.
      pods: folder for pods.
      log: takes what they print.
      container: what their containers are started with, if they are real ones.
    """

    dialect: Dialect
    buckets: Buckets
    volumes: Volumes
    outputs: Outputs
    pods: Path
    log: Path
    container: Container | None = None

    def hook(self, task: Task, driven: DriverResult) -> Json:
        """Run a task's hook, if it has one and the platform runs it: its output file lies there afterwards.

        Returns:
          The parameters that the hook has resolved.

        Raises:
          MnistTfxError: if it fails.
        """
        spec = (task.container or {}).get("lifecycle", {}).get(HOOK)
        if spec is None or not self.dialect.runs_hooks:
            return {}
        with self._pod(task, driven) as opened:
            self._run(task, spec, driven, opened)
            return dict(self.outputs.written(task, driven.outputs, opened).get("parameterValues", {}))

    def launch(self, task: Task, driven: DriverResult, attempt: int = 0) -> LaunchResult:
        """Run a task's container; the error of one that failed is of the kind that its termination message says.

        Args:
          task: the task.
          driven: as its driver left it.
          attempt: how many came before this one.

        Raises:
          MnistTfxError: if what a container that succeeded has left cannot be registered.
        """
        driven = of_attempt(driven, attempt)
        with self._pod(task, driven) as opened:
            try:
                with self._published(driven, opened):
                    self._run(task, task.container or {}, driven, opened, attempt)
                written = self.outputs.written(task, driven.outputs, opened)
            except MnistTfxError as err:
                return LaunchResult(made=self.outputs.collect_logs(driven.outputs, opened), error=err)
            return LaunchResult(made=self.outputs.collect(task, driven.outputs, written, opened))

    @contextlib.contextmanager
    def _published(self, driven: DriverResult, opened: Pod) -> Iterator[None]:
        """Make the file that takes a container's logs before it starts, as the launcher does, and fill it at its end."""
        logs = driven.outputs.get("artifacts", {}).get(LOGS)
        if logs is None:
            yield
            return
        begins = self.log.stat().st_size
        with opened.path(in_pod(logs["artifacts"][0]["uri"])).open("wb") as file:
            try:
                yield
            finally:
                with self.log.open("rb") as log:
                    log.seek(begins)
                    shutil.copyfileobj(log, file)

    @contextlib.contextmanager
    def _pod(self, task: Task, driven: DriverResult) -> Iterator[Pod]:
        with pod.open_pod(self.pods, task.name, self.container) as opened:
            for mount in self.volumes.mounts(task, self.dialect):
                opened.mount(mount.path, mount.folder, is_claim=mount.claim is not None or mount.assumed)
            if self.dialect.mounts_buckets:
                for prefix, folder in self.buckets.folders.items():
                    opened.mount(in_pod(prefix), folder)
            else:
                self._download(driven, opened)
            _prepare_folders(driven, opened)
            yield opened

    def _download(self, driven: DriverResult, opened: Pod) -> None:
        for channel in driven.inputs.get("artifacts", {}).values():
            for artifact in channel["artifacts"]:
                if self.dialect.cannot_open(artifact["uri"], self.outputs.run_root):
                    raise EnvironmentProblem(
                        f"the launcher would fail: {launcher_says(artifact['uri'])}",
                        where=artifact["uri"],
                        hint="cached by a run with its root in another bucket: --no-cache executes everything",
                    )
                copy_files(self.buckets.local(artifact["uri"]), opened.path(in_pod(artifact["uri"])))

    def _run(self, task: Task, container: Spec, driven: DriverResult, opened: Pod, attempt: int = 0) -> None:
        executor_input = placeholders.with_defaults(driven.executor_input, task.component)
        words = [*container.get("command", ()), *container.get("args", ())]
        try:
            command = placeholders.compiled(words, executor_input, opened.prefix)
        except EnvironmentProblem as err:
            raise EnvironmentProblem(err.what, where=task.name, got=err.got) from err
        counted = task.retries > 0 and not self.dialect.mounts_buckets
        index = {RETRY_INDEX: str(attempt)} if counted else {}
        ended = opened.run(command, {**index, **_environment(task)}, self.log)
        if ended.code != 0:
            raise _failure(task, ended)


def _environment(task: Task) -> dict[str, str]:
    given = {entry["name"]: str(entry.get("value", "")) for entry in (task.container or {}).get("env", ())}
    # The devices that a container asks a cluster for are not to be had here, so it is not held to them.
    given.pop(DEVICE, None)
    return {**dict.fromkeys(secret_variables(task), ""), **given}


def _prepare_folders(driven: DriverResult, opened: Pod) -> None:
    """Make the folders above the outputs; the outputs themselves are the container's to make."""
    files = [spec["outputFile"] for spec in driven.outputs.get("parameters", {}).values()]
    uris = [output["artifacts"][0]["uri"] for output in driven.outputs.get("artifacts", {}).values()]
    for path in (*files, *map(in_pod, uris)):
        opened.make_parent(path)


def _failure(task: Task, ended: Exit) -> MnistTfxError:
    """Return why a container failed, by what is left of it on a cluster: not its exit code, for the launcher's is 1."""
    if ended.code < 0:
        what = f"its pod was ended by {signal.Signals(-ended.code).name}"
        return EnvironmentProblem(what, where=task.name, got=ended.message or None)
    failure = termination.kind_and_text(ended.termination)
    if failure is None:
        return EnvironmentProblem(ended.message or "its pod ended without a word", where=task.name)
    kind, text = failure
    return kind(text.removeprefix(f"{task.name}: "), where=task.name)
