"""Jobs on a cluster: cancelled with their run, refused where nobody takes them, explained in a line where they fail."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from command_line import PROJECT

from components.errors import BadInput, EnvironmentProblem
from components.ingest import partial
from pipeline.config import beam
from pipeline.process.signals import Interrupted
from pipeline.runner.beam import cluster, failures, watching
from pipeline.runner.beam.cancellation import FLINK, OPEN_JOBS, SERVICE, SPARK, Guard, Job, cancelling

STACK = (
    "\n\tat org.apache.flink.runtime.Task.run(Task.java:1)\nCaused by: java.io.IOException: disk\n\tat java.lang.Thread"
)


class Rest:
    """A server that gives set answers and remembers what it was asked."""

    def __init__(self, answers):
        self.asked = []
        self.answers = answers
        rest = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                rest.asked.append(f"{self.command} {self.path}")
                text = json.dumps(rest.answers.get(self.path, {})).encode()
                self.send_response(202 if self.command == "PATCH" else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815  # the base class's names

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def changes(self):
        return [line for line in self.asked if not line.startswith("GET")]


@pytest.fixture
def rest():
    with contextlib.ExitStack() as opened:

        def start(answers):
            made = Rest(answers)
            threading.Thread(target=made.server.serve_forever, daemon=True).start()
            opened.callback(made.server.shutdown)
            return made

        yield start


def flink_jobs(*states, running=1, taskmanagers=1, slots=2):
    """What Flink answers: a job of somebody else's, and ours in some states."""
    tasks = {"running": running, "scheduled": 4}
    ours = [{"jid": f"id{n}", "name": "ours", "state": state, "tasks": tasks} for n, state in enumerate(states)]
    other = {"jid": "other", "name": "theirs", "state": "RUNNING", "tasks": tasks}
    overview = {"taskmanagers": taskmanagers, "slots-total": 2, "slots-available": slots}
    return {"/jobs/overview": {"jobs": [other, *ours]}, "/overview": overview}


def test_a_flink_job_is_cancelled_by_its_name_and_no_other_is(rest):
    flink = rest(flink_jobs("FINISHED", "RUNNING"))
    said = Job(kind=FLINK, address=flink.address, name="ours").cancel()
    assert said == f"the job ours at {flink.address} was cancelled"
    assert flink.changes() == ["PATCH /jobs/id1?mode=cancel"]


@pytest.mark.parametrize("states", [(), ("FINISHED",), ("FAILED",)])
def test_of_a_job_that_is_over_nothing_is_said(rest, states):
    flink = rest(flink_jobs(*states))
    assert Job(kind=FLINK, address=flink.address, name="ours").cancel() is None
    assert flink.changes() == []


def test_a_submission_to_spark_is_killed_by_its_id(rest):
    spark = rest({"/v1/submissions/kill/driver-1": {"success": True}})
    assert "was cancelled" in Job(kind=SPARK, address=spark.address, name="driver-1").cancel()


def test_what_cannot_be_cancelled_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    said = Job(kind=FLINK, address=address, name="ours").cancel()
    assert said.startswith(f"the job ours at {address} may go on: it could not be cancelled (")


class Service(beam_job_api_pb2_grpc.JobServiceServicer):
    """A job service with one job of ours."""

    def __init__(self):
        self.cancelled = []

    def GetJobs(self, request, context):  # noqa: N802
        del request, context
        job = beam_job_api_pb2.JobInfo(job_id="job_1", job_name="job", state=beam_job_api_pb2.JobState.RUNNING)
        job.pipeline_options["beam:option:job_name:v1"] = "ours"
        other = beam_job_api_pb2.JobInfo(job_id="job_2", state=beam_job_api_pb2.JobState.RUNNING)
        return beam_job_api_pb2.GetJobsResponse(job_info=[job, other])

    def Cancel(self, request, context):  # noqa: N802
        del context
        self.cancelled.append(request.job_id)
        return beam_job_api_pb2.CancelJobResponse()


