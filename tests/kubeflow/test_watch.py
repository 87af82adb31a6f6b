"""`kubeflow watch` and `submit --wait`: each task's state, what the failed pod said, and the page of the run."""

import datetime

import kfp_server_api
import pytest
from kubeflow.cluster_command import invoke
from kubeflow.cluster_files import compiled, run, spec
from kubernetes import client

from kubeflow import kubernetes_server
from pipeline.cli.kubeflow.submit import submit
from pipeline.cli.kubeflow.watch import watch
from pipeline.kubeflow.client import run_tasks, submission

BEGAN = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)
RUN_ID = "01234567-89ab-cdef-0123-456789abcdef"
SAID = "mnist-tfx: refused (exit code 3): Work: the model is not good enough"

pytestmark = pytest.mark.usefixtures("hasty", "soon")


@pytest.fixture
def soon(monkeypatch):
    """Has a run that is waited for looked at a hundred times a second."""
    monkeypatch.setattr(submission.wait, "__defaults__", ((), 0.01))


def detail(
    name: str, state: str, start: int = 0, end: int | None = None, **fields
) -> kfp_server_api.V2beta1PipelineTaskDetail:
    """Returns a node as the server tells of it: seconds after the beginning, or its zero of 1970."""
    times = [BEGAN.replace(year=1970) if at is None else BEGAN + datetime.timedelta(seconds=at) for at in (start, end)]
    return kfp_server_api.V2beta1PipelineTaskDetail(
        display_name=name, state=state, start_time=times[0], end_time=times[1], **fields
    )


def with_tasks(*details, state="RUNNING", **fields):
    """Returns a run with these nodes; its file is there only if it is given."""
    return run("mine", state, run_details=kfp_server_api.V2beta1RunDetails(task_details=list(details)), **fields)


def states(*details, names=("Work",)):
    return [(task.name, task.state, task.seconds) for task in run_tasks.of_run(with_tasks(*details), names)]


def test_a_task_is_what_its_driver_and_then_itself_are():
    assert states() == [("Work", "WAITING", None)]
    assert states(detail("Work-driver", "RUNNING"))[0][1] == "RUNNING"
    assert states(detail("Work-driver", "SUCCEEDED", 0, 2))[0][1] == "PENDING"
    assert states(detail("Work-driver", "SUCCEEDED", 0, 2), detail("Work", "SUCCEEDED", 3, 9)) == [
        ("Work", "SUCCEEDED", 9.0)
    ]
    assert states(detail("Work-driver", "FAILED", 1, 4)) == [("Work", "FAILED", 3.0)]


def test_pods_named_executor_and_the_graph_itself_are_no_tasks():
    answer = with_tasks(
        detail("root-driver", "SUCCEEDED"), detail("executor", "RUNNING"), detail("Work-driver", "RUNNING", 1)
    )
    assert run_tasks.names(answer) == ("Work",)
    answer.pipeline_spec = spec()
    assert run_tasks.names(answer) == ("Work",)


def told(monkeypatch, server, *looks):
    """Has the server's one run change with every look at it."""
    left = list(looks)
    answer = server.answer

    def moving(method, target, body):
        if method == "GET" and "/runs/" in target and left:
            (name,) = server.things["runs"]
            now = left.pop(0)
            now.run_id = name
            server.things["runs"][name] = now
        return answer(method, target, body)

    monkeypatch.setattr(server, "answer", moving)


def test_submit_shows_each_task_as_it_begins_and_ends(server, tmp_path, monkeypatch):
    driver = detail("Work-driver", "SUCCEEDED", 0, 2)
    told(
        monkeypatch,
        server,
        with_tasks(driver, detail("Work", "RUNNING", 3)),
        with_tasks(driver, detail("Work", "SUCCEEDED", 3, 9), state="SUCCEEDED"),
    )
    given = (compiled(tmp_path), "--host", server.url, "--skip-lint", "--run-name", "mine", "--wait")
    answer = invoke(submit, *given)
    assert answer.code == 0
    assert answer.err.split() == ["mine:", "RUNNING", "mine:", "SUCCEEDED", "Work", "succeeded", "9.0", "s"]
    assert answer.out.splitlines()[1].startswith(f"{server.url}/#/runs/details/")
    assert answer.out.splitlines()[-1] == "SUCCEEDED after 90 s"


def test_the_answer_holds_the_tasks(server, tmp_path, monkeypatch):
    told(monkeypatch, server, with_tasks(detail("Work", "SUCCEEDED", 3, 9), state="SUCCEEDED"))
    answer = invoke(submit, compiled(tmp_path), "--host", server.url, "--skip-lint", "--wait", "--json")
    assert answer.json["run"]["tasks"] == [{"name": "Work", "state": "SUCCEEDED", "seconds": 6.0, "message": None}]


def failed_pod(message: str = SAID) -> client.V1Pod:
    """Returns the pod of the task's executor, as Argo names it."""
    ended = client.V1ContainerStateTerminated(exit_code=1, message=message)
    status = client.V1ContainerStatus(
        name="main",
        image="i",
        image_id="",
        ready=False,
        restart_count=0,
        state=client.V1ContainerState(terminated=ended),
    )
    name = {run_tasks.NODE_NAME: "digits-x7.root.Work.executor(0)"}
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="digits-x7-impl-1", annotations=name),
        status=client.V1PodStatus(phase="Failed", container_statuses=[status]),
    )


def test_a_failed_run_says_what_the_pod_said_where_kubernetes_can_be_asked(server, tmp_path):
    server.add("runs", with_tasks(detail("Work", "FAILED", 3, 9), state="FAILED", run_id=RUN_ID, pipeline_spec=spec()))
    with kubernetes_server.serving() as kubernetes:
        kubernetes.add(failed_pod())
        env = {"KUBECONFIG": str(kubernetes.kubeconfig(tmp_path))}
        answer = invoke(watch, RUN_ID, "--host", server.url, "--json", env=env)
    assert answer.code == 4
    assert answer.error.startswith(f"Work: the run ended FAILED: got {SAID}: its page is {server.url}/#/runs/details/")


def test_elsewhere_the_command_that_prints_it_is_offered(server, tmp_path):
    server.add("runs", with_tasks(detail("Work", "FAILED", 3, 9), state="FAILED", run_id=RUN_ID, pipeline_spec=spec()))
    answer = invoke(watch, "mine", "--host", server.url, env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    assert answer.code == 4
    assert f"kubectl -n kubeflow get pods -l pipeline/runid={RUN_ID}" in answer.err


def test_what_the_server_itself_says_of_a_task_goes_first(server, tmp_path):
    kind = getattr(kfp_server_api, kfp_server_api.V2beta1PipelineTaskDetail.openapi_types["error"])
    broken = detail("Work", "FAILED", 3, 9, error=kind(code=13, message="OOMKilled"))
    server.add("runs", with_tasks(broken, state="FAILED", run_id=RUN_ID, pipeline_spec=spec()))
    answer = invoke(watch, RUN_ID, "--host", server.url, "--json", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    assert "Work: the run ended FAILED: got OOMKilled" in answer.error


def test_ctrl_c_says_how_to_go_on_watching(server, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submission.cluster_runs, "get", interrupted)
    answer = invoke(submit, compiled(tmp_path), "--host", server.url, "--skip-lint", "--wait")
    (made,) = server.runs
    assert answer.code == 130
    assert f"`mnist-tfx kubeflow watch {made.run_id} --host {server.url}`" in answer.err
    assert f"{server.url}/#/runs/details/{made.run_id}" in answer.err
