"""A small Argo: a Workflow goes in, its pods are run in the order that it asks for, and how each node ended comes out.

Imitated is what Workflows of KFP's compiler ask for: DAGs in DAGs, `depends`, `when`, parameters and outputs read from
files, `retryStrategy`, `podSpecPatch`. What a Workflow asks beyond that is refused, not passed over.
"""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Protocol

from kubeflow.real.pod_spec import PodSpec, pod_spec
from kubeflow.real.workflow import NotKnown, Scope, Task, Template, Workflow, filled

SUCCEEDED, FAILED, SKIPPED, OMITTED = "Succeeded", "Failed", "Skipped", "Omitted"


@dataclass(frozen=True)
class Pod:
    """A pod that is to run."""

    node: str
    """The tasks that lead to it, as `root/Classifier/executor`."""
    attempt: int
    spec: PodSpec = field(repr=False)
    output_paths: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.node.replace('/', '-').lower()}-{self.attempt}"


@dataclass(frozen=True)
class Ended:
    """How a pod ended."""

    code: int
    outputs: dict[str, str] = field(default_factory=dict)
    """{output parameter: what its file held}, of those that were written."""
    message: str = ""
    """The termination message."""


class Kubelet(Protocol):
    """Runs a pod."""

    def __call__(self, pod: Pod) -> Ended: ...


@dataclass(frozen=True)
class Node:
    """How a node of the Workflow ended; one for each attempt at a pod, none for a DAG."""

    name: str
    phase: str
    attempt: int = 0
    seconds: float = 0
    outputs: dict[str, str] = field(default_factory=dict, repr=False)
    message: str = ""
    code: int = 0
    """Exit code of the container that the pod ended with."""

    @property
    def cached(self) -> bool:
        """Whether this is a driver that found the task's outputs in KFP's cache."""
        return self.outputs.get("cached-decision") == "true"


@dataclass(frozen=True)
class _Outcome:
    phase: str
    outputs: dict[str, str] = field(default_factory=dict)


class Execution:
    """One execution of a Workflow; executed again after a failure, it does what KFP's RetryRun does.

    Args:
      kubelet: Runs the pods.
      at_once: How many pods may run side by side.
      say: Is told every node that ended.
      before: Is told every pod that is about to run.
    """

    def __init__(
        self,
        workflow: Workflow,
        kubelet: Kubelet,
        *,
        at_once: int = 1,
        say: Callable[[Node], None] = lambda _: None,
        before: Callable[[Pod], None] = lambda _: None,
    ) -> None:
        self.workflow = workflow
        self.nodes: list[Node] = []
        self._kubelet, self._say, self._before = kubelet, say, before
        self._places = threading.BoundedSemaphore(at_once)
        self._succeeded: dict[str, _Outcome] = {}

    def run(self) -> str:
        """Executes what has not succeeded yet; returns the phase of the whole."""
        scope = {
            **self.workflow.scope,
            "workflow.name": f"run-{self.workflow.run_id[:8]}",
            "workflow.uid": str(uuid.uuid4()),
            "workflow.namespace": "kubeflow",
            "workflow.creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return self._template(self.workflow.entrypoint, {}, scope, "").phase

    def _template(self, template: Template, given: Mapping[str, str], around: Scope, node: str) -> _Outcome:
        scope = template.scope(given, around)
        if template.tasks is not None:
            return _Dag(self, template.tasks, scope, node).run()
        if node not in self._succeeded:
            outcome = self._container(template, scope, node)
            if outcome.phase != SUCCEEDED:
                return outcome
            self._succeeded[node] = outcome
        return self._succeeded[node]

    def task(self, task: Task, scope: Scope, node: str) -> _Outcome:
        """Executes a task whose time has come, or skips it."""
        if not task.is_wanted(scope):
            self._ended(Node(node, SKIPPED))
            return _Outcome(SKIPPED)
        # The templates that a task calls see the Workflow's values and the arguments, not the caller's inputs.
        return self._template(
            self.workflow.template(task.template), filled(task.arguments, scope), _of_the_workflow(scope), node
        )

    def _container(self, template: Template, scope: dict[str, str], node: str) -> _Outcome:
        for attempt in range(_attempts(template, scope)):
            ended = self._pod(template, {**scope, "retries": str(attempt)}, node, attempt)
            if ended.code == 0:
                return _Outcome(SUCCEEDED, {**template.output_defaults, **ended.outputs})
        return _Outcome(FAILED)

    def _pod(self, template: Template, scope: Scope, node: str, attempt: int) -> Ended:
        pod = Pod(node, attempt, pod_spec(template, scope, self.workflow.security), template.output_paths)
        with self._places:
            self._before(pod)
            started = time.monotonic()
            ended = self._kubelet(pod)
        seconds = round(time.monotonic() - started, 1)
        phase = FAILED if ended.code else SUCCEEDED
        self._ended(Node(node, phase, attempt, seconds, ended.outputs, ended.message, ended.code))
        return ended

    def _ended(self, node: Node) -> None:
        self.nodes.append(node)
        self._say(node)


class _Dag:
    """The tasks of a DAG, each in a thread of its own as soon as what it depends on is over."""

    def __init__(self, execution: Execution, tasks: tuple[Task, ...], scope: dict[str, str], node: str) -> None:
        self._execution, self._scope, self._node = execution, scope, node
        self._waiting = list(tasks)
        self._phases: dict[str, str] = {}
        self._running: dict[futures.Future[_Outcome], str] = {}

    def run(self) -> _Outcome:
        with futures.ThreadPoolExecutor(max_workers=len(self._waiting)) as threads:
            while self._start(threads):
                done, _ = futures.wait(self._running, return_when=futures.FIRST_COMPLETED)
                for one in done:
                    self._over(self._running.pop(one), one.result())
        if self._waiting and FAILED not in self._phases.values():
            raise NotKnown(f"{self._node or 'the Workflow'}: tasks wait for each other")
        return _Outcome(FAILED if FAILED in self._phases.values() else SUCCEEDED)

    def _start(self, threads: futures.ThreadPoolExecutor) -> bool:
        """Starts every task that can be; says whether any is running. After a failure none is: `failFast` is the default."""
        if FAILED not in self._phases.values():
            while ready := [task for task in self._waiting if task.upstream <= set(self._phases)]:
                for task in ready:
                    self._waiting.remove(task)
                    self._decide(task, threads)
        return bool(self._running)

    def _decide(self, task: Task, threads: futures.ThreadPoolExecutor) -> None:
        if not task.is_due(self._phases):
            self._phases[task.name] = OMITTED
            return
        node = f"{self._node}/{task.name}".removeprefix("/")
        self._running[threads.submit(self._execution.task, task, dict(self._scope), node)] = task.name

    def _over(self, name: str, outcome: _Outcome) -> None:
        self._phases[name] = outcome.phase
        for key, value in outcome.outputs.items():
            self._scope[f"tasks.{name}.outputs.parameters.{key}"] = value


def _of_the_workflow(scope: Scope) -> dict[str, str]:
    return {name: value for name, value in scope.items() if name.startswith("workflow.")}


def _attempts(template: Template, scope: Scope) -> int:
    strategy = template.document.get("retryStrategy")
    return 1 if strategy is None else 1 + int(filled(str(strategy["limit"]), scope))
