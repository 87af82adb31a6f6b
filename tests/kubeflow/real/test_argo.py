"""The small Argo: order, conditions, parameters, repeated pods and failures, with a kubelet that runs nothing."""

import threading
from collections.abc import Callable

import pytest
from command_line import PROJECT
from kubeflow.real.argo import FAILED, SUCCEEDED, Ended, Execution, Pod
from kubeflow.real.pod_spec import expanded, merged
from kubeflow.real.small_workflow import patch_of, small, task
from kubeflow.real.workflow import NotKnown, Task, Workflow, filled

DIGITS = PROJECT.parent / "shared" / "kfp" / "workflow-digits.json"


class Kubelet:
    """Answers for drivers as KFP's do, and has the pods of some tasks fail.

    Args:
      failing: How many attempts of a task fail.
      outputs: What a driver writes beside the patch.
    """

    def __init__(self, *, failing: dict[str, int] | None = None, **outputs: dict[str, str]) -> None:
        self._failing, self._outputs = failing or {}, outputs
        self.pods: list[Pod] = []

    def __call__(self, pod: Pod) -> Ended:
        self.pods.append(pod)
        *_, last = pod.node.split("/")
        if last.endswith("-driver"):
            return Ended(
                0, {"pod-spec-patch": patch_of(["run"]), **self._outputs.get(last.removesuffix("-driver"), {})}
            )
        name = pod.node.split("/")[-2]
        return Ended(int(pod.attempt < self._failing.get(name, 0)), message="as asked")

    @property
    def tasks(self) -> list[str]:
        """The tasks whose container was run, in that order."""
        return [pod.node.split("/")[-2] for pod in self.pods if pod.node.endswith("/executor")]


def executed(workflow: Workflow, kubelet: Callable[[Pod], Ended], **asked: int) -> tuple[str, Execution]:
    execution = Execution(workflow, kubelet, **asked)  # type: ignore[arg-type]
    return execution.run(), execution


CHAIN = (task("c", after="a b"), task("b", after="a"), task("a"))


def test_a_task_waits_for_those_it_depends_on():
    phase, _ = executed(small(*CHAIN), kubelet := Kubelet())
    assert (phase, kubelet.tasks) == (SUCCEEDED, ["a", "b", "c"])


@pytest.mark.skipif(not DIGITS.is_file(), reason="needs a Workflow that KFP's compiler wrote")
def test_the_tasks_of_kfps_own_workflow_come_after_what_they_read():
    phase, _ = executed(Workflow.read(DIGITS), kubelet := Kubelet())
    assert phase == SUCCEEDED
    assert len(kubelet.tasks) == len(set(kubelet.tasks)) == 13
    for first, later in (("ExampleGenDriver", "ExampleGen"), ("SchemaGate", "Transform"), ("Evaluator", "Pusher")):
        assert kubelet.tasks.index(first) < kubelet.tasks.index(later)


def test_a_driver_gets_parameters_and_the_path_of_its_outputs():
    _, _ = executed(small(task("a")), kubelet := Kubelet())
    [container] = kubelet.pods[0].spec.containers
    assert container["args"][:4] == ["--task_name", "a", "--greeting", "hello {{$.inputs}}"]
    assert "/tmp/outputs/cached-decision" in container["args"]


def test_a_container_gets_the_patch_that_its_driver_wrote():
    _, _ = executed(small(task("a")), kubelet := Kubelet())
    init, main = kubelet.pods[1].spec.containers
    assert (main["image"], main["command"]) == ("reg.example/mnist-tfx:1", ["run"])
    assert main["volumeMounts"] == init["volumeMounts"]


def test_what_the_cache_holds_is_not_run_and_what_reads_it_is():
    phase, _ = executed(small(*CHAIN), kubelet := Kubelet(a={"cached-decision": "true"}))
    assert (phase, kubelet.tasks) == (SUCCEEDED, ["b", "c"])


