"""What differs between open-source Kubeflow Pipelines and Vertex AI, seen from a container.

Open-source KFP: inputs are downloaded and come without their types, a list or struct in a property comes back
wrapped, names are numbers, `lifecycle` is ignored, logs are an output. Vertex AI: buckets are mounted below `/gcs`,
artifacts carry types and resource names, and a `lifecycle.preCacheCheck` hook runs before the cache is asked. Vertex
AI's code is not public: this is what its documentation says and what TFX's containers rely on.
"""

from __future__ import annotations

import abc
import datetime
import uuid
from typing import ClassVar, Final

from pipeline.kubeflow.buckets import bucket, needs_credentials
from pipeline.kubeflow.document import OSS, VERTEX
from pipeline.kubeflow.simulate.buckets import in_pod
from pipeline.kubeflow.simulate.metadata import Artifact, to_property
from pipeline.kubeflow.simulate.values import Json, as_value, to_json

PROJECT_NUMBER: Final = "123456789012"
LOCATION: Final = f"projects/{PROJECT_NUMBER}/locations/us-central1"


MINIO: Final = {
    "accessKeyKey": "accesskey",
    "disableSSL": "true",
    "endpoint": "seaweedfs.kubeflow:9000",
    "fromEnv": "false",
    "maxRetries": "5",
    "region": "minio",
    "secretKeyKey": "secretkey",
    "secretName": "mlpipeline-minio-artifact",
}
"""Where the launcher of a default installation of 2.17.0 finds its own object store; other schemes take the pods' account."""


class Dialect(abc.ABC):
    """One platform.

    Attributes:
      target: its name among the targets of `kubeflow compile`.
      schemes: of the buckets that it reads and writes.
      default_root: where it keeps artifacts if the file does not say; None if the file has to.
      mounts_buckets: whether buckets are mounted, rather than copied from and to.
      runs_hooks: whether it runs `lifecycle.preCacheCheck`.
      publishes_logs: whether every task has an output that takes what its container prints.
      fails_fast: whether nothing starts any more once a task has failed.
    """

    target: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    default_root: ClassVar[str | None]
    mounts_buckets: ClassVar[bool]
    runs_hooks: ClassVar[bool]
    publishes_logs: ClassVar[bool]
    fails_fast: ClassVar[bool]

    def cannot_open(self, uri: str, root: str) -> bool:
        """Whether a launcher has no credentials for a URI; root is where the run keeps its artifacts."""
        return not self.mounts_buckets and needs_credentials(uri) and bucket(uri) != bucket(root)

    @abc.abstractmethod
    def new_run_id(self, pipeline: str) -> str:
        """Return an id for a run that is submitted now."""

    @abc.abstractmethod
    def run_root(self, root: str, pipeline: str, run_id: str) -> str:
        """Return the URI below which a run keeps its artifacts."""

    @abc.abstractmethod
    def task_root(self, run_root: str, task: str) -> str:
        """Return the URI of a new folder for a task's outputs."""

    @abc.abstractmethod
    def output_file(self, task_root: str) -> str:
        """Return the path in the pod of the file that takes the ExecutorOutput."""

    @abc.abstractmethod
    def parameter_file(self, task_root: str, name: str) -> str:
        """Return the path in the pod of the file that takes an output parameter."""

    @abc.abstractmethod
    def output_name(self, channel: str) -> str:
        """Return the name of an output artifact that is not registered yet."""

    @abc.abstractmethod
    def input_artifact(self, artifact: Artifact) -> Json:
        """Return a registered artifact as a RuntimeArtifact."""

    @abc.abstractmethod
    def properties(self, metadata: Json) -> Json:
        """Return metadata as properties of a registered artifact.

        Raises:
          ValueError: for a value that cannot be one.
        """

    @abc.abstractmethod
    def default_properties(self, channel: str, uri: str) -> Json:
        """Return the properties that an output gets if its metadata does not say them (`RecordArtifact`)."""

    @abc.abstractmethod
    def imported(self, uri: str) -> Json:
        """Return the properties that an importer adds."""


