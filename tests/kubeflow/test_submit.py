"""`kubeflow submit`: one run, whatever the server does, with the parameters that were meant."""

import dataclasses
import sys
import time
import types
from pathlib import Path

import pytest
import yaml
from kubeflow.cluster_command import QUICK, invoke
from kubeflow.cluster_files import compiled, spec, with_data
from kubeflow.kfp_server import HTML, Fault, KfpServer

from components.errors import BadInput, Refused
from kubeflow import verdicts
from pipeline.cli.kubeflow.submit import submit as command
from pipeline.kubeflow import document, run_parameters
from pipeline.kubeflow.client import submission
from pipeline.kubeflow.client.connection import Address, Connection, connect
from pipeline.kubeflow.client.submission import Work
from pipeline.kubeflow.client.transport import RetryPolicy, ServerUnavailable
from pipeline.kubeflow.compiler.containers import COMMAND
from pipeline.kubeflow.lint.check import lint

PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"work": {}}}}}}


@pytest.fixture
def file(tmp_path) -> Path:
    return compiled(tmp_path)


pytestmark = pytest.mark.usefixtures("hasty", "soon")


@pytest.fixture
def soon(monkeypatch):
    """Has a run that is waited for looked at a hundred times a second."""
    monkeypatch.setattr(submission.wait, "__defaults__", ((), 0.01))


def submitted(server: KfpServer, file: Path, *more: object, **how):
    return invoke(command, file, "--host", server.url, "--skip-lint", "--json", *more, **how)


def connected(server: KfpServer, retry: RetryPolicy = QUICK) -> Connection:
    return connect(Address(host=server.url, retry=retry))


def test_a_run_is_started_in_the_pipelines_own_experiment(server, file):
    answer = submitted(server, file, "--param", "source=/data/d", "--param", "seed=7", "--run-name", "first")
    assert answer.code == 0
    (made,) = server.runs
    assert (made.display_name, made.run_id) == ("first", answer.json["run"]["id"])
    assert made.runtime_config.parameters == {"source": "/data/d", "seed": 7}
    assert server.things["experiments"][made.experiment_id].display_name == "digits"
    assert answer.json["link"] == f"{server.url}/#/runs/details/{made.run_id}"
    assert answer.err == ""


def test_what_is_sent_is_the_file_with_its_platform_document(server, tmp_path):
    assert submitted(server, compiled(tmp_path, PLATFORM)).code == 0
    sent = server.runs[0].pipeline_spec
    assert sent["pipeline_spec"]["pipelineInfo"]["name"] == "digits"
    assert list(sent["platform_spec"]["platforms"]) == ["kubernetes"]


def test_names_root_and_account_are_those_given_or_those_of_the_file(server, tmp_path):
    file = compiled(tmp_path, comment="# PIPELINE DEFINITION\n# Service account: runner\n")
    submitted(server, file)
    submitted(
        server, file, "--service-account", "me", "--pipeline-root", "s3://b/r", "--experiment", "night", "--no-cache"
    )
    first, second = server.runs
    assert (first.service_account, second.service_account) == ("runner", "me")
    assert second.runtime_config.pipeline_root == "s3://b/r"
    assert server.things["experiments"][second.experiment_id].display_name == "night"
    caching = [one.pipeline_spec["root"]["dag"]["tasks"]["Work"].get("cachingOptions") for one in server.runs]
    assert caching == [None, {}]  # false is left out by protobuf


def test_every_run_has_a_name_of_its_own(server, file):
    submitted(server, file)
    submitted(server, file)
    first, second = (one.display_name for one in server.runs)
    assert first != second
    assert first.startswith("digits-20")


@pytest.mark.parametrize("fault", [503, 500, "drop", "garbage"])
def test_a_failure_after_the_run_was_made_does_not_make_a_second_one(server, file, fault):
    server.faults.append(Fault(fault, "POST", "/runs", times=1, done=True, body="{"))
    answer = submitted(server, file, "--run-name", "mine")
    assert answer.code == 0
    (made,) = server.runs
    assert answer.json["run"]["id"] == made.run_id


@pytest.mark.parametrize("fault", [503, 429])
def test_a_run_that_the_server_has_turned_away_is_asked_for_again(server, file, fault):
    server.faults.append(Fault(fault, "POST", "/runs", times=2))
    assert submitted(server, file).code == 0
    assert len(server.runs) == 1


UNDER_WAY = [
    Fault(504),
    Fault(504, body="upstream request timeout"),
    Fault(502, body=HTML),
    Fault(500),
    Fault(503, body="upstream connect error"),
    Fault(503, body='{"message": "no healthy upstream"}'),
    Fault("drop"),
]