def test_a_job_of_a_job_service_is_cancelled_there():
    service, server = Service(), grpc.server(futures.ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert "was cancelled" in Job(kind=SERVICE, address=f"127.0.0.1:{port}", name="ours").cancel()
    finally:
        server.stop(None)
    assert service.cancelled == ["job_1"]


WAITS = (
    "import sys, time; from pipeline.runner.beam.cancellation import Guard, Job; "
    "Guard(Job(kind='flink', address=sys.argv[1], name='ours')); print('waits', flush=True); time.sleep(600)"
)


def test_a_job_is_cancelled_although_the_run_was_killed(rest):
    flink = rest(flink_jobs("RUNNING"))
    command = [sys.executable, "-c", WAITS, flink.address]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        assert flink.changes() == []
        os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while not flink.changes():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert flink.changes() == ["PATCH /jobs/id0?mode=cancel"]


def test_a_job_that_ended_is_let_go(rest):
    flink = rest(flink_jobs("RUNNING"))
    Guard(Job(kind=FLINK, address=flink.address, name="ours")).settled()
    assert flink.asked == []


def test_the_run_says_what_became_of_the_job_of_a_process_that_it_ends(rest, tmp_path, monkeypatch):
    flink = rest(flink_jobs("RUNNING"))
    monkeypatch.setenv(OPEN_JOBS, str(tmp_path))
    guard = Guard(Job(kind=FLINK, address=flink.address, name="ours"))
    with pytest.raises(Interrupted) as interrupted, cancelling(tmp_path):
        raise Interrupted(signal.SIGINT)
    guard.settled()
    assert interrupted.value.hint == f"the job ours at {flink.address} was cancelled"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "java.io.IOException: Insufficient number of network buffers: required 512, but only 369 available. The"
            + STACK,
            "too few network buffers: got Insufficient number of network buffers: required 512, but only 369 available: ",
        ),
        (
            "org.apache.flink.runtime.jobmaster.JobMasterException: TaskManager with id 1:2-3 is no longer reachable."
            + STACK,
            "Flink: a task manager was lost: got TaskManager with id 1:2-3 is no longer reachable: its log says why",
        ),
        (
            "Pipeline job-1 failed in state FAILED: org.apache.flink.runtime.rpc.exceptions.RecipientUnreachableException: "
            "Could not send message [RemoteRpcInvocation(TaskExecutorGateway.submitTask(TaskDeploymentDescriptor, JobMasterId, "
            "Time))] from sender [unknown] to recipient [pekko.tcp://flink@127.0.0.1:1/user/rpc/taskmanager_0], because the "
            "recipient is unreachable. This can either mean that the recipient has been terminated or that the remote "
            "RpcService is currently not reachable." + STACK,
            "a task manager was lost: got Could not send message [RemoteRpcInvocation(TaskExecutorGateway.submitTask: its log",
        ),
        (
            "java.util.concurrent.TimeoutException: Invocation of [RemoteRpcInvocation(TaskExecutorGateway.submitTask("
            "TaskDeploymentDescriptor, JobMasterId, Time))] at recipient [pekko.tcp://x/taskmanager_0] timed out."
            + STACK,
            "a task manager was lost: got Invocation of [RemoteRpcInvocation(TaskExecutorGateway.submitTask: its log",
        ),
        (
            "Connection unexpectedly closed by remote task manager '127.0.0.1:1 [ 127.0.0.1:2-a ] '. This might indicate "
            "that the remote task manager was lost." + STACK,
            "a task manager was lost: got Connection unexpectedly closed by remote task manager '127.0.0.1:1",
        ),
        ("Job aborted: ExecutorLostFailure (executor 0 exited) Reason: worker lost", "an executor was lost"),
        ("Pipeline job-1 failed in state FAILED: unknown error", "the job failed: got Pipeline job-1 failed in state"),
        ("java.lang.RuntimeException: bad\n\tat org.apache.beam.X.y(X.java:1)", "the job failed: got bad: the whole"),
    ],
)
def test_a_failed_job_is_one_line_without_its_stack(text, line):
    said = str(failures.problem(text, "Flink"))
    assert line in said
    assert not re.search(r"\bat org\.apache", said)


def test_of_causes_the_one_that_began_it_is_told():
    assert failures.message("org.apache.flink.JobException: Job failed." + STACK) == "disk"


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        (flink_jobs("RUNNING"), None),
        (
            flink_jobs("RUNNING", running=0, taskmanagers=0, slots=0),
            "a task manager: there is none; bin/taskmanager.sh",
        ),
        (flink_jobs("RUNNING", running=0, slots=0), "a free slot: all 2 are taken"),
        (flink_jobs(), None),
    ],
)
def test_what_a_flink_job_waits_for_is_known(rest, answers, waits):
    said = watching.Flink(address=rest(answers).address, job="ours").waits()
    assert said is None if waits is None else said.startswith(waits)


