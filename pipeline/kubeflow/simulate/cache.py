"""Cache key under which KFP's driver looks for an earlier execution of a task.

Image, command, arguments, claims, parameters, and the *names* of input artifacts: no byte of what they hold, and no
environment variable (backend/src/v2/cacheutils/cache.go and driver/cache.go). So an importer whose URI stays the same,
but not what lies there, is not seen here any more than on a cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pipeline.kubeflow.document import Task
from pipeline.kubeflow.simulate.values import STRING, Json, to_json


def key(pipeline: str, task: Task, inputs: Json, outputs: Json, claims: Sequence[str]) -> str:
    """Return the key of a task's execution.

    Args:
      pipeline: its name; nothing is reused across pipelines.
      task: the task.
      inputs: of its ExecutorInput.
      outputs: the same.
      claims: names of the volumes' claims that it mounts.
    """
    custom = task.spec.get("cachingOptions", {}).get("cacheKey")
    if custom:
        reference = task.spec.get("componentRef", {}).get("name", "")
        return _scoped(pipeline, f"{reference}\0{custom}" if reference else custom)
    return _scoped(pipeline, to_json(_ordered(_parts(task, inputs, outputs, claims))))


def _parts(task: Task, inputs: Json, outputs: Json, claims: Sequence[str]) -> Json:
    container = task.container or {}
    declared = task.component.get("outputDefinitions", {}).get("parameters", {})
    return {
        "inputArtifactNames": {
            channel: {"artifactNames": [artifact["name"] for artifact in artifacts["artifacts"]]}
            for channel, artifacts in inputs.get("artifacts", {}).items()
        },
        "inputParameterValues": inputs.get("parameterValues", {}),
        "outputArtifactsSpec": {
            channel: _without_place(channel, artifacts["artifacts"][0])
            for channel, artifacts in outputs.get("artifacts", {}).items()
        },
        "outputParametersSpec": {
            name: declared[name].get("parameterType", STRING) for name in outputs.get("parameters", {})
        },
        "containerSpec": {
            "image": container.get("image", ""),
            "cmdArgs": [*container.get("command", ()), *container.get("args", ())],
            "pvcNames": sorted(set(claims)),
        },
    }


def _without_place(channel: str, artifact: Json) -> Json:
    return {"name": channel, **{name: artifact[name] for name in ("type", "metadata") if name in artifact}}


def _scoped(pipeline: str, text: str) -> str:
    return f"{pipeline}/{hashlib.sha256(text.encode()).hexdigest()}"


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(inner) for inner in value] if isinstance(value, list) else value
