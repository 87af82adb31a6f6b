"""A pool of Beam workers: processes of ours, each started when a cluster, or Beam's job service, asks for it.

Beam's own pool starts a `python` that need not be ours, without the environment that TFX needs, never reads what workers
print into a pipe, listens on every interface, and knows a worker by a number that two task managers, or two jobs, both
count from one.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from components.errors import EnvironmentProblem
from pipeline.process import lifeline, scratch
from pipeline.process.child import CPU_ONLY, ENGINE_ENV, PROJECT

MODULE: Final = "pipeline.runner.beam.worker"

THREADS: Final = 16
"""Requests at the same time; each takes the milliseconds that it takes to start a process."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Worker:
    """A worker at work.

    Attributes:
      requester: address of who asked for it.
      id: that the requester gave it, which another requester may give as well.
      process: the worker.
    """

    requester: str
    id: str
    process: subprocess.Popen[bytes]

    def __str__(self) -> str:
        return f"worker {self.id} of {self.requester}"


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]  # Beam has no annotations
    """Starts a process for every worker that is asked for, and tells when one dies.

    Args:
      folder: where workers are started; an empty one.
      died: called with a line about a worker that did not end by itself.
    """

    def __init__(self, folder: Path, died: Callable[[str], None]) -> None:
        super().__init__()
        self._folder = folder
        self._died = died
        self._numbers = itertools.count()
        self._workers: dict[int, Worker] = {}
        self._lock = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        """Start one that goes on until its job ends."""
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, request.control_endpoint.url, request.worker_id],
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            env=_environment(),
        )
        worker = Worker(requester=context.peer(), id=request.worker_id, process=process)
        with self._lock:
            number = next(self._numbers)
            self._workers[number] = worker
        threading.Thread(target=self._watch, args=(number, worker), daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        """End one before that: the requester's own, or the only one of that id, for one that has connected again."""
        with self._lock:
            named = {number: worker for number, worker in self._workers.items() if worker.id == request.worker_id}
            own = {number: worker for number, worker in named.items() if worker.requester == context.peer()}
            # Of several that others asked for none is ended: each ends with its connection to who asked for it.
            meant = own or (named if len(named) == 1 else {})
            for number in meant:
                del self._workers[number]
        for worker in meant.values():
            worker.process.kill()
        return beam_fn_api_pb2.StopWorkerResponse()

    def end(self) -> None:
        """End every worker, and wait until it has ended."""
        with self._lock:
            workers = list(self._workers.values())
            self._workers.clear()
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.wait()

    def _watch(self, number: int, worker: Worker) -> None:
        status = worker.process.wait()
        with self._lock:
            expected = self._workers.pop(number, None) is None
        if not expected and status != 0:
            self._died(f"a worker process died (exit status {status}): {worker}")


def _environment() -> dict[str, str]:
    """Return a worker's environment: that of TFX's processes, and where to find our packages from an empty folder."""
    path = os.pathsep.join(filter(None, (PROJECT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, **ENGINE_ENV, **CPU_ONLY, "PYTHONPATH": path, **lifeline.environment()}


def start(pool: WorkerPool, address: str, options: Sequence[tuple[str, Any]] = ()) -> tuple[grpc.Server, int]:
    """Have a pool answer at an address, and return its server and its port.

    Raises:
      EnvironmentProblem: if nothing can listen there.
    """
    # Two pools on one port would each get half of the requests.
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=(("grpc.so_reuseport", 0), *options))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as err:
        raise EnvironmentProblem(
            "cannot listen", where=address, hint="something else does, or it is no address of this machine"
        ) from err
    server.start()
    return server, port


@contextmanager
def listening(host: str, port: int, died: Callable[[str], None]) -> Iterator[str]:
    """Keep a pool for the duration and give the address at which it answers; every worker ends with it."""
    with scratch.folder() as folder:
        pool = WorkerPool(folder, died)
        server, port = start(pool, f"{host}:{port}")
        try:
            yield f"{host}:{port}"
        finally:
            server.stop(None)
            pool.end()