def test_a_condition_that_does_not_hold_skips_the_task_and_what_is_behind_it():
    workflow = small(task("a", conditional=True), task("b", after="a"), task("c"))
    phase, execution = executed(workflow, kubelet := Kubelet(a={"condition": "false"}))
    assert (phase, kubelet.tasks) == (SUCCEEDED, ["c"])
    assert [node.name for node in execution.nodes if node.phase == "Skipped"] == ["root/a"]


def test_a_pod_is_repeated_as_often_as_the_workflow_says_and_knows_its_attempt():
    phase, execution = executed(small(task("a"), retries=2), kubelet := Kubelet(failing={"a": 2}))
    assert (phase, kubelet.tasks) == (SUCCEEDED, ["a", "a", "a"])
    assert [node.phase for node in execution.nodes[1:]] == [FAILED, FAILED, SUCCEEDED]
    assert [pod.spec.containers[1]["env"][0]["value"] for pod in kubelet.pods[1:]] == ["0", "1", "2"]


def test_after_a_failure_nothing_is_started():
    phase, execution = executed(small(task("a"), task("b", after="a")), kubelet := Kubelet(failing={"a": 1}))
    assert (phase, kubelet.tasks) == (FAILED, ["a"])
    assert execution.nodes[-1].message == "as asked"


def test_a_run_that_is_retried_does_only_what_failed():
    execution = Execution(small(*CHAIN), kubelet := Kubelet(failing={"b": 1}))
    assert execution.run() == FAILED
    kubelet._failing.clear()
    assert execution.run() == SUCCEEDED
    assert kubelet.tasks == ["a", "b", "b", "c"]


def test_two_pods_run_side_by_side_where_two_may():
    together = threading.Barrier(2, timeout=10)
    kubelet = Kubelet()

    def run(pod: Pod) -> Ended:
        if pod.node.endswith("/executor"):
            together.wait()
        return kubelet(pod)

    phase, _ = executed(small(task("a"), task("b")), run, at_once=2)
    assert phase == SUCCEEDED


def test_a_run_gets_an_id_of_its_own():
    assert small(task("a")).as_run("22222222-0000-0000-0000-000000000000").run_id.startswith("22222222")


def test_what_is_not_imitated_is_refused():
    with pytest.raises(NotKnown, match="depends"):
        _ = Task("a", "t", "(b.Succeeded || c.Failed)", "", {}).upstream
    with pytest.raises(NotKnown, match="when"):
        Task("a", "t", "", "1 < 2", {}).is_wanted({})


@pytest.mark.parametrize(
    ("depends", "holds"),
    [
        ("a.Succeeded && b.Failed", True),
        ("a.Failed || b.Failed", True),
        ("!a.Succeeded", False),
        ("b.Succeeded", False),
    ],
)
def test_depends_is_an_expression_over_phases(depends, holds):
    assert Task("t", "t", depends, "", {}).is_due({"a": SUCCEEDED, "b": FAILED}) is holds


def test_placeholders_are_replaced_once_and_those_of_kfp_not_at_all():
    scope = {"inputs.parameters.a": "{{workflow.name}}", "workflow.name": "w"}
    assert filled(["{{inputs.parameters.a}}", {"b": "{{$.x}} {{unknown}}"}], scope) == [
        "{{workflow.name}}",
        {"b": "{{$.x}} {{unknown}}"},
    ]


def test_lists_of_a_patch_are_merged_by_the_keys_of_kubernetes():
    base = {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}
    patch = {"containers": [{"name": "main", "args": ["x"], "env": [{"name": "B", "value": "3"}]}, {"name": "side"}]}
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert merged(base, patch) == {"containers": [{"name": "main", "env": env, "args": ["x"]}, {"name": "side"}]}


@pytest.mark.parametrize(("word", "wanted"), [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A")])
def test_variables_in_a_command_are_expanded_as_kubernetes_does(word, wanted):
    assert expanded(word, {"A": "1"}) == wanted
