"""Metadata of simulated runs: artifacts and executions by number, in one file below the root.

It imitates KFP's use of ML Metadata (backend/src/v2/metadata/{client,converter}.go), not ML Metadata: artifacts get a
number for a name, and an execution's outputs are found again by the cache.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, EnvironmentProblem
from components.files import replacing
from components.untrusted import MIB, read_object
from pipeline.kubeflow.simulate.values import Json

FILE: Final = "metadata.json"

COMPLETE, CACHED, FAILED = "COMPLETE", "CACHED", "FAILED"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What there is to say of an artifact.

    Attributes:
      pipeline: name of the pipeline that it is registered in.
      uri: where it lies.
      type: its ArtifactTypeSchema.
      properties: its custom properties, as `Value`s.
    """

    pipeline: str
    uri: str
    type: Json
    properties: Json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artifact(Description):
    """A registered artifact.

    Attributes:
      id: its number.
    """

    id: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """A finished execution of a task.

    Attributes:
      id: its number.
      run_id: of its run.
      task: name of the task.
      state: `COMPLETE`, `CACHED` or `FAILED`.
      parameters: {output parameter: value}.
      artifacts: {output: artifact's number}.
    """

    id: int
    run_id: str
    task: str
    state: str
    parameters: Json
    artifacts: Mapping[str, int]


class MetadataStore:
    """The imitated store; every change is on disk before it is answered.

    Args:
      folder: where its file lies.

    Raises:
      EnvironmentProblem: if the file is none that this class wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._artifacts: dict[int, Artifact] = {}
        self._executions: dict[int, Execution] = {}
        self._cache: dict[str, int] = {}
        if self._file.exists():
            self._load()

    def artifact(self, number: int) -> Artifact:
        """Return a registered artifact."""
        return self._artifacts[number]

    def execution(self, number: int) -> Execution:
        """Return a registered execution."""
        return self._executions[number]

    def put_artifact(self, described: Description) -> Artifact:
        """Register an artifact."""
        artifact = Artifact(id=self._next(), **vars(described))
        self._artifacts[artifact.id] = artifact
        self._save()
        return artifact

    def matching(self, wanted: Description) -> Artifact | None:
        """Return the first artifact that an importer takes for the one that it is to import."""
        for artifact in self._artifacts.values():
            has_all = all(artifact.properties.get(name) == value for name, value in wanted.properties.items())
            if (artifact.pipeline, artifact.uri, artifact.type) == (
                wanted.pipeline,
                wanted.uri,
                wanted.type,
            ) and has_all:
                return artifact
        return None

    def put_execution(
        self, *, run_id: str, task: str, state: str, parameters: Json, artifacts: Mapping[str, int]
    ) -> Execution:
        """Register an execution."""
        execution = Execution(
            id=self._next(), run_id=run_id, task=task, state=state, parameters=parameters, artifacts=dict(artifacts)
        )
        self._executions[execution.id] = execution
        self._save()
        return execution

    def cached(self, key: str) -> Execution | None:
        """Return the newest execution that succeeded under a cache key."""
        return self._executions.get(self._cache.get(key, 0))

    def remember(self, key: str, execution: Execution) -> None:
        """Put an execution into the cache."""
        self._cache[key] = execution.id
        self._save()

    def _next(self) -> int:
        return 1 + max((*self._artifacts, *self._executions), default=0)

    def _save(self) -> None:
        text = {
            "artifacts": [dataclasses.asdict(one) for one in self._artifacts.values()],
            "executions": [dataclasses.asdict(one) for one in self._executions.values()],
            "cache": self._cache,
        }
        with replacing(self._file) as file:
            file.write(json.dumps(text, indent=1).encode())

    def _load(self) -> None:
        try:
            fields = read_object(self._file, limit=64 * MIB)
            self._artifacts = {one["id"]: Artifact(**one) for one in fields["artifacts"]}
            self._executions = {one["id"]: Execution(**one) for one in fields["executions"]}
            self._cache = dict(fields["cache"])
        except (BadInput, KeyError, TypeError) as err:
            hint = "remove it, and nothing will be taken from the cache"
            got = f"{type(err).__name__}: {err}"
            raise EnvironmentProblem("cannot be read", where=self._file, got=got, hint=hint) from err


def to_property(name: str, value: Any) -> Any:
    """Return a metadata value as a custom property holds it (`StructValueToMLMDValue`).

    Raises:
      ValueError: for null, which KFP refuses.
    """
    if value is None:
        raise ValueError(f"metadata {name!r} is null: unknown/unsupported value type *structpb.Value_NullValue")
    if isinstance(value, bool):
        return float(value)  # an integer there, and a double when it is read
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value
