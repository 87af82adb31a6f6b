"""Tasks of a run on a server: the state of each, and what its pod said when it failed.

The server lists the nodes of Argo's workflow (`toApiPipelineTaskDetail` in backend/src/apiserver/server/api_converter.go
of kubeflow/pipelines): for a task `Classifier` its driver `Classifier-driver`, the task itself, and pods named `executor`
that no field connects with it. A pod's message is in none of them; Kubernetes has it, as long as the pod is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from typing import Any, Final

from components.errors import CannotTell, MnistTfxError
from pipeline.kubeflow.client.kubernetes_api import NAMESPACE, Kubernetes
from pipeline.kubeflow.document import OSS, Document

WAITING: Final = "WAITING"
RUN_LABEL: Final = "pipeline/runid"
NODE_NAME: Final = "workflows.argoproj.io/node-name"

_DRIVER: Final = "-driver"
_EPOCH: Final = 1971
"""The server writes the year 1970 where there is no time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunTask:
    """One task of a run.

    Attributes:
      name: as the compiled file has it.
      state: `WAITING`, or the server's word: PENDING, RUNNING, SUCCEEDED, SKIPPED, FAILED, CANCELED.
      seconds: from its driver's start to its end, or to now; None before.
      message: what the server or the pod says went wrong.
    """

    name: str
    state: str = WAITING
    seconds: float | None = None
    message: str | None = None


def of_run(run: Any, names: Iterable[str]) -> tuple[RunTask, ...]:
    """Return the tasks of a run as the server's model has them, in the order of `names`."""
    details = getattr(run.run_details, "task_details", None) or ()
    by_name = {one.display_name: one for one in sorted(details, key=_begin)}
    return tuple(_task(name, by_name.get(name), by_name.get(f"{name}{_DRIVER}")) for name in names)


def _task(name: str, task: Any, driver: Any) -> RunTask:
    both = [one for one in (driver, task) if one is not None]
    if not both:
        return RunTask(name=name)
    # A driver that succeeded says nothing yet of the task, which comes next.
    state = str(both[-1].state or WAITING)
    if task is None and state == "SUCCEEDED":
        state = "PENDING"
    began, ended = min(map(_begin, both)), _moment(both[-1].end_time)
    over = state not in (WAITING, "PENDING", "RUNNING")
    until = ended if over else datetime.datetime.now(datetime.timezone.utc)
    seconds = None if until is None or began == _NEVER else round((until - began).total_seconds(), 1)
    return RunTask(name=name, state=state, seconds=seconds, message=next(filter(None, map(_message, both)), None))


_NEVER: Final = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)


def _begin(detail: Any) -> datetime.datetime:
    return _moment(detail.start_time) or _NEVER


def _moment(moment: datetime.datetime | None) -> datetime.datetime | None:
    if moment is None or moment.year < _EPOCH:
        return None
    return moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc)


def _message(detail: Any) -> str | None:
    errors = [detail.error, *(status.error for status in reversed(detail.state_history or ()))]
    return next((str(error.message) for error in errors if error is not None and error.message), None)


def pod_messages(kubernetes: Kubernetes, run_id: str, namespace: str | None) -> dict[str, str]:
    """Return {task: what its last failed pod said}; empty if Kubernetes does not say."""
    try:
        pods = kubernetes.ask(
            kubernetes.core.list_namespaced_pod,
            namespace or kubernetes.namespace or NAMESPACE,
            label_selector=f"{RUN_LABEL}={run_id}",
        )
    except CannotTell:
        return {}
    items = [] if pods is None else sorted(pods.items, key=lambda pod: str(pod.metadata.creation_timestamp))
    return {task: said for pod in items if (task := _task_of(pod)) for said in _said(pod)}


def _task_of(pod: Any) -> str | None:
    """Return the task that a pod is of: Argo names its node `digits-x.root.Classifier.executor`, and so on."""
    _, _, inside = str((pod.metadata.annotations or {}).get(NODE_NAME, "")).partition(".root.")
    return inside.partition(".")[0].removesuffix(_DRIVER) or None


def _said(pod: Any) -> Iterator[str]:
    for status in pod.status.container_statuses or ():
        ended = status.state.terminated if status.state is not None else None
        if ended is not None and ended.exit_code and ended.message:
            yield " ".join(str(ended.message).split())


def command_for_messages(run_id: str, namespace: str | None) -> str:
    """Return the command that prints what the failed pods of a run said."""
    return (
        f"kubectl -n {namespace or NAMESPACE} get pods -l {RUN_LABEL}={run_id} --field-selector status.phase=Failed "
        "-o jsonpath='{range .items[*]}{..terminated.message}{\"\\n\"}{end}'"
    )


def names(run: Any) -> tuple[str, ...]:
    """Return the names of a run's tasks, as far as the server's model tells: from its file, else from what has begun."""
    spec = run.pipeline_spec if isinstance(run.pipeline_spec, dict) else {}
    with contextlib.suppress(MnistTfxError, AttributeError, KeyError, TypeError):
        return tuple(task.name for task in Document(target=OSS, spec=spec.get("pipeline_spec", spec)).in_order())
    details = sorted(getattr(run.run_details, "task_details", None) or (), key=_begin)
    drivers = [str(one.display_name) for one in details if str(one.display_name).endswith(_DRIVER)]
    return tuple(dict.fromkeys(name.removesuffix(_DRIVER) for name in drivers if name != f"root{_DRIVER}"))
