"""Two task managers, each with a pool on a machine of its own: the same result."""

import pytest
from command_line import mnist_tfx
from engines import machines
from engines.cluster import Cluster
from engines.conftest import EVERYTHING
from engines.test_engines import SPLITS, assert_same_statistics
from run_results import output

from components.digest import tree_digest

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)),
    pytest.mark.skipif(not EVERYTHING, reason="make test-engines makes machines"),
]

HALF = {
    "taskmanager.numberOfTaskSlots": 1,
    "taskmanager.memory.process.size": "3g",
    "taskmanager.memory.network.min": "768m",
    "taskmanager.memory.network.max": "768m",
}
"""Settings of Flink for one slot instead of two."""


@pytest.fixture(scope="module")
def two_machines(engine):
    if engine != "flink":
        pytest.skip("Beam's job server for Spark would have to listen on a machine that these reach")
    if (why := machines.missing()) is not None:
        pytest.skip(why)
    with machines.network(2) as network:
        made = Cluster("flink", "flink-machines", HALF, network)
        made.up()
        try:
            yield made
        finally:
            made.down()


def test_two_machines_give_what_one_gives(two_machines, rows, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    codes = [
        mnist_tfx("run", "--data", rows, "--root", root, *way, timeout=1500).code
        for root, way in ((here, ()), (there, two_machines.command()))
    ]
    assert codes == [3, 3]
    examples = [tree_digest(output(root, "ExampleGen", "examples")) for root in (here, there)]
    assert examples[0] == examples[1]
    for split in SPLITS:
        assert_same_statistics(here, there, split)
    assert busy(two_machines) == {"10.213.77.2", "10.213.77.3"}


def busy(cluster):
    """The machines on which tasks of its jobs were executed."""
    found = set()
    for job in cluster.ask("/jobs/overview")["jobs"]:
        for vertex in cluster.ask(f"/jobs/{job['jid']}")["vertices"]:
            tasks = cluster.ask(f"/jobs/{job['jid']}/vertices/{vertex['id']}")["subtasks"]
            found |= {task["endpoint"].partition(":")[0] for task in tasks}
    return found
