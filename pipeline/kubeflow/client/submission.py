"""Submission of a compiled file to a server, as one run."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from pipeline.kubeflow import argo_text
from pipeline.kubeflow.buckets import bucket
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.cluster_runs import ClusterRun
from pipeline.kubeflow.client.connection import Connection, create_once
from pipeline.kubeflow.client.transport import OTHER_VERSION, ServerUnavailable
from pipeline.kubeflow.document import VERTEX, Document
from pipeline.process import scratch

POLL: Final = 5.0
"""Seconds between two looks at a run that is waited for."""

TOLERATED: Final = 20
"""Looks in a row that may go unanswered: a laptop that changes networks is no reason to give up."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What the server is to run, once or again and again.

    Attributes:
      document: the compiled pipeline.
      parameters: {runtime parameter: value} where it differs from the file's defaults.
      experiment: name of the experiment; by default the pipeline's.
      pipeline_root: URI below which artifacts are kept; by default the file's, which no server reads from it.
      service_account: of the pods; by default the one in the comment at the file's head.
      cache: False has every task executed.
    """

    document: Document
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    experiment: str | None = None
    pipeline_root: str | None = None
    service_account: str | None = None
    cache: bool = True

    @property
    def experiment_name(self) -> str:
        """The name of the experiment."""
        return self.experiment or self.document.name

    @property
    def as_run(self) -> Document:
        """The file as the run gets it: with this root, and these values of its parameters."""
        return self.document.submitted(self.pipeline_root, self.parameters)

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Return what `kfp.Client` takes for a run and a recurring run alike, with the package in `folder`."""
        package = folder / "pipeline.yaml"
        package.write_text(self.document.to_text(), encoding="utf-8")
        return {
            "pipeline_package_path": str(package),
            "params": dict(self.parameters),
            "pipeline_root": self.pipeline_root or self.document.root,
            # True would turn it on for tasks that must never be cached.
            "enable_caching": None if self.cache else False,
            "service_account": self.service_account or self.document.service_account,
        }


def check(document: Document, *, lint: bool = True, namespace: str | None = None) -> Sequence[Any]:
    """Return the linter's warnings.

    Args:
      document: the compiled pipeline.
      lint: whether to ask the linter at all.
      namespace: of the run, where the installation serves several users.

    Raises:
      BadInput: if the file is for Vertex AI.
      Refused: if the linter finds errors.
    """
    if document.target == VERTEX:
        raise BadInput(
            "a PipelineJob for Vertex AI, which has an API of its own",
            where=document.name,
            wanted="a file compiled with --target oss",
            hint="submit it with google-cloud-aiplatform: PipelineJob(display_name=..., template_path=FILE).submit()",
        )
    if not lint:
        return ()
    from pipeline.kubeflow.lint.check import lint as lint_document

    findings: Sequence[Any] = lint_document(document, namespace=namespace)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        first, count = errors[0], f"{len(errors)} error{'' if len(errors) == 1 else 's'}"
        hint = "mnist-tfx kubeflow lint lists them, --skip-lint submits nonetheless"
        raise Refused(f"the linter found {count}", where=document.name, got=f"{first.where}: {first.what}", hint=hint)
    return findings


def check_places(work: Work, name: str | None = None) -> None:
    """Refuse what the server would refuse, or the launcher could not read, although the file itself is well.

    Args:
      work: what to run.
      name: of the run or the schedule.

    Raises:
      BadInput: if the cache may hand out artifacts of a bucket that is not this run's, or a name or a value holds a
        placeholder of Argo's.
    """
    root, compiled_for = work.pipeline_root, work.document.root
    cached = work.cache and any(task.cached for task in work.document.tasks.values())
    if cached and root is not None and compiled_for is not None and bucket(root) != bucket(compiled_for):
        raise BadInput(
            "the cache hands out what other runs of the file left in another bucket, which the launcher cannot open",
            where="--pipeline-root",
            wanted=f"a place in {bucket(compiled_for)}",
            got=root,
            hint="add --no-cache, or compile the file again with this --pipeline-root",
        )
    texts = {"the name": name, **{f"--param {one}": value for one, value in work.parameters.items()}}
    for where, text in texts.items():
        if isinstance(text, str) and (placeholder := argo_text.foreign(text)) is not None:
            raise BadInput("a placeholder of Argo's", where=where, wanted=argo_text.WANTED, got=placeholder)


def experiment_id(connection: Connection, name: str) -> str:
    """Return the id of an experiment, which is made if it is not there; raises as `create_once`."""
    namespace, kfp = connection.address.namespace, connection.kfp

    def make() -> str:
        # It looks the name up itself.
        answer = connection.call(kfp.create_experiment, name=name, namespace=namespace)
        if not answer.experiment_id:
            raise EnvironmentProblem("an answer about an experiment that has no id", where=name, hint=OTHER_VERSION)
        return str(answer.experiment_id)

    def find() -> str | None:
        return cluster_runs.experiment_id(connection, name)

    return create_once(make, find, connection.address.retry, "experiment")


def submit(
    connection: Connection, work: Work, name: str | None = None, *, begun: Callable[[], None] = lambda: None
) -> ClusterRun:
    """Start a run.

    Args:
      connection: the server.
      work: what to run.
      name: of the run; by default the pipeline's, with time and a few random digits.
      begun: is called before the server is asked for the run.

    Raises:
      MnistTfxError: as `create_once`; after a lost answer there is one run of the name or none, never two.
    """
    named = name or _run_name(work.document.name)
    experiment = experiment_id(connection, work.experiment_name)
    before = {run.id for run in cluster_runs.with_name(connection, named, experiment)}

    def find() -> ClusterRun | None:
        return next(
            (run for run in cluster_runs.with_name(connection, named, experiment) if run.id not in before), None
        )

    with packed(work) as arguments:

        def make() -> ClusterRun:
            kfp = connection.kfp
            answer = connection.call(kfp.run_pipeline, experiment_id=experiment, job_name=named, **arguments)
            return cluster_runs.from_answer(answer)

        begun()
        return create_once(make, find, connection.address.retry, "run")


@contextlib.contextmanager
def packed(work: Work) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `Work.arguments`, whose package is there for the duration."""
    with scratch.folder() as folder:
        yield work.arguments(folder)


def wait(
    connection: Connection,
    run: ClusterRun,
    seen: Callable[[ClusterRun], None],
    tasks: Sequence[str] = (),
    pause: float = POLL,
) -> ClusterRun:
    """Return the run when it is over.

    Args:
      connection: the server.
      run: as it was started.
      seen: is told whenever the run was looked at.
      tasks: names of those whose states are wanted.
      pause: seconds between two looks.

    Raises:
      MnistTfxError: as `Connection.call`, if the server stays silent or knows the run no longer.
    """
    silent = 0
    while not run.is_finished:
        time.sleep(pause)
        try:
            run = cluster_runs.get(connection, run.id, tasks)
        except ServerUnavailable as err:
            silent += 1
            if silent > TOLERATED:
                raise _goes_on(err) from err
            continue
        silent = 0
        seen(run)
    return run


def _goes_on(err: ServerUnavailable) -> MnistTfxError:
    hint = "the run goes on: mnist-tfx kubeflow runs shows it"
    return EnvironmentProblem(err.what, where=err.where, got=err.got, hint=hint)


def _run_name(pipeline: str) -> str:
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S")
    return f"{pipeline}-{now}-{uuid.uuid4().hex[:6]}"
