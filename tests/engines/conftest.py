"""A cluster for the session, a run of the whole pipeline on it, and the same run here."""

import csv
import os
import time

import pytest
from command_line import mnist_tfx
from engines import build
from engines.cluster import Cluster

WANTED = os.environ.get("MNIST_TFX_ENGINES")
EVERYTHING = WANTED is not None
"""Whether `make test-engines` asks; `make test-all` takes a part that is over in minutes."""

SETTINGS = (
    "deterministic=true",
    "seed=7",
    "transform.scaling=standardise",  # Transform has something to analyse, and a job, only then
    "autoencoder.output_activation=linear",
    "evaluation.reconstruction_mse=0.5",
)
GIVEN = [part for setting in SETTINGS for part in ("--set", setting)]


@pytest.fixture(scope="session", params=["flink", "spark"])
def engine(request):
    if WANTED is not None and request.param not in WANTED.split():
        pytest.skip(f"ENGINE={request.param} is not what was asked for")
    try:
        build.build(request.param)
    except build.NotBuilt as err:
        pytest.skip(str(err))
    return request.param


@pytest.fixture(scope="session")
def cluster(engine):
    made = Cluster(engine, f"{engine}-test")
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="session")
def here(digits_folder, tmp_path_factory):
    """Root and answer of a run without a cluster."""
    return whole_run(digits_folder, tmp_path_factory.mktemp("here") / "root")


@pytest.fixture(scope="session")
def there(cluster, digits_folder, tmp_path_factory):
    """Root and answer of a run on the cluster, and the cluster's list of its jobs."""
    root = tmp_path_factory.mktemp(cluster.engine) / "root"
    before = cluster.list()
    answer = whole_run(digits_folder, root, *cluster.command())[1]
    return root, answer, {name: state for name, state in cluster.list().items() if name not in before}


def whole_run(data, root, *more):
    """Runs the whole pipeline; returns its root and its answer."""
    answer = mnist_tfx("run", "--data", data, "--root", root, *GIVEN, *more, "--json", timeout=1500)
    assert answer.code == 0, answer.err
    return root, answer


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """A CSV file in which equal images have different labels: SchemaGate refuses it once there are statistics."""
    return csv_of(tmp_path_factory.mktemp("rows") / "train.csv")


def csv_of(file, rows=60_000, unusable=()):
    """Writes rows of 64 pixels and a label, some of them with a pixel that is none."""
    with file.open("w", newline="") as opened:
        written = csv.writer(opened)
        for number in range(rows):
            pixels = [number % 17] * 64
            written.writerow([99 if number in unusable else pixels[0], *pixels[1:], number % 10])
    return file


def waited_for(condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)
    return found
