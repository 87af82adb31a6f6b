"""Jobs of ours on a cluster, and their end where the run ends before them.

A cluster goes on with a job whose client is gone. So a process beside the one that waits for a job, a guard, learns how the
job can be found, and cancels it once that process has ended without a word, be it by `kill -9`. Jobs are found by a name
that no other has, which is known before anything is submitted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.process import child
from pipeline.process.signals import Interrupted

TIMEOUT_S: Final = 10.0
"""How long a cluster may take to answer one request."""

OVER: Final = frozenset({"FINISHED", "FAILED"})
CANCELLED: Final = frozenset({"CANCELED", "CANCELLING"})
"""States of a Flink job that need no cancelling; of an interrupted run's, these are the guard's doing."""

OPEN_JOBS: Final = "MNIST_TFX_OPEN_JOBS"
"""Environment variable: a folder for a note about each job that is waited for, which `cancelling` reads."""

NOTE: Final = ".json"

FLINK: Final = "flink"
SPARK: Final = "spark"
SERVICE: Final = "service"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """How a job can be found.

    Attributes:
      kind: whose interface `address` is: Flink's REST, Spark's REST, or Beam's job service.
      address: of that interface.
      name: of the job; for Spark's REST the id of its submission.
    """

    kind: str
    address: str
    name: str

    def cancel(self) -> str | None:
        """Cancel it where it is still at work; return a sentence about that, None where there was nothing to cancel."""
        try:
            done = {FLINK: _on_flink, SPARK: _on_spark, SERVICE: _on_service}[self.kind](self)
        except Exception as err:  # noqa: BLE001  # on the way out of a run, whatever a cluster answers
            why = " ".join(str(err).split())[:200]
            return f"the job {self.name} at {self.address} may go on: it could not be cancelled ({why})"
        return f"the job {self.name} at {self.address} was cancelled" if done else None


def _on_flink(job: Job) -> bool:
    # Beam's own cancel posts to an address that Flink does not have.
    listed = request("GET", f"{job.address}/jobs/overview")["jobs"]
    ours = {one["jid"]: one["state"] for one in listed if one["name"] == job.name and one["state"] not in OVER}
    for identity, state in ours.items():
        if state not in CANCELLED:
            request("PATCH", f"{job.address}/jobs/{identity}?mode=cancel")
    return bool(ours)


def _on_spark(job: Job) -> bool:
    return bool(request("POST", f"{job.address}/v1/submissions/kill/{job.name}").get("success"))


def _on_service(job: Job) -> bool:
    from pipeline.process import lean_imports

    lean_imports.install(lean_imports.COMPONENTS)
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc  # Beam, 2 s

    states = beam_job_api_pb2.JobState
    over, cancelled = (states.DONE, states.FAILED, states.DRAINED), (states.CANCELLED, states.CANCELLING)
    with grpc.insecure_channel(job.address) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        jobs = service.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=TIMEOUT_S).job_info
        ours = [one for one in jobs if job.name in str(one.pipeline_options) and one.state not in over]
        for one in ours:
            if one.state not in cancelled:
                service.Cancel(beam_job_api_pb2.CancelJobRequest(job_id=one.job_id), timeout=TIMEOUT_S)
    return bool(ours)


def request(method: str, url: str) -> dict[str, Any]:
    """Return what a REST interface answers, {} for nothing."""
    asked = urllib.request.Request(url, method=method, headers={"Accept": "application/json"})  # noqa: S310  # checked: http(s)
    with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310  # checked: http(s)
        text = answer.read(1 << 24)
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return found


class Guard:
    """Has a job cancelled unless this process says that it has ended.

    Args:
      job: to be guarded.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        line = json.dumps(dataclasses.asdict(job))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=child.PROJECT,
            start_new_session=True,  # what ends the group of this process leaves it alone
        )
        self._say(line)
        self._note = None if (folder := os.environ.get(OPEN_JOBS)) is None else Path(folder) / f"{job.name}{NOTE}"
        if self._note is not None:
            self._note.write_text(line)

    def settled(self) -> None:
        """Let go of the job, which has ended."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
        self._say("")
        with contextlib.suppress(OSError):
            self._process.communicate()

    def _say(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(line.encode() + b"\n")
                stdin.flush()


def main() -> None:
    """Read a job from standard input; cancel it where that closes before an empty line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    job = Job(**json.loads(sys.stdin.readline()))
    if sys.stdin.readline() != "\n" and (said := job.cancel()) is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{said}\n")


@contextlib.contextmanager
def cancelling(folder: Path) -> Iterator[None]:
    """Cancel, where the block fails, the jobs that a process of ours waited for: it is killed, or about to be.

    Args:
      folder: where that process keeps a note of each, by `OPEN_JOBS`.
    """
    try:
        yield
    except BaseException as err:
        notes = sorted(folder.glob(f"*{NOTE}"))
        tell(err, [said for note in notes if (said := Job(**json.loads(note.read_text())).cancel()) is not None])
        raise


def tell(error: BaseException, said: list[str]) -> None:
    """Add to what ends a run what became of its jobs."""
    if said and isinstance(error, Interrupted):
        error.hint = "; ".join(filter(None, (error.hint, *said)))


if __name__ == "__main__":
    main()
