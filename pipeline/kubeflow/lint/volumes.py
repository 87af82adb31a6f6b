"""Paths in the pods that tasks read from or serve from: on a volume that the task has, and of the right kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from components.ingest import spans
from pipeline.kubeflow import names
from pipeline.kubeflow.compiler.containers import COMMAND
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import OSS, Document, Json, Task
from pipeline.kubeflow.lint.fault import ERROR, WARNING, Fault
from pipeline.kubeflow.places import FOLDERS, in_bucket

WRITABLE: Final = ("pvcMount",)
READABLE: Final = (*WRITABLE, "secretAsVolume", "configMapAsVolume")
"""Fields of the platform document by which something outlives the pod, or was there before it."""

MOUNTED_BUCKETS: Final = f"/{FOLDERS['gs']}"
"""Where Vertex AI mounts every bucket."""


def serving_volume(document: Document, target: Target) -> Iterator[Fault]:
    """Find versions that are pushed into the pod's own file system, and go with the pod."""
    for task in document.tasks.values():
        path = task.serving
        if path is None or in_bucket(path):
            continue
        if target.name != OSS:
            what = f"serves from {path}, and a PipelineJob mounts nothing but buckets"
            hint = "the pods need a file system there by other means, or refuse to run"
            yield Fault(where=task.name, what=what, hint=hint, level=WARNING)
        elif not _is_mounted(path, task, WRITABLE):
            what = f"serves from {path}, where no volume is mounted"
            yield Fault(where=task.name, what=what, hint="name its claim with --claim or in the cluster file")


def serving_bucket(document: Document, _: Target) -> Iterator[Fault]:
    """Find versions that are served from a bucket: nothing renames a folder there in one step."""
    for task in document.tasks.values():
        if task.serving is not None and in_bucket(task.serving):
            what = f"serves from the bucket {task.serving}"
            yield Fault(where=task.name, what=what, hint="name a path of a mounted volume")


def input_volume(document: Document, target: Target) -> Iterator[Fault]:
    """Find data and schemas at a path that is not mounted in every pod that reads them."""
    for task in document.tasks.values():
        for name in (names.SOURCE, names.SCHEMA):
            path = _folder(document, task, name)
            if path is None or (target.name != OSS and _is_below(MOUNTED_BUCKETS, path)):
                continue
            if not _is_mounted(path, task, READABLE):
                what = f"reads {name} from {path}, where no volume is mounted"
                hint = "give it to this task, or to all, under `volumes` in the cluster file"
                yield Fault(where=task.name, what=what, hint=hint, level=ERROR if target.name == OSS else WARNING)


def _folder(document: Document, task: Task, name: str) -> str | None:
    """Return the folder in the pod that a parameter of one of our tasks names, if it names one."""
    if tuple((task.container or {}).get("command", ())) != COMMAND:
        return None
    given: Json = task.spec.get("inputs", {}).get("parameters", {}).get(name, {})
    value = given.get("runtimeValue", {}).get("constant", document.values.get(given.get("componentInputParameter", "")))
    if not isinstance(value, str) or not value.startswith("/"):
        return None
    return str(spans.base_of(value)) if spans.is_pattern(value) else value


def _is_mounted(path: str, task: Task, kinds: tuple[str, ...]) -> bool:
    return any(_is_below(mount.get("mountPath", ""), path) for kind in kinds for mount in task.platform.get(kind, []))


def _is_below(mount: str, path: str) -> bool:
    return bool(mount) and PurePosixPath(path).is_relative_to(mount)
