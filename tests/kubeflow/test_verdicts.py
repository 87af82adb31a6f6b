"""Lint held to what Kubeflow Pipelines 2.17.0 itself said of 135 compiled files: the same, or a reason why not.

Its API server, its compiler and Argo's validator judged them; `shared/kfp/verdicts.tsv` has their words.
"""

import csv

import pytest
from command_line import PROJECT
from kubeflow.broken_files import BROKEN
from kubeflow.compiled_files import broken, judged
from kubeflow.judged_files import JUDGED

from pipeline.kubeflow.lint.check import lint

VERDICTS = PROJECT.parent / "shared" / "kfp" / "verdicts.tsv"
CHANGES = {name: change for name, (change, _) in BROKEN.items()} | JUDGED

WHY_NOT = {
    "no inputs at all": "accepted; the driver finds no value for required inputs when the task's turn comes",
    "a parameter that is not given": "accepted; the driver finds no value for it when the task's turn comes",
    "an artifact that is not given": "accepted; our container finds no artifact of that name",
    "a parameter that the pipeline does not take": "accepted; the driver finds no such input of the graph",
    "an output that is not there": "accepted; the driver finds no such artifact after its producer has run",
    "an output parameter that is not there": "accepted; the driver finds no such parameter after its producer has run",
    "a constant of another type": "accepted; the driver compares types when the task's turn comes",
    "a component's default of another type": "accepted; the driver compares types when the task's turn comes",
    "a default of another type": "accepted; the root's driver compares types when the run starts",
    "root param default null": "accepted; the run starts without a value for the parameter",
    "no task info": "accepted; the driver needs taskInfo.name and fails the task",
    "no taskInfo name": "accepted; the driver needs taskInfo.name and fails the task",
    "a producer that is not waited for": "accepted; Argo may start the reader before its producer has ended",
    "a parameter's producer that is not waited for": "accepted; Argo may start the reader before its producer has ended",
    "a condition with an open bracket": "accepted; the driver cannot parse the CEL expression and fails the task",
    "a condition with an open quote": "accepted; the driver cannot parse the CEL expression and fails the task",
    "a condition on a parameter that is not there": "accepted; the driver cannot evaluate it and fails the task",
    "a name in capitals": "accepted; it becomes part of every artifact's URI, and of names in Kubernetes that are lower case",
    "name dash end": "accepted; not a name for Kubernetes, where it becomes part of others",
    "a local root": "accepted; the launcher can open no such bucket and fails every task",
    "root of azure": "accepted; the launcher can open no such bucket and fails every task",
    "root with query": "accepted, and the query is how to reach the bucket; URIs below it are not below the root we compiled in",
    "a field that a platform document does not have": "accepted; the whole platform document is dropped without a word",
    "platform top field": "accepted; the whole platform document is dropped without a word",
    "platform version": "accepted; the whole platform document is dropped without a word",
    "platform not kubernetes": "accepted; nobody reads the document, and the pods have no volumes and secrets",
    "optional platform only": "accepted; the file has no platform document then, and the pods no volumes and secrets",
    "another executor in the platform document": "accepted; nobody has that executor, so nobody gets what it asks for",
    "a volume without a path": "accepted; the driver refuses the volume when the task's turn comes",
    "a volume without a claim": "accepted; the driver refuses the volume when the task's turn comes",
    "secret without name": "accepted; the driver refuses the volume when the task's turn comes",
    "secret env without key": "accepted; Kubernetes refuses the pod, whose variable names no key",
    "pvc name illegal": "accepted; Kubernetes refuses the pod, whose volume has that name",
    "pvc relative": "accepted; where it is mounted is up to the container runtime, and not where our code looks",
    "pvc of /minio": "accepted; it takes the place of the volume that KFP mounts there",
    "pvc of /.cache": "accepted; it takes the place of the volume that KFP mounts there",
    "two pvc one path": "accepted; one of them takes the place of the other",
    "secret and claim of one name": "accepted; they become one volume of two kinds, for which Kubernetes refuses the pod",
    "toleration bad operator": "accepted; Kubernetes refuses the pod",
    "toleration bad effect": "accepted; Kubernetes refuses the pod",
    "pull policy": "accepted; the driver refuses the policy when the task's turn comes",
    "no image": "accepted; Kubernetes refuses a container without an image",
    "no image that a registry could have": "accepted; the pod waits with InvalidImageName",
    "a schema where no volume is": "accepted; the pod finds nothing at that path",
    "data where no volume is": "accepted; the pod finds nothing at that path",
    "a driver in a hook": "accepted; the hook is never executed, and changed data go unseen",
    "an artifact of no type": "accepted; the driver fails the task that has such an input",
    "another command": "accepted; that command needs schemas that KFP does not send, and cannot open the root",
    "no command": "accepted; the image's own command needs schemas that KFP does not send, and cannot open the root",
    "another command under minio": "accepted; that command cannot open minio://",
    "a GPU image without a GPU": "accepted; the pod has CUDA and no device",
    "a password in a variable": "accepted; everybody who sees the run can read it",
    "a token in a variable": "accepted; everybody who sees the run can read it",
    "a key in a variable": "accepted; everybody who sees the run can read it",
    "a token in an argument": "accepted; everybody who sees the run can read it",
    "a password in an argument": "accepted; everybody who sees the run can read it",
    "a password in a URL": "accepted; everybody who sees the run can read it",
    "an argument that is too long": "accepted; the kernel starts no process with it",
    "a variable that is too long": "accepted; the kernel starts no process with it",
    "an invocation that is too long": "accepted; the kernel starts no process with it",
    "no volume": "accepted; our Pusher refuses a folder that goes with its pod",
    "a volume elsewhere": "accepted; our Pusher refuses a folder that goes with its pod",
    "a bucket": "accepted; our Pusher refuses a bucket, where no folder is renamed in one step",
    "a mounted bucket": "accepted; our Pusher refuses a bucket, where no folder is renamed in one step",
    "a mounted bucket by a detour": "accepted; our Pusher refuses a bucket, where no folder is renamed in one step",
    "a copy of a bucket": "accepted; our Pusher refuses a bucket, where no folder is renamed in one step",
    "a bucket with an equals sign": "accepted; our Pusher refuses a bucket, where no folder is renamed in one step",
    "env of argo placeholder": "accepted, as Argo leaves braces that name nothing of its own; {{workflow.name}} it would replace",
    "env without a name": "accepted; Kubernetes refuses the pod",
}
"""{change: why lint has an error where the server has none}, a sentence each."""


