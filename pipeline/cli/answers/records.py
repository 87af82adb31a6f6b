"""Models of the records that a root holds, `records/<SHA-256>.json`; `runs show` prints those of runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.cli.answers.model import Count, Digest, Model, Positive, Seconds

RelativePath = Annotated[str, Field(min_length=1, pattern=r"^(?!/)(?!(.*/)?\.{1,2}(/|$))(?!.*(//|\\))")]
"""Below the root, with `/` between names and neither `.` nor `..` among them."""

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
NodeId = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9-]*$")]
State = Literal["executed", "cached", "failed", "skipped"]


class RegularFile(Model):
    """A file of an artifact."""

    sha256: Digest
    bytes: Count


class SymbolicLink(Model):
    """A link in an artifact."""

    symlink: str
    """What it points at."""


class ArtifactRef(Model):
    """An artifact that an execution read."""

    type: str
    path: RelativePath
    sha256: Digest
    bytes: Count
    record: Digest | None
    """Of the execution that wrote it; null for what came from outside."""


class ArtifactEntry(Model):
    """An artifact that an execution wrote."""

    type: str
    path: RelativePath
    sha256: Digest
    bytes: Count
    files: dict[RelativePath, RegularFile | SymbolicLink]
    properties: dict[str, Any]


class Code(Model):
    """Source files that a node depends on."""

    digest: Digest
    files: dict[RelativePath, Digest]


class Environment(Model):
    """Where a node ran."""

    python: str
    platform: str
    packages: dict[str, str]
    device: str


class GitState(Model):
    """Commit and working tree of the code."""

    commit: Annotated[str, Field(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")] | None
    tree: Literal["clean", "dirty", "none"]
    diff_sha256: Digest | None


class ExecutionRecord(Model):
    """One execution of a node."""

    schema_version: Literal[1]
    kind: Literal["execution"]
    pipeline: str
    run_id: str
    node: NodeId
    key: Digest
    parameters: dict[str, str | float | bool | None]
    code: Code
    lock_digest: Digest
    environment: Environment
    git: GitState
    inputs: dict[str, list[ArtifactRef]]
    outputs: dict[str, list[ArtifactEntry]]
    started: Time
    finished: Time
    seconds: Seconds
    extra: dict[str, Any]


class RecordedNode(Model):
    """What became of a node in a run."""

    id: str
    state: State
    seconds: Seconds
    why: str
    record: Digest | None


class Source(Model):
    """A data file as the user gave it."""

    name: str
    payload_digest: Digest
    container_digest: Digest | None
    bytes: Count | None


class RunRecord(Model):
    """One run."""

    schema_version: Literal[1]
    kind: Literal["run"]
    run_id: str
    recipe: str
    settings: dict[str, Any]
    status: str
    error: dict[str, Any] | None
    nodes: list[RecordedNode]
    metrics: dict[str, Any] | None
    blessed: bool | None
    baseline: str | None
    version: Positive | None
    serving_path: RelativePath | None
    payload_digests: list[Digest]
    rows_digest: Digest | None
    sources: list[Source]
    started: Time
    finished: Time
    sweep: dict[str, Any] | None = None
    """What part it had in a sweep; null for a run of its own."""


class FacetDigest(Model):
    """A digest in `DigestsFacet`."""

    name: str
    algorithm: Literal["sha256", "treeSha256", "merkleSha256"]
    value: Digest


class DigestsFacet(Model, extra="allow"):
    """A facet for OpenLineage: the digests of a data set, a job or a run."""

    producer: str = Field(alias="_producer", json_schema_extra={"format": "uri"})
    schema_url: Literal["urn:mnist-tfx:schema:openlineage_digests:1"] = Field(alias="_schemaURL")
    digests: list[FacetDigest] = Field(min_length=1)