@pytest.mark.parametrize(
    ("workers", "state", "waits"), [(0, "WAITING", "a worker: "), (1, "WAITING", "an executor: "), (1, "RUNNING", None)]
)
def test_what_a_spark_application_waits_for_is_known(rest, workers, state, waits):
    page = {"aliveworkers": workers, "activeapps": [{"state": state}], "cores": 2, "coresused": 2}
    said = watching.Spark(address=rest({"/json/": page}).address).waits()
    assert said is None if waits is None else said.startswith(waits)


def test_a_job_that_waits_for_too_long_is_cancelled_and_says_for_what(rest, monkeypatch):
    monkeypatch.setattr(cluster, "APART_S", 0.01)
    flink = rest(flink_jobs("RUNNING", running=0, taskmanagers=0, slots=0))
    attempt = cluster.Attempt("Flink", watching.Flink(address=flink.address, job="ours"), 0)
    attempt.guard(Job(kind=FLINK, address=flink.address, name="ours"))

    def cancelled(duration):
        del duration
        while not flink.changes():
            time.sleep(0.01)
        raise RuntimeError("Pipeline job failed in state CANCELLED: unknown error")

    inner = type("Inner", (), {"wait_until_finish": staticmethod(cancelled)})()
    with pytest.raises(EnvironmentProblem, match="Flink: the job waited 0 s for a task manager: there is none"):
        cluster.Result(inner, attempt).wait_until_finish()


def run_nothing(engine, given):
    """Has the engine run an empty pipeline."""
    runner = {"flink": cluster.FlinkRunner, "spark": cluster.SparkRunner}[engine]()
    runner.run_portable_pipeline(None, PipelineOptions(list(beam.arguments(engine, given))))


def silent():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_where_nobody_answers_is_told_at_once_with_the_command_that_helps(rest):
    here = rest(flink_jobs()).address
    for engine, given, message in (
        ("flink", [f"flink_master={silent()}"], "flink_master: no Flink answers: wanted an answer at http://127"),
        ("flink", [f"flink_master={here}", f"environment_config={silent()}"], "mnist-tfx beam-pool --port "),
        ("spark", [f"job_endpoint={silent()}", "environment_config=pool:1"], "job_endpoint: no job server answers"),
    ):
        with pytest.raises(EnvironmentProblem) as refusal:
            run_nothing(engine, given)
        assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("engine", "given", "name"),
    [
        ("flink", ["execution_mode_for_batch=BATCH_FORCED"], "execution_mode_for_batch"),
        ("spark", ["job_endpoint=localhost:1", "storage_level=DISK_ONLY"], "storage_level"),
    ],
)
def test_what_only_the_job_server_knows_is_passed_on(rest, engine, given, name):
    here = [f"flink_master={rest(flink_jobs()).address}"] if engine == "flink" else []
    options = PipelineOptions(list(beam.arguments(engine, [*here, *given, f"environment_config={silent()}"])))
    with pytest.raises(EnvironmentProblem):
        {"flink": cluster.FlinkRunner, "spark": cluster.SparkRunner}[engine]().run_portable_pipeline(None, options)
    read = options.get_all_options(drop_default=True, retain_unknown_options=True)  # as Beam does for a job server
    assert f"{name}={read[name]}" == given[-1]


def test_flink_is_asked_to_cancel_where_it_has_its_jobs(rest):
    flink = rest({})
    job = cluster.FlinkJob(flink.address, "no.jar", "job", "name", None, None)
    job._flink_job_id = "abc"
    job.cancel()
    assert flink.asked == ["PATCH /v1/jobs/abc?mode=cancel"]


def test_a_refusal_arrives_although_the_runner_passes_no_text_on(tmp_path):
    (tmp_path / partial.PARTIAL).mkdir()
    with pytest.raises(RuntimeError), partial.carrying(tmp_path):
        raise BadInput("unusable", where="train.csv")
    known = partial.carried(RuntimeError("unknown error"), Path(tmp_path))
    assert (type(known), str(known)) == (BadInput, "train.csv: unusable")
    assert partial.carried(RuntimeError("unknown error")) is None