@pytest.mark.parametrize("fault", UNDER_WAY, ids=lambda fault: f"{fault.kind} {fault.body}")
def test_a_run_that_may_be_under_way_is_never_asked_for_again(server, file, fault):
    server.faults.append(dataclasses.replace(fault, method="POST", path="/runs"))
    answer = submitted(server, file)
    assert answer.code == 4
    assert "so it is not known whether the run was made" in answer.err
    assert [method for method, path in server.asked if path.endswith("/runs")].count("POST") == 1


@pytest.mark.parametrize("fault", [504, "drop"])
def test_a_run_that_is_made_after_a_gateway_has_given_up_is_found_and_the_only_one(server, file, fault):
    server.faults.append(Fault(fault, "POST", "/runs", times=1, late=0.2))
    answer = submitted(server, file, "--run-name", "mine")
    assert answer.code == 0
    time.sleep(0.3)  # a second one would be there by then
    (made,) = server.runs
    assert answer.json["run"]["id"] == made.run_id


REFUSED = [verdict for verdict in verdicts.read() if verdict.refused]


@pytest.mark.parametrize("verdict", REFUSED, ids=lambda verdict: verdict.change)
def test_every_refusal_that_kubeflow_was_seen_to_give_is_one_in_its_own_words(server, file, verdict):
    server.verdict = verdict
    started = time.monotonic()
    answer = submitted(server, file)
    assert (answer.code, time.monotonic() - started < 5, server.runs) == (2, True, [])
    assert [method for method, path in server.asked if path.endswith("/runs")].count("POST") == 1
    said = answer.err.partition("the server refuses it (500): got ")[2]
    assert " ".join(verdict.words.split())[:200] in said
    assert (".go:" in said, "github.com" in said, "Failed to create a new run" in said) == (False, False, False)


@pytest.mark.parametrize(
    ("given", "where"),
    [(("--run-name", "a {{workflow.name}}"), "the name"), (("--param", "source={{inputs.x}}"), "--param source")],
)
def test_a_placeholder_of_argos_in_a_name_or_a_value_is_refused_before_the_server_is_asked(server, file, given, where):
    answer = submitted(server, file, *given)
    assert answer.code == 2
    assert f"{where}: a placeholder of Argo's" in answer.err
    assert server.asked == []


def test_the_server_refuses_such_a_placeholder_as_well(server, tmp_path):
    container = {"image": "i@sha256:" + "0" * 64, "command": ["true"], "args": ["{{workflow.x}}"]}
    file = compiled(tmp_path, deploymentSpec={"executors": {"work": {"container": container}}})
    answer = submitted(server, file, "--skip-lint")
    assert answer.code == 2
    assert "failed to resolve {{workflow.x}}" in answer.err


def cached(folder):
    root = spec()["root"]
    root["dag"]["tasks"]["Work"]["cachingOptions"] = {"enableCache": True}
    return compiled(folder, root=root)


@pytest.mark.parametrize("uri", ["minio://other/m", "s3://mlpipeline/m"])
def test_a_root_in_another_bucket_needs_no_cache_since_the_launcher_cannot_open_what_that_hands_out(
    server, tmp_path, uri
):
    file = cached(tmp_path)
    refused = submitted(server, file, "--pipeline-root", uri)
    assert refused.code == 2
    assert "add --no-cache, or compile the file again" in refused.err
    assert server.asked == []
    assert submitted(server, file, "--pipeline-root", uri, "--no-cache").code == 0
    assert submitted(server, file, "--pipeline-root", "minio://mlpipeline/other").code == 0


@pytest.mark.parametrize(
    "given", [{"parameters": {"source": "minio://lake/d"}}, {"pipeline_root": "minio://other/m", "cache": False}]
)
def test_data_and_root_that_come_to_lie_in_different_buckets_are_refused(tmp_path, given):
    file = with_data(tmp_path, {"runtimeParameter": "source"})
    text = file.read_text().replace("defaultValue: embedded", "defaultValue: minio://mlpipeline/d")
    whole = yaml.safe_load(text)
    whole["root"]["dag"]["tasks"]["Data"]["inputs"] = {"parameters": {"source": {"componentInputParameter": "source"}}}
    file.write_text(yaml.safe_dump(whole))
    work = Work(document=document.read(file), **given)
    assert "other-bucket" in {one.rule for one in lint(work.as_run)}
    assert "other-bucket" not in {one.rule for one in lint(work.document)}
    with pytest.raises(Refused, match="the linter found"):
        submission.check(work.as_run)


def test_the_root_is_sent_since_no_server_reads_it_from_the_file(server, file):
    submitted(server, file)
    assert server.runs[0].runtime_config.pipeline_root == "minio://mlpipeline/m"


