"""Everything upstream of a version, by our own walk: complete, counted, and quick in a large store."""

import shutil
import time

import many_records
import pytest
from command_line import in_process

from components.errors import BadInput, CannotTell, EnvironmentProblem
from pipeline.audit.evidence import Evidence
from pipeline.audit.ledger_check import push_behind
from pipeline.audit.served import look_at
from pipeline.lineage.impact import impact
from pipeline.lineage.index import open_lineage
from pipeline.lineage.show import show
from pipeline.lineage.trace import trace
from pipeline.lineage.versions import recorded
from pipeline.provenance import records
from pipeline.provenance.plain_files import Hasher
from pipeline.provenance.record_store import RecordChanged, RecordMissing
from pipeline.provenance.serving_directory import ServingDirectory


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return many_records.build(tmp_path_factory.mktemp("many") / "root", generations=40, runs=3)


def upstream(many):
    """What the last version must be traced to: all that is older, and its own run."""
    return (many.generations - 1) * many.runs * len(many_records.NODES) + len(many_records.NODES)


def test_every_question_names_the_push_whose_statement_is_served(root):
    first = root.known["Pusher"][0]
    root.run_id = "run-2"
    for node in ("Evaluator", "Pusher"):
        root.execute(node, salt="again")
    root.ledger.pushed(
        node="Pusher", run_id="run-2", version=1, digest=root.known["Classifier"][1].outputs["model"][0].sha256
    )
    served = look_at(root.paths.serving / "1", "serving/1", Hasher())
    evidence = Evidence(root.paths)
    pushes = {
        "trace": trace(open_lineage(root.path)).push.heads[0],
        "show": show(root.path, 1).graph.edges[0].source,
        "diff": records.record_hash(recorded(root.path, 1).executions["Pusher"]),
        "serving": ServingDirectory.of(root.paths).pushes[1].record,
        "audit": push_behind(evidence, served, evidence.chain.pushes(1)).record,
    }
    assert pushes == dict.fromkeys(pushes, first)


def test_a_version_is_traced_to_all_nodes_and_data_files(root):
    found = trace(open_lineage(root.path))
    assert {step.node for _, step in found.steps} == set(root.known)
    assert found.steps[0][1].node == "Pusher"
    assert [depth for depth, _ in found.steps] == sorted(depth for depth, _ in found.steps)
    assert [file.name for file in found.data] == ["train-images-idx3-ubyte.gz", "train-labels [bold]idx1.gz"]
    assert found.nodes_visited == 1 + len(root.known) + 2
    assert found.push.served


def test_an_older_version_is_traced_to_its_own_run(root):
    root.run_id = "run-2"
    for node in ("Classifier", "Baseline", "Evaluator", "SavedModelCheck"):
        root.execute(node, salt="again")
    root.push(2)
    history = open_lineage(root.path)
    assert {step.run_id for _, step in trace(history, 1).steps} == {"run-1"}
    assert trace(history).push.version == 2


def test_a_version_that_was_removed_is_traced_from_its_records(root):
    shutil.rmtree(root.paths.serving / "1")
    found = trace(open_lineage(root.path), 1)
    assert not found.push.served
    assert len(found.steps) == len(root.known)


def test_a_push_that_was_not_recorded_is_traced_from_the_provenance(root):
    root.paths.ledger.unlink()
    found = trace(open_lineage(root.path), 1)
    assert (found.push.recorded, found.push.served) == (False, False)
    assert len(found.steps) == len(root.known) - 1


def test_a_version_with_another_models_bytes_is_not_called_served(root):
    path = root.paths.serving / "1" / "assets.extra" / "provenance.json"
    path.write_bytes(
        path.read_bytes().replace(root.known["Classifier"][1].outputs["model"][0].sha256.encode(), b"0" * 64)
    )
    assert not trace(open_lineage(root.path), 1).push.served


@pytest.mark.parametrize("damage", ["without provenance", "with that of another model"])
def test_no_older_version_stands_in_for_the_newest_that_is_served(root, damage):
    for node in ("Classifier", "Baseline", "Evaluator", "SavedModelCheck"):
        root.execute(node, salt="again")
    root.push(2)
    path = root.paths.serving / "2" / "assets.extra" / "provenance.json"
    if damage == "without provenance":
        path.unlink()
    else:
        digest = root.known["Classifier"][1].outputs["model"][0].sha256
        path.write_text(path.read_text().replace(digest, "0" * 64))
    history = open_lineage(root.path)
    with pytest.raises(CannotTell, match="version 2: what it was made from is not known"):
        trace(history)
    assert trace(history, 1).push.version == 1
    assert trace(history, 2).push.version == 2


def test_a_folder_of_somebody_elses_is_not_taken_for_the_newest(root):
    shutil.copytree(root.paths.serving / "1", root.paths.serving / "9")
    (root.paths.serving / "9" / "assets.extra" / "provenance.json").unlink()
    history = open_lineage(root.path)
    assert trace(history).push.version == 1
    with pytest.raises(CannotTell, match="version 9"):
        trace(history, 9)


def test_no_version_and_no_pipeline_are_one_line(root, tmp_path):
    with pytest.raises(BadInput, match="wanted one of 1, got 7"):
        trace(open_lineage(root.path), 7)
    with pytest.raises(BadInput, match="no pipeline has run here"):
        open_lineage(tmp_path / "nothing")


def test_a_record_that_the_ledger_knows_and_nobody_has_is_named(root):
    gone = root.known["SchemaGate"][0]
    (root.paths.records / f"{gone}.json").unlink()
    with pytest.raises(RecordMissing, match=gone):
        open_lineage(root.path)


@pytest.mark.parametrize(("data", "error"), [(b"{}", RecordChanged), (b"", RecordChanged)])
def test_a_changed_record_is_named(root, data, error):
    known = root.known["Transform"][0]
    (root.paths.records / f"{known}.json").write_bytes(data)
    with pytest.raises(error, match=known):
        open_lineage(root.path)


def test_a_record_of_another_release_is_refused(root):
    many_records.write_as_record(root.paths.records, b'{"schema_version":99}')
    with pytest.raises(EnvironmentProblem, match="of another release"):
        open_lineage(root.path)


def test_a_deep_and_wide_store_is_traced_whole(many):
    found = trace(open_lineage(many.root))
    assert len(found.steps) == upstream(many)
    assert found.depth >= many.generations
    assert len({step.record for _, step in found.steps}) == len(found.steps)


def test_the_answer_is_json_by_its_schema_and_a_table(root, many):
    for path in (root.path, many.root):
        assert in_process("lineage", "trace", "--root", path, "--json").status == "ok"
    text = in_process("lineage", "trace", "--root", many.root).out
    assert f"and {upstream(many) - 500} more executions" in text
    assert f"{trace(open_lineage(many.root)).nodes_visited} nodes visited" in text


@pytest.mark.fault(40)
@pytest.mark.slow
def test_a_hundred_thousand_artifacts_two_thousand_generations_deep_are_walked_in_proportion_to_their_number(tmp_path):
    """A second each would do (`make bench` prints 0.26 and 0.42); a walk that is not linear takes minutes."""
    many = many_records.build(tmp_path / "root", generations=2250, runs=3)
    assert many.artifacts > 100_000
    history = open_lineage(many.root)
    started = time.process_time()
    found = trace(history)
    traced = time.process_time()
    reached = impact(history, [many.first_payload])
    done = time.process_time()
    assert len(found.steps) == upstream(many)
    assert len(reached.models) == many.versions - (many.runs - 1)
    assert max(traced - started, done - traced) < 10
