"""The digits through KFP's own driver and launcher: `make test-kfp KFP_BIN=FOLDER`, some minutes for each run."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import PROJECT, mnist_tfx
from kubeflow.real import cluster, images, node, recompiled
from kubeflow.real.argo import FAILED, SUCCEEDED, Execution, Pod
from kubeflow.real.cluster import BUCKET, Cluster
from kubeflow.real.images import OUR_USER
from kubeflow.real.workflow import Workflow

from components.errors import Refused
from pipeline.kubeflow import termination
from pipeline.provenance.git import git_state

WORKFLOW = Path(os.environ.get("KFP_WORKFLOW") or PROJECT.parent / "shared" / "kfp" / "workflow-digits.json")

AT_ONCE = int(os.environ.get("KFP_AT_ONCE") or 1)
PROGRAMS = cluster.programs()
# One line for all of them.
if PROGRAMS is None:
    pytest.skip(cluster.HOW, allow_module_level=True)
if not WORKFLOW.is_file():
    pytest.skip("KFP_WORKFLOW=FILE names no Workflow that KFP's compiler wrote", allow_module_level=True)
if not node.HAS_NAMESPACES:
    pytest.skip(node.NEEDS, allow_module_level=True)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # the one of two runs took 400 s on two busy cores
]

CLAIM = "mnist-tfx-serving"
ANOTHER_USER = 12345
"""Of group 0 and without capabilities, as clusters have it that choose users themselves."""
NEVER_CACHED = {"ExampleGenDriver", "Baseline", "Pusher"}
"""Tasks that look at what is served. Evaluator reads what Baseline says, so it is done again too."""


@dataclass(frozen=True)
class Run:
    """A run that ended well, and a copy of what it left."""

    execution: Execution
    root: Path

    @property
    def id(self) -> str:
        return self.execution.workflow.run_id

    @property
    def done(self) -> list[str]:
        """The tasks whose container was run, each time that it was."""
        pods = [one for one in self.execution.nodes if one.phase in {SUCCEEDED, FAILED}]
        return [one.name.split("/")[-2] for one in pods if one.name.endswith("/executor")]

    @property
    def cached(self) -> list[str]:
        return [one.name for one in self.execution.nodes if one.cached]

    def audited(self) -> dict[str, Any]:
        """Gathers the records of the run and returns the audit of the version that it pushed."""
        answer = mnist_tfx("kubeflow", "audit", self.id, "--root", self.root, "--json")
        [audit] = answer.json["audits"]
        say(f"audit of version {audit['version']}: {audit['verdicts']}")
        return dict(audit)

    def accuracy(self) -> float:
        """Returns the accuracy on test that `runs show` tells of what was gathered."""
        run = mnist_tfx("runs", "show", self.id, "--root", self.root, "--json").json["run"]
        say(f"accuracy {run['metrics']['accuracy']:.5f}")
        return float(run["metrics"]["accuracy"])


def say(line: str) -> None:
    print(f"  {line}", flush=True)  # noqa: T201  # `make test-kfp` shows it


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert PROGRAMS is not None
    images.compile_bytecode()
    with cluster.started(tmp_path_factory.mktemp("kfp") / "cluster", PROGRAMS) as started:
        yield started


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The Workflow that was named; of another code than this, with the arguments of today's compile."""
    read, changed = recompiled.of_this_code(Workflow.read(WORKFLOW), tmp_path_factory.mktemp("compiled"))
    say(f"{WORKFLOW}" + f": {changed} tasks have the arguments of today's compile" * (changed > 0))
    return read