@pytest.mark.parametrize("uri", ["/data", "file:///data", "minio://", "http://b/r"])
def test_a_root_that_is_no_bucket_is_refused(server, file, uri):
    answer = submitted(server, file, "--pipeline-root", uri)
    assert answer.code == 2
    assert "--pipeline-root: no bucket that Kubeflow Pipelines can use" in answer.err
    assert server.asked == []


def test_an_older_run_of_the_same_name_is_not_taken_for_the_new_one(server, file):
    old = submitted(server, file, "--run-name", "mine").json["run"]["id"]
    server.faults.append(Fault(503, "POST", "/runs", times=1, done=True))
    new = submitted(server, file, "--run-name", "mine").json["run"]["id"]
    assert {one.run_id for one in server.runs} == {old, new}
    assert len(server.runs) == 2


def test_an_experiment_whose_answer_was_lost_is_used(server, file):
    server.faults.append(Fault(503, "POST", "/experiments", times=1, done=True))
    assert submitted(server, file).code == 0
    assert len(server.things["experiments"]) == 1


def test_a_server_that_hangs_when_the_run_is_made_is_left_with_one_run_and_that_is_told(server, file):
    connection = connected(server, RetryPolicy(timeout=0.5, first_pause=0.01, search=0.1))
    work = Work(document=document.read(file))
    server.faults.append(Fault("hang", "POST", "/runs", done=True))
    assert submission.submit(connection, work, "mine").id == server.runs[0].run_id
    server.faults[:] = [Fault("hang", "POST", "/runs")]
    with pytest.raises(ServerUnavailable, match=r"no answer within 0.5 s, so it is not known whether the run was made"):
        submission.submit(connection, work, "other")
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sorce=x", "unknown parameter: wanted one of fast, more, rate, .*got sorce: did you mean source?"),
        ("seed", "wanted NAME=VALUE, got seed"),
        ("seed=many", "--param seed: not of its type: wanted a whole number, got many"),
        ("seed=1.5", "wanted a whole number"),
        ("rate=fast", "wanted a number"),
        ("fast=yes", "wanted true or false"),
        ("sizes={}", "wanted a JSON array"),
        ("more=[1]", "wanted a JSON object"),
        ("more={", "wanted a JSON object"),
        ("source=[[ScheduledTime]]", r"got \[\[ScheduledTime\]\]: a schedule fills it in"),
        ("source=[[Sometime]]", r"nothing that the server fills in: wanted \[\[RunUUID\]\]"),
    ],
)
def test_a_parameter_that_is_not_meant_so_is_refused(server, file, given, message):
    answer = submitted(server, file, "--param", given)
    assert answer.code == 2
    with pytest.raises(BadInput, match=message):
        run_parameters.values(document.read(file), [given], run_parameters.RUN_MACROS)
    assert server.asked == []


def test_what_a_server_would_fill_in_is_refused_where_there_is_none(file):
    with pytest.raises(BadInput, match="--param source: a server fills it in, a simulation does not"):
        run_parameters.values(document.read(file), ["source=[[RunUUID]]"], ())


def test_a_parameter_given_twice_and_one_without_a_value_are_refused(tmp_path):
    with pytest.raises(BadInput, match="--param seed: given twice"):
        run_parameters.values(document.read(compiled(tmp_path)), ["seed=1", "seed=2"], ())
    root = {"dag": {"tasks": {}}, "inputDefinitions": {"parameters": {"source": {"parameterType": "STRING"}}}}
    with pytest.raises(BadInput, match=r"digits: without a value: wanted --param source=\.\.\."):
        run_parameters.values(document.read(compiled(tmp_path, root=root)), [], ())


@pytest.mark.parametrize(
    ("uri", "given", "message"),
    [
        (None, "minio://b/d", "wanted a path in the pod, got minio://b/d: compile the file again with --data"),
        ({"runtimeParameter": "source"}, "/data", "wanted a bucket's URI, got /data"),
        (
            {"constant": "minio://b/d"},
            "minio://b/other/span-{SPAN}/",
            r"compiled for one folder: wanted minio://b/d\.\.\.",
        ),
    ],
)
def test_a_source_that_the_launcher_would_not_fetch_is_refused(tmp_path, uri, given, message):
    file = compiled(tmp_path) if uri is None else with_data(tmp_path, uri)
    with pytest.raises(BadInput, match=message):
        run_parameters.values(document.read(file), [f"source={given}"], ())


@pytest.mark.parametrize("uri", [{"runtimeParameter": "source"}, {"constant": "minio://b/d"}])
def test_a_source_that_the_launcher_fetches_is_taken(tmp_path, uri):
    given = ["source=minio://b/d/span-{SPAN}/"]
    assert run_parameters.values(document.read(with_data(tmp_path, uri)), given, ())


