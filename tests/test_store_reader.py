"""What the process answers that asks a metadata store: about hundreds of executions that had one artifact cached."""

import json
import shutil
from collections import Counter

import pytest
from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from components.errors import EnvironmentProblem
from pipeline.metadata import reader_process
from pipeline.metadata.address import SqliteFile
from pipeline.metadata.reader import Event, Snapshot, StoreReader

RUNS = 120
CONTEXTS = sorted(("pipeline_run", f"run-{number}") for number in range(RUNS))
URI = "/root/artifacts/ExampleGen/examples/1"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store in which one execution made an artifact and the others had it cached, each in a run's context of its own."""
    file = tmp_path_factory.mktemp("store") / "metadata.db"
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    store = metadata_store.MetadataStore(config)
    artifact_type = store.put_artifact_type(pb.ArtifactType(name="Examples"))
    execution_type = store.put_execution_type(pb.ExecutionType(name="ExampleGen"))
    context_type = store.put_context_type(pb.ContextType(name="pipeline_run"))
    [artifact] = store.put_artifacts([pb.Artifact(type_id=artifact_type, uri=URI)])
    for number in range(RUNS):
        state = pb.Execution.COMPLETE if number == 0 else pb.Execution.CACHED
        execution = pb.Execution(type_id=execution_type, last_known_state=state)
        event = pb.Event(artifact_id=artifact, type=pb.Event.OUTPUT)
        given = pb.Artifact(id=artifact, type_id=artifact_type, uri=URI)
        store.put_execution(execution, [(given, event)], [pb.Context(type_id=context_type, name=f"run-{number}")])
    return file


@pytest.fixture
def calls(monkeypatch):
    """How often ml_metadata is called, by method."""
    counted = Counter()
    real = metadata_store.MetadataStore._call

    def call(self, name, *rest):
        counted[name] += 1
        return real(self, name, *rest)

    monkeypatch.setattr(metadata_store.MetadataStore, "_call", call)
    return counted


@pytest.fixture
def without_filters(monkeypatch):
    """Makes a store refuse filters as one of ml_metadata 1.21 does, in the lane that still has them."""

    def refuse(*_, **__):
        raise errors.UnimplementedError("filter_query is not supported - ZetaSQL dependency removed")

    monkeypatch.setattr(metadata_store.MetadataStore, "get_lineage_subgraph", refuse)


def takes_filters(place):
    """Return whether the store of this lane does."""
    store = reader_process._open_store(place, read_only=True)
    try:
        return bool([*reader_process._edges(store, "executions", "associations", [1])])
    except errors.UnimplementedError:
        return False


def asked(place):
    answer = reader_process.answer({"metadata": str(place), "made": [URI], "read": []})["answer"]
    return Snapshot.from_dict(json.loads(json.dumps(answer)))


def check(answer):
    assert sorted(name for one in answer.executions.values() for name in one.contexts) == CONTEXTS
    assert Counter(one.state for one in answer.executions.values()) == {"COMPLETE": 1, "CACHED": RUNS - 1}
    [artifact] = answer.artifacts[URI]
    assert sorted(artifact.contexts) == CONTEXTS


def test_every_execution_comes_with_its_contexts_however_many_there_are(place):
    check(asked(place))


@pytest.mark.usefixtures("without_filters")
def test_a_store_that_takes_no_filters_gives_the_same_by_its_list_of_contexts(place, calls):
    check(asked(place))
    assert calls["GetExecutionsByContext"] == calls["GetArtifactsByContext"] == RUNS


@pytest.mark.usefixtures("without_filters")
def test_a_store_with_many_more_contexts_is_asked_about_each_node(place, calls, tmp_path):
    crowded = tmp_path / "metadata.db"
    shutil.copy(place, crowded)
    store = reader_process._open_store(crowded, read_only=False)
    other = store.get_context_type("pipeline_run").id
    store.put_contexts([pb.Context(type_id=other, name=f"of another root {number}") for number in range(2 * RUNS)])
    check(asked(crowded))
    assert (calls["GetContextsByExecution"], calls["GetExecutionsByContext"]) == (RUNS, 0)


def test_what_hundreds_of_runs_repeat_is_written_once(place):
    answer = asked(place)
    assert len({one.content for one in answer.executions.values()}) == 2
    assert {one.content.events for one in answer.executions.values()} == {
        (Event(artifact=answer.artifacts[URI][0].id, type="OUTPUT", channel="", index=0, path="none"),)
    }


def test_a_question_about_hundreds_of_runs_takes_a_few_requests(place, calls):
    if not takes_filters(place):
        pytest.skip("ml_metadata 1.21 takes no filters")
    calls.clear()
    asked(place)
    assert calls["GetLineageSubgraph"] == 1 + -(-RUNS // reader_process.AT_ONCE)
    assert sum(calls.values()) < 12


def test_a_question_that_is_sent_ahead_is_answered_as_one_that_is_not(place, tmp_path):
    file, other = SqliteFile(path=place), SqliteFile(path=tmp_path / "none.db")
    with StoreReader() as reader:
        reader.ask_ahead(file, [URI], [])
        asked_first = reader.ask(file, [URI], [])
        reader.ask_ahead(file, [URI], [])
        assert reader.ask(file, [], []).executions == {}  # another one than was sent
        reader.ask_ahead(file, [], [])
        reader.ask_ahead(file, [URI], [])
        assert reader.ask(file, [URI], []).artifacts == asked_first.artifacts == reader.ask(file, [URI], []).artifacts
        reader.ask_ahead(other, [URI], [])
        with pytest.raises(EnvironmentProblem):
            reader.ask(other, [URI], [])
        reader.ask_ahead(file, [URI], [])  # and nobody asks
