"""The way of a version with people in it: staged, audited, approved and promoted, and only then served."""

import shutil

import pytest
from command_line import mnist_tfx
from server.running_server import serving

pytestmark = pytest.mark.e2e

OTHER = ("--set", "classifier.epochs=30")
"""Another classifier, as good as the first one: an approval of its bytes is none of version 1."""


def command(root, *arguments, code=0):
    answer = mnist_tfx(*arguments, "--root", root, "--json")
    assert answer.code == code, answer.err
    return answer.json


def verdicts(audits):
    return {
        (audit["path"], name): audit["verdicts"][name] for audit in audits for name in ("INTEGRITY", "COMPLETENESS")
    }


def test_from_run_stage_to_a_server_that_serves_the_approved_version_alone(root, digits_folder, tmp_path):
    staging = ("run", "--data", digits_folder, *OTHER, "--stage", "--by", "Grace")
    run = command(root, *staging)
    assert (run["version"], run["serving_path"]) == (2, str(root / "staged" / "2"))
    assert {folder.name for folder in (root / "serving").iterdir() if folder.name.isdecimal()} == {"1"}
    states = {node["id"]: node["state"] for node in command(root, *staging)["nodes"]}
    assert set(states.values()) == {"cached"}
    assert [*command(root, "runs", "list")["by"].values()] == ["Grace", "Grace"]

    audits = mnist_tfx("lineage", "audit", "--root", root, "--json").json["audits"]
    assert [audit["path"] for audit in audits] == ["serving/1", "staged/2"]
    assert set(verdicts(audits).values()) == {"PASS"}
    assert command(root, "lineage", "show", 2)["path"] == "staged/2"
    assert command(root, "lineage", "diff", 1, 2)

    assert mnist_tfx("lineage", "keygen", "--to", tmp_path / "ada").code == 0
    command(root, "keys", "add", tmp_path / "ada" / "public.pem", "--by", "Ops", "--owner", "Ada")
    copy = shutil.copytree(root, tmp_path / "copy", symlinks=True)
    refused = mnist_tfx("serve", "--root", copy, "--port", 0, "--grpc-port", 0, "--require-approval")
    assert refused.code == 3
    assert "is not approved" in refused.err
    promote = ("serving", "promote", 2, "--by", "Ada", "--reason", "error below 3 %")
    promoted = command(copy, *promote, "--key", tmp_path / "ada" / "private.pem")
    assert promoted["approval"]["verdict"] == "valid"
    with serving(copy, "--require-approval", "--latest", "2", folder=tmp_path) as server:
        assert "refused version 1: " in server.said
        assert [one["version"] for one in server.get()[1]["model_version_status"] if one["state"] == "AVAILABLE"] == [
            "2"
        ]

    audits = mnist_tfx("lineage", "audit", "--root", copy, "--require-approval", "--json").json["audits"]
    assert set(verdicts(audits).values()) == {"PASS"}
    unapproved = {audit["path"]: [f for f in audit["findings"] if f["link"] == "approved"] for audit in audits}
    assert (len(unapproved["serving/1"]), unapproved["serving/2"]) == (1, [])
    states = {node["id"]: node["state"] for node in command(copy, *staging)["nodes"]}
    assert set(states.values()) == {"cached"}

    # Records and store say for ever that it was pushed to staged/2; whatever goes on from there has to find it in service.
    (copy / "metadata.db").unlink()
    command(copy, "lineage", "rebuild")
    assert command(copy, "lineage", "repair")["repairs"] == []
    assert [command(copy, "serving", "rollback", old)["version"] for old in (1, 2)] == [3, 4]
    audits = mnist_tfx("lineage", "audit", "--root", copy, "--require-approval", "--json").json["audits"]
    assert set(verdicts(audits).values()) == {"PASS"}
    approved = {audit["version"]: not [f for f in audit["findings"] if f["link"] == "approved"] for audit in audits}
    assert approved == {1: False, 2: True, 3: False, 4: True}
    for form in ("slsa", "cyclonedx", "openlineage", "prov", "html"):
        assert command(copy, "lineage", "export", 2, "--format", form, "-o", tmp_path / form)
    withdrawn = command(copy, "serving", "withdraw", 2, "--by", "Ops", "--reason", "wrong labels")
    assert [one["verdict"] for one in withdrawn["approvals"]] == ["withdrawn"]
    assert {one["version"] for one in command(copy, "serving", "prune", "--keep", 1)["pruned"]} == {1, 2, 3}
    shown = command(copy, "lineage", "show", 2)
    assert (shown["path"], shown["removed"] is None) == ("serving/2", False)
    assert command(copy, "lineage", "trace", 2)
    evidence = mnist_tfx("lineage", "evidence", 2, "-o", tmp_path / "evidence.zip", "--root", copy)
    assert "INTEGRITY     UNKNOWN" in evidence.out, evidence.err
    assert "COMPLETENESS  PASS" in evidence.out
