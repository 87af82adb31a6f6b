"""Warnings about a compiled pipeline: what no file can bring about on its target, and its author has to see to."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.beam import engine_of
from pipeline.config.beam_engines import DIRECT, Engine
from pipeline.kubeflow import buckets
from pipeline.kubeflow.compiler.targets import TARGETS
from pipeline.kubeflow.document import VERTEX, Document, Task
from pipeline.kubeflow.names import CHECKPOINT_FOLDER
from pipeline.stages import TRAINERS


def warnings(document: Document) -> Iterator[str]:
    """Yield one line for each."""
    for name in sorted({engine.name for task in document.tasks.values() if (engine := _engine(task)) is not None}):
        yield (
            f"a worker of {name} sees nothing of a pod but what both mount: TMPDIR has to name a folder on such a "
            "volume, under the same path (env and volumes of the cluster file)"
        )
    if document.target != VERTEX:
        yield from _retries(document)
        for task, uri in buckets.foreign_data(document):
            yield (
                f"{task.name} imports {uri}: in another bucket than the pipeline root KFP's launcher has no credentials "
                "but those of the pods' service account"
            )
        return
    for path in sorted({task.serving for task in document.tasks.values() if task.serving is not None}):
        yield (
            f"a PipelineJob mounts no volume: unless {path} is mounted in the pods by other means, the first task "
            "refuses to run"
        )
    for kind in unknown_accelerators(document):
        yield f"{kind} is no accelerator that is known here: Vertex AI may have it or refuse the job"


def _retries(document: Document) -> Iterator[str]:
    """Yield the tasks that would train once more to come to the same refusal.

    Kubeflow retries a pod whatever it died of, and the next pod can know of a refusal by a volume alone.
    """
    for name in TRAINERS:
        task = document.tasks.get(name)
        env = [] if task is None or task.container is None else task.container.get("env", ())
        if task is not None and task.retries and CHECKPOINT_FOLDER not in [one.get("name") for one in env]:
            yield (
                f"{name} is retried and has no {CHECKPOINT_FOLDER} on a volume: after a training that diverged it "
                "trains again, and after its pod was killed from the start"
            )


def _engine(task: Task) -> Engine | None:
    """Return the engine of a task whose Beam workers are elsewhere."""
    engine = engine_of((task.container or {}).get("args", ()))
    return None if engine is None or engine.name == DIRECT else engine


def unknown_accelerators(document: Document) -> list[str]:
    """Return the types of accelerator in the file that are not among the known ones of its target."""
    containers = [task.container or {} for task in document.tasks.values()]
    kinds = {container.get("resources", {}).get("accelerator", {}).get("type") for container in containers}
    is_known = TARGETS[document.target].knows_accelerator
    return sorted(kind for kind in kinds if kind is not None and not is_known(kind))
