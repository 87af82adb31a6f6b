"""Models of the answers of `kubeflow`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.cli.answers.lineage import Audit, Policy, Verdicts
from pipeline.cli.answers.model import Count, Digest, Model, Positive, Seconds, Text
from pipeline.cli.answers.runs import RunResult

Target = Literal["oss", "vertex"]


class ClusterFile(Model):
    """A cluster file that was written."""

    file: Text
    cluster: dict[str, Any]
    """{key: value} of those that something was said about."""
    next: list[str]
    """Command lines to go on with."""


class Requirement(Model):
    """One thing that a run needs of its cluster."""

    what: Text
    state: Literal["ok", "missing", "cannot tell"]
    said: Text
    command: Text | None
    """What helps; null where nothing has to be done."""


class Readiness(Model):
    """What a run will ask of a cluster, and whether it is there."""

    findings: list[Requirement]


class CompiledPipeline(Model):
    """A file for a cluster."""

    file: Text
    sha256: Digest
    target: Target
    pipeline: Text
    pipeline_root: Annotated[str, Field(pattern="^(minio|s3|gs)://")]
    parameters: dict[str, str]
    tasks: list[Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9-]*$")]] = Field(min_length=1)
    images: dict[str, list[str]]
    """{image: tasks that run in it}."""
    own_code: dict[str, Digest]
    """{path: SHA-256} of the user's own code that the images have to hold."""
    next: list[str]
    """Command lines that the file is made for, in their order."""


class LintFinding(Model):
    """What a cluster would refuse or get wrong."""

    level: Literal["error", "warning"]
    rule: Annotated[str, Field(pattern="^[a-z][a-z-]*$")]
    where: Text
    what: Text
    hint: Text


class Lint(Model):
    """What the linter says of a compiled file."""

    file: Text
    target: Target
    pipeline: str
    errors: Count
    warnings: Count
    findings: list[LintFinding]


class ShortAudit(Model):
    """Verdicts on the version that a simulated run pushed."""

    verdicts: Verdicts
    findings: Count


class Simulation(RunResult):
    """How far a simulated run got."""

    target: Target
    file_sha256: Digest
    audit: ShortAudit | None


class RunTask(Model):
    """One task of a run on a cluster."""

    name: Text
    state: Text
    seconds: Seconds | None
    message: str | None
    """What the server says went wrong."""


class ClusterRun(Model):
    """A run on a cluster, as its server tells."""

    id: Text
    name: str
    state: Text
    created: str | None
    seconds: Seconds | None
    experiment_id: str | None
    schedule: str | None
    error: str | None
    tasks: list[RunTask]
    """Those that were waited for; empty otherwise."""


class ListedRun(ClusterRun):
    """A run on a cluster, with the address of its page."""

    link: Text


class ClusterRuns(Model):
    """Runs on a cluster, newest first."""

    runs: list[ListedRun]


class WatchedRun(Model):
    """A run on a cluster that was watched until it was over."""

    run: ClusterRun
    link: Text


class Submission(Model):
    """A run that was started on a cluster."""

    run: ClusterRun
    experiment: Text
    parameters: dict[str, Any]
    link: Text


class Schedule(Model):
    """A schedule on a cluster."""

    id: Text
    name: str
    due: Text
    enabled: bool
    max_concurrency: Positive | None
    catch_up: bool
    experiment_id: str | None


class Schedules(Model):
    """Schedules that were created, listed or deleted."""

    action: Literal["created", "listed", "deleted"]
    schedules: list[Schedule]
    replaced: list[Schedule]


class ClusterAudit(Model):
    """Verdicts on the version that a run on a cluster pushed."""

    run: ClusterRun | None
    policy: Policy
    audits: list[Audit] = Field(min_length=1, max_length=1)
