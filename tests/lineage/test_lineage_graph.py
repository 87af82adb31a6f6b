"""From a served version back to its data files: complete, whatever the depth."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
from command_line import validator

from components.errors import BadInput, EnvironmentProblem
from components.serving import PROVENANCE
from pipeline.lineage.show import ServedLineage, show
from pipeline.provenance.ancestry import DATA, EXECUTION, Edge, Graph, Node, build_graph, closure, reachable
from pipeline.provenance.approvals import Approval
from pipeline.provenance.record_store import RecordChanged, RecordMissing

NODES = 12
DEEP = 3000


@pytest.fixture
def lineage(root):
    return show(root.path)


def upstream(graph, start):
    found = reachable([start], lambda node: [edge.source for edge in graph.incoming.get(node, ())])
    return tuple(found)[1:]


def downstream(graph, start):
    found = reachable([start], lambda node: [edge.target for edge in graph.outgoing.get(node, ())])
    return tuple(found)[1:]


def served_lineage(fields):
    """A lineage out of what `to_dict` gave: nothing of it is lost there."""
    nodes = [Node(**{key: value for key, value in node.items() if key != "state"}) for node in fields["nodes"]]
    graph = Graph({node.id: node for node in nodes}, tuple(Edge(**edge) for edge in fields["edges"]))
    approvals = tuple(Approval(**one) for one in fields["approvals"])
    names = [f.name for f in dataclasses.fields(ServedLineage) if f.name not in ("graph", "approvals")]
    return ServedLineage(**{name: fields[name] for name in names}, graph=graph, approvals=approvals)


def node_named(lineage, name):
    (found,) = [node for node in lineage.graph.nodes.values() if node.name == name]
    return found


def test_a_version_leads_back_to_all_nodes_and_data_files(lineage):
    behind = upstream(lineage.graph, lineage.id)
    kinds = [lineage.graph.nodes[id_].kind for id_ in behind]
    assert kinds.count(EXECUTION) == NODES
    assert {lineage.graph.nodes[id_].name for id_ in behind if lineage.graph.nodes[id_].kind == DATA} == {
        "train-images-idx3-ubyte.gz",
        "train-labels [bold]idx1.gz",
    }


def test_a_data_file_leads_forward_to_the_version_through_the_autoencoder(lineage):
    images = node_named(lineage, "train-images-idx3-ubyte.gz")
    forward = downstream(lineage.graph, images.id)
    assert lineage.id in forward
    assert node_named(lineage, "Autoencoder").id in forward


def test_the_autoencoder_is_the_base_model_of_the_classifier(lineage):
    classifier, autoencoder = node_named(lineage, "Classifier").id, node_named(lineage, "Autoencoder").id
    (edge,) = [edge for edge in lineage.graph.incoming[classifier] if edge.source == autoencoder]
    assert edge.channel == "base_model"


def test_the_baseline_is_said_also_when_there_was_none(lineage):
    assert lineage.baseline == "none"


def test_nodes_of_an_earlier_run_are_cached_in_the_run_that_pushed(root):
    root.run_id = "run-2"
    for node in ("Classifier", "Baseline", "Evaluator", "SavedModelCheck"):
        root.execute(node, salt="again")
    root.push(2)
    lineage = show(root.path)
    states = {node.name: lineage.state(node) for node in lineage.graph.nodes.values() if node.kind == EXECUTION}
    assert (lineage.version, lineage.run_id) == (2, "run-2")
    assert {name for name, state in states.items() if state == "executed"} == {
        "Classifier",
        "Baseline",
        "Evaluator",
        "SavedModelCheck",
        "Pusher",
    }
    assert show(root.path, 1).run_id == "run-1"


def test_a_lineage_is_json_by_its_committed_schema_and_comes_back(lineage):
    fields = json.loads(json.dumps(lineage.to_dict()))
    validator("Lineage").validate(fields)
    assert served_lineage(fields) == lineage
    assert fields["nodes"][0]["id"] == "version:1"


def test_a_moved_root_has_the_same_lineage(lineage, root, tmp_path):
    shutil.copytree(root.path, tmp_path / "copied elsewhere")
    assert show(tmp_path / "copied elsewhere") == lineage


def test_a_push_that_was_not_recorded_is_said(root):
    root.paths.ledger.unlink()
    lineage = show(root.path)
    assert not lineage.recorded
    assert len(upstream(lineage.graph, lineage.id)) == NODES - 1 + 2


def test_no_version_yet_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="no version is served yet"):
        show(tmp_path)


def test_an_unknown_version_is_answered_with_those_known(root):
    shutil.copytree(root.paths.serving / "1", root.paths.serving / "10")
    with pytest.raises(BadInput, match=r"wanted one of 1, 10, got 2"):
        show(root.path, 2)


def test_stages_and_strays_in_the_serving_directory_are_no_versions(root):
    for name in (".stage-5b1d", "latest", "2.old", "-3", "²"):
        (root.paths.serving / name).mkdir()
    (root.paths.serving / "7").write_bytes(b"a file")
    assert show(root.path).version == 1


def test_a_missing_record_is_named(root):
    gone = root.known["SchemaGate"][0]
    (root.paths.records / f"{gone}.json").unlink()
    with pytest.raises(RecordMissing, match=gone):
        show(root.path)


def test_a_changed_record_is_named(root):
    changed = root.paths.records / f"{root.known['Transform'][0]}.json"
    changed.write_bytes(changed.read_bytes().replace(b"digits", b"letter"))
    with pytest.raises(RecordChanged, match=changed.name):
        show(root.path)


def test_a_version_without_provenance_is_named(root):
    (root.paths.serving / "1" / PROVENANCE).unlink()
    with pytest.raises(EnvironmentProblem, match=r"serving/1/assets.extra/provenance.json: no such file"):
        show(root.path)


def test_a_run_where_an_execution_should_be_is_refused(make_run):
    with pytest.raises(EnvironmentProblem, match="not the record of an execution"):
        closure({"a" * 64: make_run()}, ["a" * 64])


@pytest.mark.fault(40)
def test_a_chain_of_three_thousand_generations_is_walked_whole(make_chain):
    records, last = make_chain(DEEP)
    built = build_graph(records, [last])
    assert len(closure(records, [last])) == DEEP
    assert len(upstream(built, last)) == DEEP - 1
    assert len(downstream(built, next(iter(records)))) == DEEP - 1


def test_a_node_with_ten_thousand_sources_is_answered_whole():
    nodes = {str(number): Node(id=str(number), kind=DATA, name="x", sha256="") for number in range(10_001)}
    edges = tuple(Edge(source=str(n), target="10000", channel="data", sha256="") for n in range(10_000))
    assert len(upstream(Graph(nodes, edges), "10000")) == 10_000


def test_showing_needs_neither_tensorflow_nor_tfx_and_is_imported_in_no_time():
    script = (
        "import sys, time; start = time.process_time(); import pipeline.cli.lineage.tree;"
        "heavy = {'tensorflow', 'tfx', 'numpy', 'pydantic', 'ml_metadata', 'google.protobuf'} & set(sys.modules);"
        "assert not heavy, heavy; print(time.process_time() - start)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.3