def test_values_have_the_types_that_the_file_declares(file):
    given = ["source=a=b", "seed=-3", "rate=1e-3", "fast=False", "sizes=[2]", 'more={"k": 1}']
    assert run_parameters.values(document.read(file), given, ()) == {
        "source": "a=b",
        "seed": -3,
        "rate": 0.001,
        "fast": False,
        "sizes": [2],
        "more": {"k": 1},
    }


def test_a_file_for_vertex_is_refused_with_what_to_use_instead(server, tmp_path):
    file = tmp_path / "p.json"
    file.write_text('{"pipelineSpec": {"pipelineInfo": {"name": "digits"}, "root": {"dag": {"tasks": {}}}}}')
    answer = submitted(server, file)
    assert answer.code == 2
    assert "Vertex AI" in answer.err
    assert "google-cloud-aiplatform" in answer.err
    assert server.asked == []


def finding(level: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(level=level, rule="r", where="Work", what="is odd", hint=None)


def test_the_linter_is_asked_first_and_its_errors_refuse_the_file(file, monkeypatch):
    found = [finding("error"), finding("warning")]
    monkeypatch.setitem(
        sys.modules, "pipeline.kubeflow.lint.check", types.SimpleNamespace(lint=lambda _, **_more: tuple(found))
    )
    with pytest.raises(Refused, match=r"the linter found 1 error: got Work: is odd.*--skip-lint"):
        submission.check(document.read(file))
    assert submission.check(document.read(file), lint=False) == ()
    del found[0]
    assert submission.check(document.read(file)) == tuple(found)


def test_a_root_that_a_profile_may_not_use_is_a_warning_where_the_namespace_is_named(tmp_path):
    container = {"image": "reg.example/i@sha256:" + "0" * 64, "command": list(COMMAND)}
    file = compiled(tmp_path, deploymentSpec={"executors": {"work": {"container": container}}})
    found = submission.check(document.read(file), namespace="team")
    assert [(one.rule, one.level) for one in found if "root" in one.rule] == [("profile-root", "warning")]


def test_a_schema_version_that_the_server_refuses_is_told_in_its_words(server, tmp_path):
    answer = submitted(server, compiled(tmp_path, schemaVersion="2.0.0"))
    assert answer.code == 2
    assert "KFP only supports schema version 2.1.0" in answer.err


def test_a_field_that_kfp_does_not_know_is_told(server, tmp_path):
    answer = submitted(server, compiled(tmp_path, novelty=1))
    assert answer.code == 2
    assert "kfp cannot read the compiled pipeline" in answer.err
    assert "novelty" in answer.err


@pytest.mark.parametrize(
    ("states", "code"), [(("RUNNING", "SUCCEEDED"), 0), (("RUNNING", "FAILED"), 4), (("CANCELED",), 4)]
)
def test_a_run_is_waited_for_until_it_is_over(server, file, monkeypatch, states, code):
    answers = iter(states)

    def moving(connection, run_id, tasks):
        server.things["runs"][run_id].state = next(answers)
        return found(connection, run_id, tasks)

    found = submission.cluster_runs.get
    monkeypatch.setattr(submission.cluster_runs, "get", moving)
    server.faults.append(Fault(503, "GET", "/runs/", times=1))
    answer = submitted(server, file, "--wait")
    assert answer.code == code
    assert answer.json["run"]["state"] == states[-1]
    assert answer.status == ("ok" if code == 0 else "environment")
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == list(states)


def test_a_server_that_stays_silent_is_not_waited_for_for_ever(server, file):
    connection = connected(server, RetryPolicy(timeout=5, attempts=1))
    made = submission.submit(connection, Work(document=document.read(file)), "mine")
    server.faults.append(Fault(503))
    with pytest.raises(Exception, match="the run goes on: mnist-tfx kubeflow runs shows it"):
        submission.wait(connection, made, lambda _: None, pause=0.001)


def test_an_interrupted_wait_says_that_the_run_goes_on(server, file, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submission.cluster_runs, "get", interrupted)
    answer = submitted(server, file, "--wait")
    assert answer.code == 130
    assert answer.status == "interrupted"
    assert "the run goes on" in answer.error
    assert len(server.runs) == 1


def test_without_json_the_id_and_the_page_are_printed_and_nothing_else(server, file):
    answer = invoke(command, file, "--host", server.url, "--skip-lint", "--run-name", "mine")
    assert answer.out == f"mine  {server.runs[0].run_id}\n{server.url}/#/runs/details/{server.runs[0].run_id}\n"


def test_the_file_sent_is_the_file_read(server, tmp_path):
    file = compiled(tmp_path)
    submitted(server, file)
    sent, read = server.runs[0].pipeline_spec, yaml.safe_load(file.read_text())
    assert (
        sent["root"]["inputDefinitions"]["parameters"]["sizes"]
        == read["root"]["inputDefinitions"]["parameters"]["sizes"]
    )
    assert sent["deploymentSpec"] == read["deploymentSpec"]