class OpenSource(Dialect):
    """Open-source Kubeflow Pipelines: backend/src/v2/driver/driver.go, component/launcher_v2.go, metadata/converter.go."""

    target = OSS
    schemes = ("minio", "s3", "gs")
    default_root = "minio://mlpipeline/v2/artifacts"
    mounts_buckets = False
    runs_hooks = False
    publishes_logs = True  # since 2.5.0, unless the API server's PUBLISH_LOGS says otherwise
    fails_fast = True  # Argo's default for a DAG

    def new_run_id(self, pipeline: str) -> str:
        """Return a UUID."""
        del pipeline
        return str(uuid.uuid4())

    def run_root(self, root: str, pipeline: str, run_id: str) -> str:
        """Return `<root>/<pipeline>/<run>`."""
        return f"{root.rstrip('/')}/{pipeline}/{run_id}"

    def task_root(self, run_root: str, task: str) -> str:
        """Return `<run root>/<task>/<salt>`."""
        return f"{run_root}/{task}/{uuid.uuid4()}"

    def output_file(self, task_root: str) -> str:
        """Return `output_metadata.json` where the launcher keeps the task's folder."""
        return f"{in_pod(task_root)}/output_metadata.json"

    def parameter_file(self, task_root: str, name: str) -> str:
        """Return a file below `/tmp`."""
        del task_root
        return f"/tmp/kfp/outputs/{name}"  # noqa: S108  # in the pod; this is KFP's name for it

    def output_name(self, channel: str) -> str:
        """Return the channel."""
        return channel

    def input_artifact(self, artifact: Artifact) -> Json:
        """Return it without its type, as `GetOutputArtifactsByExecutionId` does not know it."""
        return {
            "name": str(artifact.id),
            "type": {"instanceSchema": ""},
            "uri": artifact.uri,
            "metadata": dict(sorted(artifact.properties.items())),
        }

    def properties(self, metadata: Json) -> Json:
        """Return custom properties of ML Metadata."""
        return {name: to_property(name, value) for name, value in metadata.items()}

    def default_properties(self, channel: str, uri: str) -> Json:
        """Return the name to show and the store's credentials."""
        return {"display_name": channel, **self.imported(uri)}

    def imported(self, uri: str) -> Json:
        """Return where the store's credentials come from in a default installation."""
        provider = uri.partition("://")[0]
        session = {"Provider": provider, "Params": MINIO if provider == "minio" else {"fromEnv": "true"}}
        return {"store_session_info": to_json(session)}


class VertexAI(Dialect):
    """Vertex AI Pipelines: https://cloud.google.com/vertex-ai/docs/pipelines/build-own-components."""

    target = VERTEX
    schemes = ("gs",)
    default_root = None
    mounts_buckets = True
    runs_hooks = True
    publishes_logs = False
    fails_fast = False  # PIPELINE_FAILURE_POLICY_FAIL_SLOW, unless the job says otherwise

    def new_run_id(self, pipeline: str) -> str:
        """Return a job name: the pipeline's with a time stamp."""
        now = datetime.datetime.now(tz=datetime.timezone.utc)
        return f"{pipeline.lower()}-{now:%Y%m%d%H%M%S%f}"

    def run_root(self, root: str, pipeline: str, run_id: str) -> str:
        """Return `<root>/<project number>/<job>`."""
        del pipeline
        return f"{root.rstrip('/')}/{PROJECT_NUMBER}/{run_id}"

    def task_root(self, run_root: str, task: str) -> str:
        """Return `<run root>/<task>_<number>`."""
        return f"{run_root}/{task}_{uuid.uuid4().int >> 65}"

    def output_file(self, task_root: str) -> str:
        """Return `executor_output.json` in the mounted bucket."""
        return f"{in_pod(task_root)}/executor_output.json"

    def parameter_file(self, task_root: str, name: str) -> str:
        """Return a file in the mounted bucket."""
        return f"{in_pod(task_root)}/{name}"

    def output_name(self, channel: str) -> str:
        """Return a resource name: Vertex AI registers outputs before they are there."""
        return _resource(f"{channel}-{uuid.uuid4().hex}")

    def input_artifact(self, artifact: Artifact) -> Json:
        """Return it with its type."""
        return {
            "name": _resource(str(artifact.id)),
            "type": artifact.type,
            "uri": artifact.uri,
            "metadata": dict(sorted(artifact.properties.items())),
        }

    def properties(self, metadata: Json) -> Json:
        """Return the metadata as it is: a Struct, in which numbers are doubles."""
        return dict(as_value(metadata))

    def default_properties(self, channel: str, uri: str) -> Json:
        """Return nothing: the name to show is no metadata there."""
        del channel, uri
        return {}

    def imported(self, uri: str) -> Json:
        """Return nothing."""
        del uri
        return {}


DIALECTS: Final = {dialect.target: dialect for dialect in (OpenSource(), VertexAI())}


def _resource(name: str) -> str:
    return f"{LOCATION}/metadataStores/default/artifacts/{name}"
