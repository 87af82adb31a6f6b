"""Runs that are ended, and parts of a cluster that are: no job is left, nothing partial is published, one line says why."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx
from engines.cluster import Cluster, end
from engines.conftest import EVERYTHING, GIVEN, waited_for

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)),
    pytest.mark.skipif(not EVERYTHING, reason="make test-engines loses machines"),
]

EXECUTOR = b"CoarseGrainedExecutorBackend"
OVER = ("FINISHED", "FAILED", "CANCELED", "KILLED")


@pytest.fixture(scope="module")
def root(here, tmp_path_factory):
    """A finished root, of which a node at a time is executed again on a cluster."""
    copy = tmp_path_factory.mktemp("losses") / "root"
    shutil.copytree(here[0], copy, symlinks=True)
    return copy


@contextlib.contextmanager
def a_run(cluster, *arguments):
    """A run with a task at work on the cluster: the process, and the job's name."""
    before = cluster.list()
    command = [sys.executable, "-m", "pipeline", "run", *map(str, arguments), *cluster.command()]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, waited_for(lambda: at_work(cluster, before))
        finally:
            process.kill()


def at_work(cluster, before):
    """The name of a job that was not there before and has tasks at work."""
    state = cluster.list()
    new = [name for name, said in state.items() if name not in before and said == "RUNNING"]
    if not new or cluster.engine == "spark":  # where a job is RUNNING once it has an executor
        return new[0] if new else None
    tasks = next(one["tasks"] for one in cluster.ask("/jobs/overview")["jobs"] if one["name"] == new[0])
    return new[0] if tasks["running"] else None


@pytest.mark.parametrize(
    ("number", "code", "node"),
    [
        (signal.SIGINT, 130, "StatisticsGen"),
        (signal.SIGTERM, 143, "ExampleGen"),  # whose job the run itself waits for, not a process of its own
        (signal.SIGHUP, 129, "Evaluator"),
        (signal.SIGKILL, -9, "Transform"),
    ],
)
def test_no_job_is_left_of_a_run_that_was_ended(cluster, root, digits_folder, number, code, node):
    with a_run(cluster, "--data", digits_folder, "--root", root, *GIVEN, "--force", node) as (process, job):
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        assert f"the job {job.partition('_')[0]} at " in out + err  # Spark puts more behind the name
    waited_for(lambda: cluster.list()[job] in OVER, seconds=60)
    assert "FINISHED" not in cluster.list()[job] or cluster.engine == "spark"  # which calls a stopped one finished


@pytest.mark.parametrize(("lost", "restart"), [("worker0", "workers"), ("pool0", "pools")])
def test_what_is_lost_ends_the_run_in_a_line_and_the_next_goes_on(cluster, rows, tmp_path, lost, restart):
    patience = ("--beam-option", "wait_for_workers_s=20")
    with a_run(cluster, "--data", rows, "--root", tmp_path / "root", *patience) as (process, examples):
        waited_for(lambda: cluster.list()[examples] in OVER)
        before = cluster.list()
        job = waited_for(lambda: at_work(cluster, before))
        end(cluster.processes[lost].pid)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    last = err.splitlines()[-1]
    # Spark would take another Worker instead of the one that is lost.
    said = {"flink": " was lost: got ", "spark": "the job waited 20 s for a worker: there is none"}[cluster.engine]
    assert lost != "worker0" or said in last, err
    assert len(last) < 600
    assert " at org.apache" not in err
    getattr(cluster, restart)()
    waited_for(lambda: cluster.list()[job] in OVER, seconds=60)
    answer = mnist_tfx("run", "--data", rows, "--root", tmp_path / "root", *cluster.command(), "--json", timeout=1500)
    assert answer.code == 3, answer.err  # what SchemaGate says of these rows, with the statistics that were missing
    assert answer.states()["ExampleGen"] == "cached"


def test_a_job_without_workers_says_so_and_ends_after_a_while(cluster, rows, tmp_path):
    end(cluster.processes["worker0"].pid)
    waited_for(lambda: workers(cluster) == 0, seconds=120)
    try:
        patience = ("--beam-option", "wait_for_workers_s=10")
        answer = mnist_tfx(
            "run", "--data", rows, "--root", tmp_path / "root", *cluster.command(), *patience, timeout=1500
        )
    finally:
        cluster.workers()
    assert answer.code == 4
    wanted = {"flink": "a task manager: there is none", "spark": "a worker: there is none"}[cluster.engine]
    assert f"the job waited 10 s for {wanted}" in answer.err.splitlines()[-1]
    waited_for(lambda: all(state in OVER for state in cluster.list().values()), seconds=60)
    waited_for(lambda: workers(cluster) == 1, seconds=120)


def workers(cluster):
    return (
        cluster.ask("/overview")["taskmanagers"] if cluster.engine == "flink" else cluster.ask("/json/")["aliveworkers"]
    )


def test_an_executor_of_spark_that_is_lost_is_replaced(cluster, root, digits_folder):
    if cluster.engine == "flink":
        pytest.skip("Flink restarts nothing unless it is told to")
    forced = ("--data", digits_folder, "--root", root, *GIVEN, "--force", "Evaluator")
    with a_run(cluster, *forced) as (process, _):
        os.kill(executor_of(cluster), signal.SIGKILL)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err


def executor_of(cluster):
    """The process id of the executor that a Worker has started, in its own process group, once there is one."""
    group, found = cluster.processes["worker0"].pid, []

    def is_there():
        folders = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if EXECUTOR in read(path)]
        found[:] = [pid for pid in (int(folder.name) for folder in folders) if group_of(pid) == group]
        return bool(found)

    # A job is on the master's list before it has been given an executor.
    waited_for(is_there, seconds=60)
    [pid] = found
    return pid


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""  # gone


@pytest.fixture
def restarting(engine):
    if engine != "flink":
        pytest.skip("Spark restarts by itself")
    settings = {
        "restart-strategy.type": "fixed-delay",
        # Each region of the job that was at work on the lost machine is an attempt.
        "restart-strategy.fixed-delay.attempts": 200,
        "restart-strategy.fixed-delay.delay": "5 s",
    }
    made = Cluster("flink", "flink-restarting", settings)
    made.up()
    yield made
    made.down()


def test_a_flink_that_restarts_survives_the_loss_of_a_task_manager(restarting, root, digits_folder):
    forced = ("--data", digits_folder, "--root", root, *GIVEN, "--force", "Evaluator")
    with a_run(restarting, *forced) as (process, job):
        end(restarting.processes["worker0"].pid)
        restarting.workers()
        _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert restarting.list()[job] == "FINISHED"
