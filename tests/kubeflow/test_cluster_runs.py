"""`kubeflow runs`: what the server tells of its runs, newest first."""

import kfp_server_api
import pytest
from kubeflow.cluster_command import QUICK, invoke
from kubeflow.cluster_files import run
from kubeflow.kfp_server import Fault

from components.errors import BadInput
from pipeline.cli.kubeflow.runs import runs as command
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.connection import Address, connect


def listed(server, *arguments):
    return invoke(command, "--host", server.url, *arguments)


def connected(server):
    return connect(Address(host=server.url, retry=QUICK))


def test_runs_come_newest_first_with_state_duration_and_schedule(server):
    night = kfp_server_api.V2beta1RecurringRun(display_name="night", recurring_run_id="s-1")
    server.add("recurringruns", night)
    status = getattr(kfp_server_api, kfp_server_api.V2beta1Run.openapi_types["error"])  # renamed between versions
    server.add("runs", run("old", "FAILED", error=status(code=2, message="no GPU")))
    server.add("runs", run("new", minutes=5, recurring_run_id="s-1"))
    server.add("runs", run("newest", minutes=9, recurring_run_id="gone"))
    answer = listed(server, "--json")
    found = answer.json["runs"]
    assert [one["name"] for one in found] == ["newest", "new", "old"]
    assert [one["schedule"] for one in found] == ["gone", "night", None]
    assert (found[2]["state"], found[2]["error"], found[2]["seconds"]) == ("FAILED", "no GPU", 90.0)
    assert found[2]["created"] == "2026-03-01T00:00:00Z"


def test_the_table_shows_the_same(server):
    server.add("runs", run("mine", run_id="r-1"))
    out = listed(server).out
    assert [*out.splitlines()[1].split()] == ["r-1", "mine", "SUCCEEDED", "2026-03-01T00:00:00Z", "0:01:30"]


def test_a_run_that_goes_on_lasts_until_now_and_the_servers_zero_is_no_end(server):
    going, canceled = run("going", "RUNNING"), run("canceled", "CANCELED")
    going.finished_at = canceled.finished_at = going.created_at.replace(year=1970)
    server.add("runs", going)
    server.add("runs", canceled)
    seconds = {one.name: one.seconds for one in cluster_runs.listed(connected(server))}
    assert seconds["going"] is not None
    assert seconds["going"] > 0
    assert seconds["canceled"] is None


def test_runs_of_one_state_or_one_experiment_alone(server):
    mine = kfp_server_api.V2beta1Experiment(display_name="mine", experiment_id="e-1")
    server.add("experiments", mine)
    server.add("runs", run("a", "FAILED", experiment_id="e-1"))
    server.add("runs", run("b", experiment_id="e-1"))
    server.add("runs", run("c", "FAILED", experiment_id="e-2"))
    assert {one["name"] for one in listed(server, "--state", "failed", "--json").json["runs"]} == {"a", "c"}
    assert {one["name"] for one in listed(server, "--experiment", "mine", "--json").json["runs"]} == {"a", "b"}
    unknown = listed(server, "--experiment", "theirs")
    assert unknown.code == 2
    assert "no such experiment: wanted one of mine, got theirs" in unknown.err


def test_as_many_as_are_wanted(server):
    for number in range(5):
        server.add("runs", run(f"r{number}", minutes=number))
    assert [one["name"] for one in listed(server, "--limit", 2, "--json").json["runs"]] == ["r4", "r3"]


def test_a_run_is_found_by_id_and_by_name(server):
    made = server.add("runs", run("mine"))
    connection = connected(server)
    assert cluster_runs.find(connection, made["run_id"]).name == "mine"
    assert cluster_runs.find(connection, "mine").id == made["run_id"]


@pytest.mark.parametrize("wanted", ["theirs", "01234567-89ab-cdef-0123-456789abcdef"])
def test_a_run_that_was_never_there_is_told(server, wanted):
    server.add("runs", run("mine"))
    with pytest.raises(BadInput, match=f"no such run: got {wanted}: mnist-tfx kubeflow runs lists them"):
        cluster_runs.find(connected(server), wanted)


def test_a_name_that_several_have_is_told_with_their_ids(server):
    ids = [server.add("runs", run("twin"))["run_id"] for _ in range(2)]
    with pytest.raises(BadInput, match=f"2 runs have this name: wanted an id: {ids[0]}, {ids[1]}"):
        cluster_runs.find(connected(server), "twin")


def test_states_and_fields_of_a_newer_server_are_shown_as_they_are(server):
    body = '{"runs": [{"run_id": "r-1", "display_name": "x", "state": "RESUMING", "novelty": {"a": 1}}]}'
    server.faults.append(Fault("garbage", "GET", "/runs", body=body))
    (found,) = cluster_runs.listed(connected(server))
    assert (found.state, found.created, found.seconds) == ("RESUMING", None, None)


@pytest.mark.parametrize("body", ['{"runs": [{"display_name": "x"}]}', '{"runs": [3]}', '{"runs": 3}'])
def test_an_answer_of_another_shape_is_told(server, body):
    server.faults.append(Fault("garbage", "GET", "/runs", body=body))
    answer = listed(server)
    assert answer.code == 4
    assert "another version" in answer.err
