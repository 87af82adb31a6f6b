"""Outputs of a container: output parameters, files in the bucket, registered artifacts.

Follows `collectOutputParameters`, `mergeRuntimeArtifacts` and `uploadOutputArtifacts` in
backend/src/v2/component/launcher_v2.go, and `RecordArtifact` in metadata/client.go.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem
from pipeline.kubeflow.document import Task
from pipeline.kubeflow.simulate.buckets import Buckets, copy_files, in_pod
from pipeline.kubeflow.simulate.dialect import Dialect
from pipeline.kubeflow.simulate.driver import LOGS
from pipeline.kubeflow.simulate.metadata import Description, MetadataStore
from pipeline.kubeflow.simulate.pod import Pod
from pipeline.kubeflow.simulate.values import STRING, Json, as_value, from_text

OUTPUT_FIELDS: Final = frozenset({"artifacts", "parameters", "parameterValues"})
ARTIFACT_FIELDS: Final = frozenset({"name", "type", "uri", "properties", "customProperties", "metadata", "customPath"})
"""Of a RuntimeArtifact; Go's protojson refuses a field that it does not know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOutputs:
    """What a task made.

    Attributes:
      parameters: {output parameter: value}.
      artifacts: {output: number of the registered artifact}.
    """

    parameters: Json
    artifacts: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the outputs of a run go.

    Attributes:
      dialect: the platform.
      buckets: what stands for its buckets.
      store: where artifacts are registered.
      pipeline: name of the pipeline.
      run_root: URI below which the run keeps its artifacts.
    """

    dialect: Dialect
    buckets: Buckets
    store: MetadataStore
    pipeline: str
    run_root: str

    def collect(self, task: Task, provisioned: Json, written: Json, opened: Pod) -> TaskOutputs:
        """Upload and registers what a container that succeeded has left.

        Args:
          task: the task.
          provisioned: the outputs of its ExecutorInput.
          written: its ExecutorOutput.
          opened: its pod.

        Raises:
          EnvironmentProblem: if KFP would fail the task here.
        """
        try:
            parameters = _parameters(task, provisioned, written, opened)
            merged = {
                channel: _merged(channel, output["artifacts"][0], written.get("artifacts", {}).get(channel, {}))
                for channel, output in provisioned.get("artifacts", {}).items()
            }
            return TaskOutputs(parameters=parameters, artifacts=self._registered(merged, opened))
        except (ValueError, OSError) as err:
            raise EnvironmentProblem("the launcher would fail", where=task.name, got=err) from err

    def collect_logs(self, provisioned: Json, opened: Pod) -> TaskOutputs:
        """Upload and registers what a container that failed has printed, and nothing else of it."""
        logs = {
            channel: output["artifacts"][0]
            for channel, output in provisioned.get("artifacts", {}).items()
            if channel == LOGS and opened.path(in_pod(output["artifacts"][0]["uri"])).exists()
        }
        return TaskOutputs(parameters={}, artifacts=self._registered(logs, opened))

    def written(self, task: Task, provisioned: Json, opened: Pod) -> Json:
        """Return the ExecutorOutput that a container left, or a hook; empty if it left none.

        Raises:
          EnvironmentProblem: if it left something else.
        """
        try:
            return _executor_output(opened.path(provisioned["outputFile"]))
        except (ValueError, OSError) as err:
            raise EnvironmentProblem("the launcher would fail", where=task.name, got=err) from err

    def _registered(self, artifacts: Mapping[str, Json], opened: Pod) -> dict[str, int]:
        properties = {channel: self._properties(channel, artifact) for channel, artifact in artifacts.items()}
        if not self.dialect.mounts_buckets:
            for channel, artifact in artifacts.items():
                self._upload(channel, artifact["uri"], opened)
        return {
            channel: self.store.put_artifact(
                Description(
                    pipeline=self.pipeline, uri=artifact["uri"], type=artifact["type"], properties=properties[channel]
                )
            ).id
            for channel, artifact in artifacts.items()
        }

    def _properties(self, channel: str, artifact: Json) -> Json:
        try:
            properties = self.dialect.properties(artifact.get("metadata", {}))
        except ValueError as err:
            raise ValueError(f"unable to produce MLMD artifact for output {channel!r}: {err}") from err
        return {**self.dialect.default_properties(channel, artifact["uri"]), **properties}

    def _upload(self, channel: str, uri: str, opened: Pod) -> None:
        try:
            path = in_pod(uri)
        except BadInput:  # "does not have a recognized storage URI": registered all the same
            return
        if not uri.startswith(f"{self.run_root}/"):
            what = f"URI {uri!r} does not have expected bucket prefix {self.run_root!r}"
            raise ValueError(f"failed to upload output artifact {channel!r}: {what}")
        copy_files(opened.path(path), self.buckets.local(uri))


def _executor_output(file: Path) -> Json:
    """Return the ExecutorOutput; a container need not write one.

    Raises:
      ValueError: if it is none.
    """
    if not file.exists():
        return {}
    try:
        written = as_value(json.loads(file.read_text()))
        unknown = written.keys() - OUTPUT_FIELDS
        for channel in written.get("artifacts", {}).values():
            unknown |= {name for artifact in channel.get("artifacts", ()) for name in artifact.keys() - ARTIFACT_FIELDS}
    except (ValueError, AttributeError) as err:
        raise ValueError(f"failed to unmarshall ExecutorOutput: {err}") from err
    if unknown:
        raise ValueError(f"failed to unmarshall ExecutorOutput: unknown field {', '.join(sorted(unknown))}")
    return dict(written)


def _parameters(task: Task, provisioned: Json, written: Json, opened: Pod) -> Json:
    """Return the output parameters; what the executor output says comes before what is in a file of its own."""
    declared = task.component.get("outputDefinitions", {}).get("parameters", {})
    result = dict(written.get("parameterValues", {}))
    for name, spec in provisioned.get("parameters", {}).items():
        if name not in result:
            kind = declared[name].get("parameterType", STRING)
            try:
                result[name] = from_text(opened.path(spec["outputFile"]).read_text(), kind)
            except (OSError, ValueError) as err:
                what = f"failed to read output parameter name={name!r} type={kind!r} path={spec['outputFile']!r}"
                raise ValueError(f"{what}: {getattr(err, 'strerror', None) or err}") from err
    return result


def _merged(channel: str, provisioned: Json, written: Json) -> Json:
    if channel == LOGS:  # the launcher's own: nothing that a container says of it counts
        return provisioned
    override: Json = next(iter(written.get("artifacts", ())), {})
    metadata = {**provisioned.get("metadata", {}), **override.get("metadata", {})}
    return {**provisioned, "uri": override.get("uri") or provisioned["uri"], "metadata": metadata}