@pytest.fixture(scope="module")
def first(running: Cluster, workflow: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return succeeded(running, workflow, tmp_path_factory.mktemp("first"))


def succeeded(cluster: Cluster, workflow: Workflow, folder: Path, user: int = OUR_USER) -> Run:
    """Runs the Workflow as a run of its own."""
    execution = cluster.execution(workflow.as_run(str(uuid.uuid4())), user=user, at_once=AT_ONCE)
    assert execution.run() == SUCCEEDED, execution.nodes[-1]
    return Run(execution, copied(cluster, workflow, folder, CLAIM))


def copied(cluster: Cluster, workflow: Workflow, folder: Path, claim: str) -> Path:
    """Copies what lies below the pipeline root, with the serving volume as `serving`, as the documentation says."""
    prefix = recompiled.pipeline_root(workflow).removeprefix(f"minio://{BUCKET}/")
    cluster.copy_bucket(f"{prefix}/", folder)
    shutil.copytree(cluster.volumes / claim, folder / "serving", symlinks=True)
    return folder


def elsewhere(workflow: Workflow, name: str) -> Workflow:
    """Returns the Workflow with a pipeline root where the cache knows nothing yet, and a serving volume `name`.

    The model will be the same to the byte: on the first volume it would be served already, by a push of the first root.
    """
    root = recompiled.pipeline_root(workflow)
    text = json.dumps(workflow.document).replace(root, f"minio://{BUCKET}/{name}")
    return Workflow(json.loads(text.replace(CLAIM, name)))


def faults(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what is not PASS, and why; a checkout with changes is no fault of the pipeline's, nor is a repeated task."""
    clean = git_state().tree == "clean"
    findings = [one for one in audit["findings"] if clean or "clean_tree" not in json.dumps(one)]
    findings = [one for one in findings if one["link"] != "attempt"]
    named = audit["verdicts"] if clean else {name: audit["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")}
    return findings + [{name: verdict} for name, verdict in named.items() if verdict != "PASS"]


def test_every_task_is_done_and_the_audit_of_what_is_served_passes(first: Run) -> None:
    assert (len(first.done), first.cached) == (13, [])
    assert faults(first.audited()) == []
    assert first.accuracy() == pytest.approx(0.985, abs=0.004)


def test_the_same_again_by_another_user_finds_nine_tasks_in_the_cache_and_its_audit_passes(
    running: Cluster, workflow: Workflow, first: Run, tmp_path: Path
) -> None:
    second = succeeded(running, workflow, tmp_path, user=ANOTHER_USER)
    assert set(second.done) == {*NEVER_CACHED, "Evaluator"}
    assert len(second.cached) == len(first.done) - len(second.done)
    assert faults(second.audited()) == []
    assert second.accuracy() == first.accuracy()


def test_another_user_whose_task_is_repeated_after_its_upload_leaves_an_audit_that_passes(
    running: Cluster, workflow: Workflow, tmp_path: Path
) -> None:
    attempts: list[str] = []

    def fail_the_first(pod: Pod) -> None:
        if pod.node.endswith("/Classifier/executor"):
            attempts.append(pod.node)
            if len(attempts) == 1:
                running.cache_goes_away_once()

    retried = elsewhere(workflow, "retried").as_run(str(uuid.uuid4()))
    execution = running.execution(retried, user=ANOTHER_USER, at_once=AT_ONCE, before=fail_the_first)
    if execution.run() == FAILED:  # a Workflow without `retries`: as when somebody retries the run on KFP's page
        assert execution.run() == SUCCEEDED, execution.nodes[-1]
    run = Run(execution, copied(running, retried, tmp_path, "retried"))
    assert run.done.count("Classifier") == 2
    assert len(set(run.done)) == 13
    audit = run.audited()
    assert faults(audit) == []
    told = [one["what"] for one in audit["findings"] if one["link"] == "attempt"]
    assert told == ["attempt 1 of Classifier, superseded"]
    assert run.accuracy() == pytest.approx(0.985, abs=0.004)


def test_a_refusal_is_what_the_pod_says_at_its_end(running: Cluster, workflow: Workflow) -> None:
    digest = recompiled.code_digests(workflow)["ReviewedSchema"]
    document = json.dumps(elsewhere(workflow, "refused").document).replace(digest, "0" * 64)
    execution = running.execution(Workflow(json.loads(document)).as_run(str(uuid.uuid4())))
    assert execution.run() == FAILED
    *_, failed = (one for one in execution.nodes if one.code)
    assert (failed.name, failed.code) == ("root/ReviewedSchema/executor", 1)  # our process ended with 3
    said = termination.kind_and_text(failed.message)
    assert said is not None
    assert said[0] is Refused
    assert "the image holds other code than the pipeline was compiled from" in said[1]
