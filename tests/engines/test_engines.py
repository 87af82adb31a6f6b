"""The digits on a real Flink and a real Spark: `make test-engines`, ENGINE=flink for one of them."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import PROJECT, mnist_tfx
from engines import build
from engines.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

WANTED = os.environ.get("MNIST_TFX_ENGINES", "").split()
SETTINGS = (
    "transform.scaling=standardise",  # Transform has something to analyse, and a job, only then
    "autoencoder.output_activation=linear",
    "evaluation.reconstruction_mse=0.5",
)
GIVEN = [part for setting in SETTINGS for part in ("--set", setting)]
BEAM_NODES = 4


@pytest.fixture(scope="module", params=["flink", "spark"])
def cluster(request):
    if request.param not in WANTED:
        pytest.skip(f"make test-engines starts {request.param}")
    if (why := build.missing()) is not None:
        pytest.skip(why)
    made = Cluster(request.param)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def finished(cluster, digits_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp(cluster.engine) / "root"
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, *GIVEN, *cluster.command(), "--json")
    assert answer.code == 0, answer.err
    return root, answer, cluster.list()


def test_every_beam_node_is_a_job_of_the_cluster(finished):
    jobs = finished[2]
    assert len(jobs) == BEAM_NODES
    assert set(jobs.values()) == {"FINISHED"}
    assert all(name.startswith("mnist-tfx-") for name in jobs)


def test_a_run_here_reuses_all_that_the_cluster_did(finished, digits_folder):
    answer = mnist_tfx("run", "--data", digits_folder, "--root", finished[0], *GIVEN, "--dry-run", "--json")
    assert set(answer.states().values()) == {"cached"}


def test_an_unusable_row_is_refused_with_the_same_line(cluster, tmp_path):
    rows = [[*[number % 17] * 64, number % 10] for number in range(60_000)]
    rows[50_000][3] = 99  # too far down to be seen before a worker reads it
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = ("run", "--data", tmp_path / "train.csv")
    here = mnist_tfx(*data, "--root", tmp_path / "here")
    there = mnist_tfx(*data, "--root", tmp_path / "there", *cluster.command())
    assert (here.code, there.code) == (2, 2)
    assert here.err.splitlines()[-1] == there.err.splitlines()[-1]


@pytest.fixture
def running(cluster, finished, digits_folder):
    """A run that waits for the job of a node in a process of its own: the process, and the job's name."""
    before = cluster.list()
    line = [sys.executable, "-m", "pipeline", "run", "--data", digits_folder, "--root", finished[0], *GIVEN]
    command = [*line, *cluster.command(), "--force", "StatisticsGen"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield (
            process,
            waited_for(lambda: [n for n, s in cluster.list().items() if n not in before and s == "RUNNING"])[0],
        )
        process.kill()


def waited_for(condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_job_is_left_of_a_run_that_was_ended(cluster, running, number, code):
    process, job = running
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        assert f"the job {job.partition('_')[0]} at " in out + err  # Spark puts more behind the name
    waited_for(lambda: cluster.list()[job] not in ("RUNNING", "CANCELLING"), seconds=30)
    assert "FINISHED" not in cluster.list()[job] or cluster.engine == "spark"  # which calls a stopped one finished


def test_a_worker_of_the_cluster_that_is_lost_ends_the_run_in_a_line(cluster, running):
    process, _ = running
    os.killpg(cluster.processes["worker"].pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    assert " was lost: got " in err.splitlines()[-1]
    assert " at org.apache" not in err
    cluster.task_manager()
