"""One file, read by two tasks at parallelism 2, by the engine's own count of records."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from command_line import PROJECT
from engines.conftest import EVERYTHING, waited_for

from components.ingest.rows import UNIT_PIXELS

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)),
    pytest.mark.skipif(not EVERYTHING, reason="make test-engines counts records"),
]

UNITS = 4
SIDE = 28


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    """Images in one IDX file that is read in several parts, and their labels in another."""
    folder, rows = tmp_path_factory.mktemp("one"), UNITS * UNIT_PIXELS // SIDE**2
    pixels = np.random.default_rng(0).integers(0, 256, (rows, SIDE, SIDE), dtype=np.uint8)
    for name, values in (("images-idx3", pixels), ("labels-idx1", (pixels[:, 0, 0] % 10).astype(np.uint8))):
        header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + values.tobytes())
    return folder


def test_two_tasks_read_one_file(cluster, one_file, tmp_path):
    before = cluster.list()
    command = [sys.executable, "-m", "pipeline", "run", "--data", str(one_file), "--root", str(tmp_path / "root")]
    with subprocess.Popen(
        [*command, *cluster.command()], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        [job] = waited_for(
            lambda: [name for name, state in cluster.list().items() if name not in before and over(state)]
        )
        process.send_signal(signal.SIGINT)  # what the next nodes do is of no interest
        process.communicate(timeout=120)
    assert cluster.list()[job] == "FINISHED"
    written = {"flink": by_flink, "spark": by_spark}[cluster.engine](cluster, job)
    assert len(written) == 2
    assert all(records > 0 for records in written)


def over(state):
    return state not in ("RUNNING", "WAITING", "CREATED", "INITIALIZING")


def by_flink(cluster, job):
    """What each task of the operation that reads wrote."""
    identity = next(one["jid"] for one in cluster.ask("/jobs/overview")["jobs"] if one["name"] == job)
    vertices = cluster.ask(f"/jobs/{identity}")["vertices"]
    [reads] = [vertex for vertex in vertices if "Read" in vertex["name"]]
    tasks = cluster.ask(f"/jobs/{identity}/vertices/{reads['id']}")["subtasks"]
    cluster.keep("reads", {"name": reads["name"], "subtasks": tasks})
    return [task["metrics"]["write-records"] for task in tasks]


def by_spark(cluster, job):
    """What each task of the stage that reads wrote: the first to write more than there are units."""
    [identity] = [one["id"] for one in cluster.ask("/json/")["completedapps"] if one["name"] == job]
    [log] = (cluster.folder / "events").glob(f"{identity}*")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    stages = {}
    for event in events:
        if event["Event"] == "SparkListenerTaskEnd":
            stages.setdefault(event["Stage ID"], []).append(event["Task Metrics"])
    cluster.keep("reads", stages)
    for _, tasks in sorted(stages.items()):
        written = [task["Shuffle Write Metrics"]["Shuffle Records Written"] for task in tasks]
        if sum(written) > UNITS:
            return written
    return []
