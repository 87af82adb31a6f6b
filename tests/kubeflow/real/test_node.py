"""Pods as the node runs them: users, capabilities, volumes, secrets, messages; with stand-ins for KFP's programs."""

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import PROJECT
from kubeflow.real import node, stand_ins
from kubeflow.real.argo import FAILED, SUCCEEDED, Execution
from kubeflow.real.node import Machine
from kubeflow.real.small_workflow import small, task
from kubeflow.real.workflow import Json, NotKnown, Workflow

pytestmark = pytest.mark.skipif(not node.HAS_NAMESPACES, reason=node.NEEDS)

DIGITS = PROJECT.parent / "shared" / "kfp" / "workflow-digits.json"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "volumes").mkdir()
    return Machine(
        folder=tmp_path / "pods", programs=stand_ins.write(tmp_path / "kfp"), volumes=tmp_path / "volumes", user=12345
    )


def changed(workflow: Workflow, **main: Json) -> Workflow:
    """Returns the Workflow with fields of the container that it runs replaced."""
    document = json.loads(json.dumps(workflow.document))
    [template] = [one for one in document["spec"]["templates"] if one["name"] == "container"]
    template["container"] |= main
    return Workflow(document)


def test_a_pod_is_another_user_without_capabilities_and_sees_a_network_of_its_own(machine):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    workflow = changed(small(task("looks"), claim="data"), securityContext=security)
    assert Execution(workflow, machine).run() == SUCCEEDED
    seen = json.loads((machine.volumes / "data" / "looks").read_text())
    assert seen["ids"] == [12345, 0, []]
    assert (seen["capabilities"], seen["no_new_privs"], seen["process"]) == (0, True, 1)
    assert seen["network"] == ["lo"]
    assert machine.folder.parent.name not in "".join(seen["tmp"])
    assert seen["refused"] == {
        "/etc/new": "Permission denied",
        "/secret/key": "No such file or directory",
        "/home/mnist-tfx/new": None,
    }


def test_a_pod_runs_as_the_user_and_group_that_it_names(machine):
    workflow = changed(small(task("looks"), claim="data"), securityContext={"runAsUser": 4321, "runAsGroup": 99})
    assert Execution(workflow, machine).run() == SUCCEEDED
    assert json.loads((machine.volumes / "data" / "looks").read_text())["ids"] == [4321, 99, []]


def test_a_secret_cannot_be_written_and_a_read_only_root_neither(machine):
    (machine.volumes / "secret-s").mkdir()
    (machine.volumes / "secret-s" / "key").write_text("k")
    workflow = small(task("looks"), claim="data")
    document = json.loads(json.dumps(workflow.document))
    [template] = [one for one in document["spec"]["templates"] if one["name"] == "container"]
    template["volumes"].append({"name": "s", "secret": {"secretName": "s"}})
    template["container"]["volumeMounts"].append({"name": "s", "mountPath": "/secret"})
    template["container"]["securityContext"] = {"readOnlyRootFilesystem": True, "runAsUser": 0}
    assert Execution(Workflow(document), machine).run() == SUCCEEDED
    seen = json.loads((machine.volumes / "data" / "looks").read_text())
    assert {path: seen["refused"][path] for path in ("/etc/new", "/secret/key")} == {
        "/etc/new": "Read-only file system",
        "/secret/key": "Read-only file system",
    }


def test_a_pod_that_fails_says_what_its_termination_message_holds(machine):
    execution = Execution(small(task("fails"), retries=1), machine)
    assert execution.run() == FAILED
    assert [(node.attempt, node.message) for node in execution.nodes[1:]] == [
        (0, "fails is over"),
        (1, "fails is over"),
    ]


def test_pods_end_with_whoever_runs_them(machine):
    name = f"sleeps-{os.getpid()}"
    execution = Execution(small(task(name), claim="data"), machine)
    child = multiprocessing.get_context("fork").Process(target=execution.run)
    child.start()
    until((machine.volumes / "data" / name).exists)
    assert running("/kfp-launcher/launch", name)
    child.kill()
    child.join()
    until(lambda: not running("/kfp-launcher/launch", name))


def running(*words: str) -> bool:
    """Whether some process of this machine was started with a command that ends so."""
    ending = "\0".join((*words, "")).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if file.read_bytes().endswith(ending):
                return True
    return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_pod_leaves_its_logs_and_not_its_volumes(machine):
    Execution(small(task("looks")), machine).run()
    left = {path.name for path in (machine.folder / "root-looks-executor-0").iterdir()}
    assert {"log-0", "log-1", "pod.json"} <= left
    assert "volumes" not in left


def test_nobody_is_root_where_the_pod_forbids_it(machine):
    security = {"runAsNonRoot": True, "runAsUser": 0}
    with pytest.raises(NotKnown, match="runAsNonRoot"):
        Execution(changed(small(task("looks")), securityContext=security), machine).run()


@pytest.mark.skipif(not DIGITS.is_file(), reason="needs a Workflow that KFP's compiler wrote")
def test_kfps_own_workflow_goes_through_the_node(machine):
    execution = Execution(Workflow.read(DIGITS), machine, at_once=2)
    assert execution.run() == SUCCEEDED
    assert len([one for one in execution.nodes if one.name.endswith("/executor")]) == 13
    assert all(one.message.endswith(" is over") for one in execution.nodes if one.name.endswith("/executor"))
