"""`kubeflow audit`: the server is asked first, then the copy is gathered and audited."""

import json
import shutil
import types
from pathlib import Path

import pytest
from command_line import in_process
from kubeflow.cluster_command import invoke
from kubeflow.cluster_files import run
from lineage.audited_root import build

from pipeline.cli.kubeflow.audit import audit as command
from pipeline.kubeflow.gather import gather
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.records import NodeOutcome
from pipeline.root.paths import RunPaths


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("audited") / "root")


@pytest.fixture
def copy(template, tmp_path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "root", symlinks=True))


def pusher_of(paths, run_id: str) -> str:
    """Returns the record of the push of version 2; of version 1 for the run `other`."""
    pushes = [
        line.record for line in read_ledger(paths.ledger).lines if (line.event, line.node) == ("commit", "Pusher")
    ]
    return pushes[0 if run_id == "other" else -1]


@pytest.fixture
def gathered(monkeypatch):
    """What was gathered, as (root, run id); the run pushed version 2, unless it is `idle` or `other`."""
    asked = []

    def gather_run(paths, run_id, say):
        asked.append((paths.root, run_id))
        say("gathered along: run r-0")
        pusher = NodeOutcome(id="Pusher", state="executed", seconds=1, why="", record=pusher_of(paths, run_id))
        return types.SimpleNamespace(version=None if run_id == "idle" else 2, nodes=(pusher,))

    monkeypatch.setattr(gather, "gather_run", gather_run)
    return asked


def test_the_version_that_the_run_pushed_is_audited(copy, gathered):
    answer = invoke(command, "r-1", "--root", copy, "--json")
    assert answer.code == 0
    assert gathered == [(copy, "r-1")]
    assert answer.json["run"] is None
    assert [found["version"] for found in answer.json["audits"]] == [2]


@pytest.mark.usefixtures("gathered")
def test_a_version_that_another_run_pushed_is_no_answer_about_this_one(copy):
    answer = invoke(command, "other", "--root", copy, "--json")
    assert answer.code == 1
    found = [finding["what"] for finding in answer.json["audits"][0]["findings"]]
    assert found == [f"version 2 is not what records/{pusher_of(RunPaths(copy), 'other')}.json pushed"]


@pytest.mark.usefixtures("gathered")
def test_it_is_told_what_was_gathered_along(copy):
    assert "gathered along: run r-0" in invoke(command, "r-1", "--root", copy).err


def test_it_prints_what_lineage_audit_prints(copy, gathered):
    ours = invoke(command, "r-1", "--root", copy)
    theirs = in_process("lineage", "audit", "2", "--root", copy)
    assert ours.out == theirs.out
    assert "INTEGRITY     PASS" in ours.out
    assert len(gathered) == 1


@pytest.mark.usefixtures("gathered")
def test_a_changed_byte_is_found(copy):
    model = next((copy / "serving" / "2").rglob("saved_model.pb"))
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"x")
    answer = invoke(command, "r-1", "--root", copy, "--json")
    assert answer.code == 1
    assert answer.status == "findings"
    assert answer.json["audits"][0]["verdicts"]["INTEGRITY"] == "FAIL"


@pytest.mark.usefixtures("gathered")
def test_policy_head_and_key_are_those_of_lineage_audit(copy, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"version": 1, "rules": {"anchored": "fail"}}))
    for more in (("--policy", policy), ("--expect-head", f"1:{'0' * 64}")):
        ours = invoke(command, "r-1", "--root", copy, "--json", *more)
        theirs = in_process("lineage", "audit", "2", "--root", copy, "--json", *more)
        assert (ours.code, ours.json["audits"]) == (theirs.code, theirs.json["audits"])
        assert ours.code == 1


def test_with_a_server_the_run_may_go_by_its_name(server, copy, gathered):
    made = server.add("runs", run("mine"))
    answer = invoke(command, "mine", "--host", server.url, "--root", copy, "--json")
    assert answer.code == 0
    assert gathered == [(copy, made["run_id"])]
    assert answer.json["run"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "SKIPPED", "CANCELED"])
def test_a_run_that_has_not_succeeded_is_not_audited(server, copy, gathered, state):
    server.add("runs", run("mine", state))
    answer = invoke(command, "mine", "--host", server.url, "--root", copy)
    assert answer.code == 4
    assert f"run mine: nothing to audit: wanted SUCCEEDED, got {state}" in answer.err
    assert gathered == []


def test_a_run_that_was_never_there_is_not_audited(server, copy, gathered):
    answer = invoke(command, "mine", "--host", server.url, "--root", copy)
    assert answer.code == 2
    assert "no such run" in answer.err
    assert gathered == []


@pytest.mark.usefixtures("gathered")
def test_a_run_that_pushed_nothing_is_told(copy):
    answer = invoke(command, "idle", "--root", copy)
    assert answer.code == 2
    assert "idle: the run pushed no version" in answer.err


def test_a_copy_without_the_run_and_no_copy_at_all_are_told(tmp_path):
    nothing = invoke(command, "r-1", "--root", tmp_path)
    assert nothing.code == 2
    assert "nothing of this run is here" in nothing.err
    assert invoke(command, "r-1", "--root", tmp_path / "nowhere").code == 2
