"""What tasks handed on becomes an ordinary root, and nothing is believed that does not hash to its name."""

import json
from pathlib import Path

import pytest
from kubeflow.handed_on import RUN, lineage, record

from components.errors import BadInput, EnvironmentProblem
from pipeline.kubeflow import names
from pipeline.kubeflow.gather.gather import Gathered, gather, gather_run
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import ArtifactRef
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.records import ExecutionRecord, NodeOutcome
from pipeline.root.paths import RunPaths

RECIPE = {"data": {"shape": [8, 8], "pixel_max": 16, "label_count": 10}}


@pytest.fixture
def cluster(tmp_path: Path) -> RunPaths:
    """A copy of a bucket after a run of two nodes, each with the records behind it."""
    paths = RunPaths(tmp_path / "copy")
    first = record(paths, "Transform")
    known = record_store.write(lineage(paths, "Transform").records, first)
    second = record(paths, "Autoencoder", reads=(known, first))
    for one in (first, second):
        record_store.write(lineage(paths, "Autoencoder").records, one)
    driver = lineage(paths, names.DRIVER).root
    driver.mkdir(parents=True)
    (driver / names.RUN_FILE).write_text(json.dumps({names.RECIPE: RECIPE, "sources": []}))
    return paths


def nodes(paths: RunPaths) -> list[str]:
    return [line.node for line in read_ledger(paths.ledger).lines if line.event == Event.COMMIT]


def test_records_and_lines_are_put_where_a_local_run_has_them(cluster: RunPaths) -> None:
    gather_run(cluster, RUN)
    assert len(record_store.scan(cluster.records)) == 2
    assert nodes(cluster) == ["Transform", "Autoencoder"]
    assert json.loads(cluster.identity.read_text())["signature"]["shape"] == [8, 8]


def test_gathering_twice_adds_nothing(cluster: RunPaths) -> None:
    gather_run(cluster, RUN)
    before = cluster.ledger.read_bytes()
    gather_run(cluster, RUN)
    assert cluster.ledger.read_bytes() == before


def test_the_run_record_says_what_became_of_the_nodes(cluster: RunPaths) -> None:
    found = gather_run(cluster, RUN)
    assert (found.status, found.version) == ("failed", None)
    assert {node.id: node.state for node in found.nodes} == {"Transform": "executed", "Autoencoder": "executed"}
    assert all(node.record for node in found.nodes)


def test_tasks_that_are_no_nodes_are_left_out_of_the_run_record(cluster: RunPaths) -> None:
    outcomes = [NodeOutcome(id=id_, state="executed", seconds=1, why="", record=None) for id_ in ("Data", "Transform")]
    folders = {task: lineage(cluster, task).root for task in (names.DRIVER, "Transform")}
    run = Gathered(
        run_id=RUN,
        pipeline="digits",
        status="ok",
        error=None,
        nodes=tuple(outcomes),
        lineage=folders,
        started=0.0,
        finished=1.0,
    )
    assert [node.id for node in gather(cluster, run).nodes] == ["Transform"]


def test_a_forged_record_is_refused_and_no_line_is_written(cluster: RunPaths) -> None:
    forged = next(lineage(cluster, "Autoencoder").records.glob("*.json"))
    forged.write_text(forged.read_text().replace('"seconds":1.0', '"seconds":2.0'))
    with pytest.raises(EnvironmentProblem, match="record was changed"):
        gather_run(cluster, RUN)
    assert nodes(cluster) == []


def test_records_with_a_gap_are_refused(cluster: RunPaths) -> None:
    missing = next(iter(record_store.scan(lineage(cluster, "Transform").records)))
    for task in ("Transform", "Autoencoder"):
        (lineage(cluster, task).records / f"{missing}.json").unlink()
    with pytest.raises(EnvironmentProblem, match="missing"):
        gather_run(cluster, RUN)
    assert nodes(cluster) == []


def test_a_run_that_left_nothing_here_is_refused_with_what_to_do(cluster: RunPaths) -> None:
    with pytest.raises(BadInput, match=r"nothing of this run is here.*copy everything below the pipeline root"):
        gather_run(cluster, "run-2")


def test_a_run_id_is_no_pattern(cluster: RunPaths) -> None:
    with pytest.raises(BadInput, match="nothing of this run is here"):
        gather_run(cluster, "run-*")


def test_another_pipelines_root_is_left_alone(cluster: RunPaths) -> None:
    cluster.identity.write_text(json.dumps({"pipeline": "mnist", "signature": {}}))
    with pytest.raises(BadInput, match="another pipeline lives in this root"):
        gather_run(cluster, RUN)
    assert nodes(cluster) == []


def test_reads_are_told_by_their_records(cluster: RunPaths) -> None:
    gather_run(cluster, RUN)
    by_node = {r.node: r for r in record_store.scan(cluster.records).values() if isinstance(r, ExecutionRecord)}
    [read] = by_node["Autoencoder"].inputs["read"]
    assert isinstance(read, ArtifactRef)
    assert read.record in read_ledger(cluster.ledger).order
