"""The pipeline on a real Flink and a real Spark: `make test-engines`, ENGINE=flink for one of them; a part in `make test-all`."""

import json

import pytest
from command_line import mnist_tfx
from engines.conftest import EVERYTHING, GIVEN, csv_of
from run_results import constants, flat, numbers, output, statistics, texts

from components.digest import tree_digest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

whole = pytest.mark.skipif(not EVERYTHING, reason="make test-engines runs the whole pipeline")

BEAM_NODES = {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}
SPLITS = ("train", "validation", "test")


@whole
def test_every_beam_node_is_a_job_of_the_cluster(there):
    jobs = there[2]
    assert len(jobs) == len(BEAM_NODES)
    assert set(jobs.values()) == {"FINISHED"}
    assert all(name.startswith("mnist-tfx-") for name in jobs)


@whole
def test_the_examples_are_the_same_byte_for_byte(here, there):
    one, other = (output(root, "ExampleGen", "examples") for root in (here[0], there[0]))
    assert tree_digest(one) == tree_digest(other)
    assert here[1].json["rows_digest"] == there[1].json["rows_digest"]


@whole
def test_statistics_are_the_same_up_to_the_order_of_sums(here, there):
    for split in SPLITS:
        assert_same_statistics(here[0], there[0], split)


@whole
def test_what_transform_learns_is_the_same_up_to_the_order_of_sums(here, there):
    one, other = (constants(root) for root in (here[0], there[0]))
    assert max(map(len, one)) > 1
    assert [len(values) for values in one] == [len(values) for values in other]
    for learned, again in zip(one, other, strict=True):
        assert learned == pytest.approx(again, rel=1e-5)


@whole
def test_the_models_are_as_good(here, there):
    one, other = (run[1].json["metrics"] for run in (here, there))
    assert flat(one).keys() == flat(other).keys()
    # Training carries the last bit of a mean on to where a loss differs by a hundredth.
    assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.02)


def assert_same_statistics(here, there, split):
    one, other = (flat(statistics(root, split)) for root in (here, there))
    assert len(one) > 100
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-12)
    assert texts(one) == texts(other)


@whole
def test_a_run_here_reuses_all_that_the_cluster_did(there, digits_folder):
    answer = mnist_tfx("run", "--data", digits_folder, "--root", there[0], *GIVEN, "--dry-run", "--json")
    assert set(answer.states().values()) == {"cached"}


@whole
def test_the_record_of_a_beam_node_names_the_engine(cluster, there):
    records = [json.loads(path.read_text()) for path in (there[0] / "records").glob("*.json")]
    named = {record["node"]: record["extra"]["beam"] for record in records if "beam" in record.get("extra", {})}
    assert named == dict.fromkeys(BEAM_NODES, cluster.engine)


@pytest.fixture(scope="session")
def refused(cluster, rows, tmp_path_factory):
    """Roots and answers of a run that SchemaGate stops, here and on the cluster."""
    folder = tmp_path_factory.mktemp("refused")
    roots = folder / "here", folder / cluster.engine
    ways = (), cluster.command()
    return [
        (root, mnist_tfx("run", "--data", rows, "--root", root, *way, "--json", timeout=1500))
        for root, way in zip(roots, ways, strict=True)
    ]


def said(answer):
    """What was refused, without the names of files that are each run's own."""
    return {part: answer.envelope["error"][part] for part in ("what", "where", "wanted", "got")}


def test_data_that_the_gate_refuses_are_the_same_there(refused):
    (here, one), (there, other) = refused
    assert (one.code, other.code) == (3, 3)
    assert said(one) == said(other)
    examples = [tree_digest(output(root, "ExampleGen", "examples")) for root in (here, there)]
    assert examples[0] == examples[1]
    for split in SPLITS:
        assert_same_statistics(here, there, split)


def test_an_unusable_row_is_refused_with_the_same_line(cluster, tmp_path):
    # Too far down to be seen before a worker reads it.
    data = ("run", "--data", csv_of(tmp_path / "train.csv", unusable={50_000}))
    here = mnist_tfx(*data, "--root", tmp_path / "here")
    there = mnist_tfx(*data, "--root", tmp_path / "there", *cluster.command(), timeout=1500)
    assert (here.code, there.code) == (2, 2)
    assert here.err.splitlines()[-1] == there.err.splitlines()[-1]


@whole
def test_beam_says_nothing_of_options_on_the_way(there):
    logs = [path.read_text() for path in (there[0] / "logs").rglob("*") if path.is_file()]
    assert not [line for text in logs for line in text.splitlines() if "unparseable" in line]
