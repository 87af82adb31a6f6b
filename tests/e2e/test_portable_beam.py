"""The digits on Beam's portable runner: a job service and worker processes that share nothing with the run but files."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx
from run_results import flat, numbers, output, statistics, texts

from components.digest import tree_digest
from components.errors import EnvironmentProblem
from pipeline.config.beam import choose
from pipeline.config.beam_engines import PORTABLE
from pipeline.runner.beam.job_service import JobService

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ANALYSED = ("transform.scaling=standardise", "autoencoder.output_activation=linear")
"""With these Transform has something to analyse, so that every Beam node has work for Beam."""

# An error of pixels that were each divided by their own deviation is some ten times that of pixels from 0 to 1.
SETTINGS = ("deterministic=true", "seed=7", "evaluation.reconstruction_mse=0.5", *ANALYSED)
BEAM_NODES = {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}
MARK = "MNIST_TFX_TEST_MARK"


def run(root, data, *more, env=None):
    given = [part for setting in SETTINGS for part in ("--set", setting)]
    return mnist_tfx("run", "--data", data, "--root", root, *given, "--json", *more, env=env)


@pytest.fixture(scope="module")
def direct(tmp_path_factory, digits_folder):
    root = tmp_path_factory.mktemp("direct") / "root"
    answer = run(root, digits_folder)
    assert answer.code == 0, answer.err
    return root, answer


@pytest.fixture(scope="module")
def portable(tmp_path_factory, digits_folder):
    root, mark = tmp_path_factory.mktemp("portable") / "root", uuid.uuid4().hex
    answer = run(root, digits_folder, "--beam", "portable", env={MARK: mark})
    assert answer.code == 0, answer.err
    assert marked(mark) == {}
    return root, answer


def marked(mark):
    """{process id: command line} of everything that was started with a mark in its environment."""
    wanted = f"{MARK}={mark}".encode()
    processes = [path for path in Path("/proc").glob("[0-9]*") if wanted in read(path / "environ").split(b"\0")]
    return {int(path.name): read(path / "cmdline").replace(b"\0", b" ").decode() for path in processes}


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""  # gone, or another user's


def waited_for(condition, seconds=60.0):
    """Returns what `condition` gives once that is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


def test_the_examples_are_the_same_byte_for_byte(direct, portable):
    one, other = (output(root, "ExampleGen", "examples") for root, _ in (direct, portable))
    assert tree_digest(one) == tree_digest(other)
    assert direct[1].json["rows_digest"] == portable[1].json["rows_digest"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_statistics_are_the_same(direct, portable, split):
    one, other = (flat(statistics(root, split)) for root, _ in (direct, portable))
    assert len(one) > 100
    # Two direct runs differ as much: the order in which sums of floats are merged is nobody's promise.
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-12)
    assert texts(one) == texts(other)


def test_the_metrics_are_the_same(direct, portable):
    one, other = (flat(answer.json["metrics"]) for _, answer in (direct, portable))
    assert len(one) > 40
    assert one == pytest.approx(other, rel=1e-6)


def test_a_run_on_another_engine_reuses_everything(portable, digits_folder):
    root, _ = portable
    answer = run(root, digits_folder, "--beam", "direct", "--dry-run")
    assert set(answer.states().values()) == {"cached"}


@pytest.mark.parametrize("engine", ["direct", "portable"])
def test_the_record_of_a_beam_node_names_the_engine(engine, direct, portable):
    root, _ = {"direct": direct, "portable": portable}[engine]
    executions = [json.loads(path.read_text()) for path in (root / "records").glob("*.json")]
    named = {record["node"]: record["extra"]["beam"] for record in executions if "beam" in record.get("extra", {})}
    assert named == dict.fromkeys(BEAM_NODES, engine)


def test_what_is_served_from_a_portable_run_passes_its_audit(portable):
    root, _ = portable
    [audit] = mnist_tfx("lineage", "audit", "--root", root, "--json").json["audits"]
    assert (audit["verdicts"]["INTEGRITY"], audit["verdicts"]["COMPLETENESS"]) == ("PASS", "PASS")


def test_an_unusable_row_is_refused_with_the_same_line(tmp_path):
    rows = [[*[number % 17] * 64, number % 10] for number in range(300)]
    rows[250][3] = 99
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    lines = []
    for engine in ("direct", "portable"):
        answer = mnist_tfx("run", "--data", tmp_path / "train.csv", "--root", tmp_path / engine, "--beam", engine)
        assert answer.code == 2
        lines.append(answer.err.splitlines()[-1])
    assert lines[0] == lines[1]
    assert "train.csv" in lines[0]


@pytest.fixture
def running(tmp_path, digits_folder):
    """A run on portable that a worker is at work for: the process, the mark and its output."""
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "pipeline", "run", "--data", digits_folder, "--root", tmp_path / "root"]
    process = subprocess.Popen(
        [*command, "--beam", "portable"],
        cwd=PROJECT,
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    waited_for(lambda: any("pipeline.runner.beam.worker" in line for line in marked(mark).values()))
    yield process, mark
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_is_left_of_a_run_that_was_ended(running, number, code):
    process, mark = running
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    waited_for(lambda: marked(mark) == {}, seconds=20)


def test_a_worker_that_dies_ends_the_run_with_a_line_about_it(running):
    process, mark = running
    [worker] = [number for number, line in marked(mark).items() if "pipeline.runner.beam.worker" in line]
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "a worker process died (exit status -9)" in err.splitlines()[-1]
    assert marked(mark) == {}


def test_workers_have_a_folder_and_an_environment_of_their_own(tmp_path):
    folder = worker_says(tmp_path, "os.getcwd()")
    assert Path(folder).parent.name.startswith("mnist-tfx-beam-")
    assert not Path(folder).exists()  # it went with the service
    assert worker_says(tmp_path, "os.environ['CUDA_VISIBLE_DEVICES'] + os.environ['TF_USE_LEGACY_KERAS']") == "-11"


def worker_says(tmp_path, expression):
    """Has a worker evaluate an expression, by Python's own function: a worker has never seen this file."""
    import apache_beam as beam

    with JobService(tmp_path / "log") as service:
        service.start()
        with beam.Pipeline(argv=[*choose(PORTABLE, ()).arguments, *service.arguments()]) as pipeline:
            said = pipeline | beam.Create([f"(lambda os: {expression})(__import__('os'))"])
            _ = said | beam.Map(eval) | beam.io.WriteToText(str(tmp_path / "said"))
    [file] = tmp_path.glob("said-*")
    return file.read_text().strip()


def test_a_service_that_does_not_come_up_is_an_environment_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with JobService(tmp_path / "log") as service:
        service.start()
        with pytest.raises(EnvironmentProblem, match="Beam's job service did not start"):
            service.arguments()
