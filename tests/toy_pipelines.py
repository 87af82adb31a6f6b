"""Compiled files of a few tasks whose containers are Python scripts of a line or two, and their simulation."""

import dataclasses
import functools
import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.errors import EnvironmentProblem
from pipeline.kubeflow.document import OSS, VERTEX, Document, Task
from pipeline.kubeflow.simulate import run as simulated_run
from pipeline.kubeflow.simulate.driver import DriverResult
from pipeline.kubeflow.simulate.launcher import Launcher, LaunchResult
from pipeline.kubeflow.simulate.metadata import FILE
from pipeline.kubeflow.simulate.outcome import Simulated
from pipeline.kubeflow.simulate.run import STATE_FOLDER, Options, simulate
from pipeline.runner.progress import RunView

OSS_ROOT = "minio://mlpipeline/m"
VERTEX_ROOT = "gs://b/m"

PRELUDE = """
import json, os, pathlib, sys, time
pod = pathlib.Path(os.environ["MNIST_TFX_POD_ROOT"])
call = json.loads(sys.argv[1])
inputs, outputs = call["inputs"], call["outputs"]
def place(uri):
    return pod / uri.replace("minio://", "minio/").replace("gs://", "gcs/")
def read(channel):
    return (place(inputs["artifacts"][channel]["artifacts"][0]["uri"]) / "file").read_text()
def make(channel, text="made"):
    folder = place(outputs["artifacts"][channel]["artifacts"][0]["uri"])
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)
def finish(metadata=None, **parameters):
    artifacts = {c: {"artifacts": [{"metadata": m}]} for c, m in (metadata or {}).items()}
    written = {"artifacts": artifacts, "parameterValues": parameters}
    file = pod / outputs["outputFile"][1:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(written))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy:
    """A task.

    Attributes:
      script: what its container does, after `PRELUDE`.
      reads: {input channel: producer and its channel}.
      makes: output channels.
      given: {parameter: its TaskInputsSpec}; all of them strings, unless `types` says otherwise.
      tells: {output parameter: type}.
      after: tasks to wait for, besides the producers.
      spec: further fields of the task.
      container: further fields of the container.
      platform: what the platform document says.
    """

    script: str = ""
    reads: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    makes: tuple[str, ...] = ()
    given: dict[str, Any] = dataclasses.field(default_factory=dict)
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    tells: dict[str, str] = dataclasses.field(default_factory=dict)
    after: tuple[str, ...] = ()
    cached: bool = False
    spec: dict[str, Any] = dataclasses.field(default_factory=dict)
    container: dict[str, Any] = dataclasses.field(default_factory=dict)
    platform: dict[str, Any] = dataclasses.field(default_factory=dict)
    importer: dict[str, Any] | None = None

    def task(self, name: str) -> dict[str, Any]:
        producers = [producer for producer, _ in self.reads.values()]
        producers += [
            it["taskOutputParameter"]["producerTask"] for it in self.given.values() if "taskOutputParameter" in it
        ]
        reads = {
            channel: {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": key}}
            for channel, (producer, key) in self.reads.items()
        }
        return {
            "taskInfo": {"name": name},
            "componentRef": {"name": name},
            "cachingOptions": {"enableCache": self.cached},
            "inputs": {"artifacts": reads, "parameters": self.given},
            "dependentTasks": sorted({*producers, *self.after}),
            **self.spec,
        }

    def component(self, name: str) -> dict[str, Any]:
        artifacts = {
            channel: {"artifactType": {"instanceSchema": f"title: toy.{channel.title()}\n"}} for channel in self.makes
        }
        parameters = {key: {"parameterType": self.types.get(key, "STRING")} for key in self.given}
        return {
            "executorLabel": f"{name}_executor",
            "inputDefinitions": {"parameters": parameters},
            "outputDefinitions": {
                "artifacts": artifacts,
                "parameters": {key: {"parameterType": kind} for key, kind in self.tells.items()},
            },
        }

    def executor(self) -> dict[str, Any]:
        if self.importer is not None:
            return {"importer": {"typeSchema": {"schemaTitle": "system.Artifact"}, **self.importer}}
        command = ["python", "-c", PRELUDE + self.script]
        return {"container": {"image": "toys:1", "command": command, "args": ["{{$}}"], **self.container}}


def document(target: str = OSS, *, parameters: dict[str, Any] | None = None, **toys: Toy) -> Document:
    """Returns a compiled file of toys."""
    spec = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "toys"},
        "root": {
            "inputDefinitions": {"parameters": parameters or {}},
            "dag": {"tasks": {name: toy.task(name) for name, toy in toys.items()}},
        },
        "components": {name: toy.component(name) for name, toy in toys.items()},
        "deploymentSpec": {"executors": {f"{name}_executor": toy.executor() for name, toy in toys.items()}},
    }
    executors = {f"{name}_executor": toy.platform for name, toy in toys.items() if toy.platform}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}} if executors else None
    if target == VERTEX:
        return Document(target=VERTEX, spec=spec, job={"runtimeConfig": {"gcsOutputDirectory": VERTEX_ROOT}})
    return Document(target=OSS, spec={**spec, "defaultPipelineRoot": OSS_ROOT}, platform=platform)


def run(compiled: Document, root: Path, *, lost: Collection[str] = (), **options: Any) -> Simulated:
    """Simulates a file; the first attempts at the tasks in `lost` fail after their upload."""
    with pytest.MonkeyPatch.context() as patch:
        if lost:
            patch.setattr(simulated_run, "Launcher", functools.partial(LosingLauncher, lost=lost))
        return simulate(compiled, Options(root=root, **options), RunView(Console(file=io.StringIO())))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LosingLauncher(Launcher):
    """A launcher that cannot reach KFP's server when a task's first attempt has been uploaded."""

    lost: Collection[str]

    def launch(self, task: Task, driven: DriverResult, attempt: int = 0) -> LaunchResult:
        launched = super().launch(task, driven, attempt)
        if launched.error is not None or attempt > 0 or task.name not in self.lost:
            return launched
        return LaunchResult(
            made=simulated_run.NOTHING, error=EnvironmentProblem("its launcher was lost after the upload")
        )


def states(simulated: Simulated) -> dict[str, str]:
    return {task.id: task.state for task in simulated.result.outcomes}


def store(root: Path) -> dict[str, Any]:
    return json.loads((root / STATE_FOLDER / FILE).read_text())


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def told_by(producer: str, key: str) -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}


def spy(root: Path, what: str) -> str:
    """Returns a line of script that tells the test what it wants to know."""
    return f"pathlib.Path({str(root.parent / 'seen')!r}).write_text(json.dumps({what}))\n"


def seen(root: Path) -> Any:
    """Returns what a spy told."""
    return json.loads((root.parent / "seen").read_text())
