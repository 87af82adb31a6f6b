"""Beam's runners for Flink and Spark, whose jobs end with the run that waits for them and whose failures are one line.

Beam takes them by their full names, as `--runner=pipeline.runner.beam.cluster.FlinkRunner`. Nothing of Beam is patched.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import requests
from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)
from apache_beam.runners import runner
from apache_beam.runners.portability import (
    flink_runner,
    flink_uber_jar_job_server,
    spark_runner,
    spark_uber_jar_job_server,
)

from components import progress
from components.errors import EnvironmentProblem, MnistTfxError
from components.ingest import partial
from pipeline.config.beam_engines import BATCH_MODE, LOCAL_FLINK, MASTER_PAGE, STORAGE, WAIT, WAIT_S
from pipeline.process.signals import Interrupted
from pipeline.runner.beam import cancellation, failures, watching

APART_S: Final = 2.0
"""Seconds between two looks at a job; Beam's own grow to 60, and a job is as long over before it is noticed."""

_LOGGER: Final = logging.getLogger(__name__)


class JavaOptions(PipelineOptions):  # type: ignore[misc]  # Beam has no annotations
    """Options that job servers know and Beam's Python does not declare."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        for name in (BATCH_MODE, STORAGE):
            parser.add_argument(f"--{name}")


class Attempt:
    """One job on its way: looked after from before it is submitted until it is over.

    Args:
      engine: for messages.
      watch: of the cluster.
      patience_s: how long it may wait for workers.
    """

    def __init__(self, engine: str, watch: watching.Watch, patience_s: float) -> None:
        self.watch = watch
        self._engine = engine
        self._patience_s = patience_s
        self._guards: list[cancellation.Guard] = []
        self._over = threading.Event()
        self._given_up: str | None = None

    def guard(self, job: cancellation.Job) -> None:
        """Have a job cancelled should nobody wait for it any more."""
        self._guards.append(cancellation.Guard(job))

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """Submit and wait within; a job that the block leaves behind is cancelled, and a failure is put in a line."""
        try:
            yield
        except BaseException as err:
            cancellation.tell(err, self._cancelled())
            self._settle()
            if not isinstance(err, Exception) or isinstance(err, (Interrupted, MnistTfxError)):
                raise
            raise self._problem(err) from err

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Cancel, meanwhile, a job that waits for workers for too long."""
        threading.Thread(target=self._look, daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
        self._settle()

    def _look(self) -> None:
        since, said = time.monotonic(), None
        while not self._over.wait(APART_S):
            try:
                waits = self.watch.waits()
            except (OSError, ValueError, KeyError):
                waits = None  # whoever waits for the job is told soon enough
            if waits is None:
                since, said = time.monotonic(), None
            elif time.monotonic() - since < self._patience_s:
                if waits != said:  # what is reported is a line of the log
                    progress.report(f"waits for {waits}")
                said = waits
            else:
                self._given_up = waits
                self._cancelled()
                return

    def _cancelled(self) -> list[str]:
        said = [sentence for guard in self._guards if (sentence := guard.job.cancel()) is not None]
        for sentence in said:
            _LOGGER.warning("%s", sentence)
        return said

    def _settle(self) -> None:
        for guard in self._guards:
            guard.settled()
        self._guards.clear()

    def _problem(self, err: Exception) -> MnistTfxError:
        if self._given_up is not None:
            return EnvironmentProblem(
                f"the job waited {self._patience_s:.0f} s for {self._given_up}",
                where=self._engine,
                hint="--beam-option wait_for_workers_s=N waits longer",
            )
        known = partial.carried(err)
        if known is not None:
            return known
        _LOGGER.error("%s", err)
        return failures.problem(str(err), self._engine)


class Result(runner.PipelineResult):  # type: ignore[misc]  # Beam has no annotations
    """Beam's own result of a job, whose wait leaves no job behind."""

    def __init__(self, inner: runner.PipelineResult, attempt: Attempt) -> None:
        super().__init__(None)
        self._inner = inner
        self._attempt = attempt

    @property
    def state(self) -> Any:
        """Return the state of the job."""
        return self._inner.state

    def metrics(self) -> Any:
        """Return what Beam counted."""
        return self._inner.metrics()

    def cancel(self) -> Any:
        """Cancel the job."""
        return self._inner.cancel()

    def wait_until_finish(self, duration: int | None = None) -> Any:
        """Wait for the job and return its last state.

        Raises:
          MnistTfxError: if it failed.
        """
        with self._attempt.settling(), self._attempt.watched():
            return self._inner.wait_until_finish(duration)


class FlinkRunner(flink_runner.FlinkRunner):  # type: ignore[misc]  # Beam has no annotations
    """Beam's runner for Flink."""

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> runner.PipelineResult:
        """Submit a job, unless nobody would take it."""
        name, master = _named(options), options.view_as(FlinkRunnerOptions).flink_master
        rest = None if master in flink_runner.MAGIC_HOST_NAMES else self.add_http_scheme(master).rstrip("/")
        watch = watching.Unwatched() if rest is None else watching.Flink(address=rest, job=name)
        attempt = _attempt("Flink", watch, options)
        _require_pool(rest, options)
        _guard_by_service(attempt, options, name)
        if rest is not None:
            attempt.guard(cancellation.Job(kind=cancellation.FLINK, address=rest, name=name))
        with attempt.settling():
            return Result(super().run_portable_pipeline(pipeline, options), attempt)

    def default_job_server(self, options: PipelineOptions) -> Any:
        """Return what submits the job where no job server runs; as Beam's own, but for its jobs."""
        flink = options.view_as(FlinkRunnerOptions)
        master = self.add_http_scheme(flink.flink_master)
        server = super().default_job_server(options)
        return FlinkJobs(master, options) if flink.flink_submit_uber_jar and master != LOCAL_FLINK else server


class FlinkJobs(flink_uber_jar_job_server.FlinkUberJarJobServer):  # type: ignore[misc]  # Beam has no annotations
    """Beam's client of Flink's REST interface."""

    def create_beam_job(self, job_id: str, job_name: str, pipeline: Any, options: Any) -> FlinkJob:
        """Return a job to be submitted."""
        jar, port = self.executable_jar(), self._artifact_port
        return FlinkJob(self._master_url, jar, job_id, job_name, pipeline, options, artifact_port=port)


class FlinkJob(flink_uber_jar_job_server.FlinkBeamJob):  # type: ignore[misc]  # Beam has no annotations
    """A job that is cancelled where Flink has its jobs, and asked for its state every two seconds."""

    def cancel(self) -> None:
        """Cancel it."""
        self.request(requests.patch, f"v1/jobs/{self._flink_job_id}?mode=cancel", expected_status=202)
        self.delete_jar()

    def get_state_stream(self) -> Iterator[Any]:
        """Yield its states until the last."""
        for state, timestamp in self.with_state_history(_again_and_again(self.get_state)):
            yield state, timestamp
            if self.is_terminal_state(state):
                break


class SparkRunner(spark_runner.SparkRunner):  # type: ignore[misc]  # Beam has no annotations
    """Beam's runner for Spark."""

    def __init__(self) -> None:
        super().__init__()
        self._attempt: Attempt | None = None

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> runner.PipelineResult:
        """Submit a job, unless nobody would take it."""
        name, page = _named(options), _own(options, MASTER_PAGE)
        watch = watching.Unwatched() if page is None else watching.Spark(address=_with_scheme(page))
        self._attempt = attempt = _attempt("Spark", watch, options)
        reached = options.view_as(PortableOptions).job_endpoint or options.view_as(SparkRunnerOptions).spark_rest_url
        _require_pool(reached, options)
        _guard_by_service(attempt, options, name)
        with attempt.settling():
            return Result(super().run_portable_pipeline(pipeline, options), attempt)

    def default_job_server(self, options: PipelineOptions) -> Any:
        """Return what submits the job where no job server runs; as Beam's own, but for its jobs."""
        spark = options.view_as(SparkRunnerOptions)
        if not spark.spark_submit_uber_jar or self._attempt is None:
            return super().default_job_server(options)
        return SparkJobs(_with_scheme(spark.spark_rest_url), options, self._attempt)


class SparkJobs(spark_uber_jar_job_server.SparkUberJarJobServer):  # type: ignore[misc]  # Beam has no annotations
    """Beam's client of Spark's REST interface."""

    def __init__(self, rest_url: str, options: PipelineOptions, attempt: Attempt) -> None:
        super().__init__(rest_url, options)
        self._attempt = attempt

    def create_beam_job(self, job_id: str, job_name: str, pipeline: Any, options: Any) -> SparkJob:
        """Return a job to be submitted."""
        jar, port = self.executable_jar(), self._artifact_port
        job = SparkJob(self._rest_url, jar, job_id, job_name, pipeline, options, artifact_port=port)
        job.attempt = self._attempt
        return job


class SparkJob(spark_uber_jar_job_server.SparkBeamJob):  # type: ignore[misc]  # Beam has no annotations
    """A job that is guarded as soon as it is submitted: Spark tells its id and takes no name."""

    attempt: Attempt

    def run(self) -> None:
        """Submit it."""
        super().run()
        submission = cancellation.Job(kind=cancellation.SPARK, address=self._rest_url, name=self._spark_submission_id)
        self.attempt.guard(submission)


def _again_and_again(ask: Any) -> Iterator[Any]:
    while True:
        yield ask()
        time.sleep(APART_S)


def _named(options: PipelineOptions) -> str:
    """Give the job a name that no other has, and return it."""
    google = options.view_as(GoogleCloudOptions)
    google.job_name = f"mnist-tfx-{uuid.uuid4().hex[:12]}"
    return str(google.job_name)


def _own(options: PipelineOptions, name: str) -> str | None:
    """Return an option that no runner of Beam's knows."""
    value: str | None = options.view_as(DebugOptions).lookup_experiment(name)
    return value


def _attempt(engine: str, watch: watching.Watch, options: PipelineOptions) -> Attempt:
    for name in (BATCH_MODE, STORAGE):
        if (value := _own(options, name)) is not None:
            setattr(options.view_as(JavaOptions), name, value)
    watch.require()
    return Attempt(engine, watch, float(_own(options, WAIT) or WAIT_S))


def _guard_by_service(attempt: Attempt, options: PipelineOptions, name: str) -> None:
    endpoint = options.view_as(PortableOptions).job_endpoint
    if endpoint is not None:
        command = "java ... JobServerDriver --job-port=PORT starts one"
        watching.require_port(endpoint, "no job server answers", "--beam-option job_endpoint", command)
        attempt.guard(cancellation.Job(kind=cancellation.SERVICE, address=endpoint, name=name))


def _require_pool(cluster: str | None, options: PipelineOptions) -> None:
    """Ask for the pool where it must be on this machine: beside a cluster that is."""
    portable = options.view_as(PortableOptions)
    pool = portable.environment_config
    if portable.environment_type != "EXTERNAL" or cluster is None:
        return
    if watching.is_here(cluster) and watching.is_here(pool):
        command = f"mnist-tfx beam-pool --port {pool.rpartition(':')[2]}"
        watching.require_port(pool, "no pool of workers answers", "--beam-option environment_config", command)


def _with_scheme(address: str) -> str:
    return (address if "://" in address else f"http://{address}").rstrip("/")