@pytest.fixture(scope="module")
def verdicts():
    if not VERDICTS.exists():
        pytest.skip("needs ../shared/kfp/verdicts.tsv")
    with VERDICTS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def ours(verdicts):
    """{change: the rules that have an error about it}."""
    documents = {row["change"]: broken(judged(), CHANGES[row["change"]]) for row in verdicts}
    return {
        name: sorted({one.rule for one in lint(document) if one.level == "error"})
        for name, document in documents.items()
    }


def stage(row):
    return row["KFP 2.17.0: stage"]


def table(rows, ours):
    """Returns the differences as text: change, what the server said, what lint says, and why."""
    lines = [
        f"{row['change']:48} server: {stage(row):7} lint: {', '.join(ours[row['change']]) or 'ok':32} "
        f"{WHY_NOT.get(row['change'], '(no reason given)')}"
        for row in rows
        if (stage(row) != "ok") != bool(ours[row["change"]]) or row["change"] in WHY_NOT
    ]
    return "\n".join(["", *lines])


def test_the_unchanged_file_is_accepted_by_both():
    assert [str(one) for one in lint(judged()) if one.level == "error"] == []


def test_every_judged_file_is_made_here(verdicts):
    assert len(verdicts) == 135
    assert [row["change"] for row in verdicts if row["change"] not in CHANGES] == []


def test_what_the_server_refuses_lint_refuses(verdicts, ours):
    missed = [row["change"] for row in verdicts if stage(row) != "ok" and not ours[row["change"]]]
    assert missed == [], table(verdicts, ours)


def test_what_lint_refuses_and_the_server_does_not_has_a_reason(verdicts, ours):
    stricter = {row["change"] for row in verdicts if stage(row) == "ok" and ours[row["change"]]}
    assert stricter - set(WHY_NOT) == set(), table(verdicts, ours)
    assert set(WHY_NOT) - stricter == set(), table(verdicts, ours)
