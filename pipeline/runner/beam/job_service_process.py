"""The process of Beam's Python job service and of its pool of workers.

Started by `pipeline.runner.beam.job_service` as `python -m pipeline.runner.beam.job_service_start SCRATCH`. It answers on
standard input, a socket, with one JSON line, {"job": address, "pool": address}, and serves until that module ends it and
every worker.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from pathlib import Path
from typing import Any, Final

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_job_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from pipeline.runner.beam import pool

LOOPBACK: Final = "127.0.0.1"


class Job(local_job_service.BeamJob):  # type: ignore[misc]  # Beam has no annotations
    """A job that can be given up: Beam's runner waits for ever for the answer of a worker that is gone."""

    def fail(self, why: str) -> None:
        """End it for the client, who is told why."""
        if not self.is_terminal_state(self.get_state()[0]):
            error = beam_job_api_pb2.JobMessage.JOB_MESSAGE_ERROR
            self._log_queues.put(beam_job_api_pb2.JobMessage(importance=error, message_text=why))
            self.set_state(beam_job_api_pb2.JobState.FAILED)


class JobServicer(local_job_service.LocalJobServicer):  # type: ignore[misc]  # Beam has no annotations
    """Takes jobs and runs them by Beam's FnApiRunner, its workers being asked for at the pool."""

    def __init__(self, staging: Path) -> None:
        super().__init__(str(staging), beam_job_type=Job)

    def get_service_address(self) -> str:
        """Return where clients find it."""
        return LOOPBACK

    def fail(self, why: str) -> None:
        """Give up what is running."""
        for job in list(self._jobs.values()):
            job.fail(why)


@worker_handlers.WorkerHandler.register_environment(
    common_urns.environments.EXTERNAL.urn, beam_runner_api_pb2.ExternalPayload
)
class LocalWorkerHandler(worker_handlers.ExternalWorkerHandler):  # type: ignore[misc]  # Beam has no annotations
    """Asks the pool for a worker, and tells it an address that needs no name service."""

    def host_from_worker(self) -> str:
        """Return where a worker finds what asked for it."""
        return LOOPBACK


def listen_on_loopback_only() -> None:
    """Keep all gRPC servers of this process off the network: those of Beam's runner listen on every interface."""
    stock = grpc.server

    def server(*arguments: Any, **options: Any) -> Any:
        made = stock(*arguments, **options)
        bind = made.add_insecure_port
        made.add_insecure_port = lambda address: bind(f"{LOOPBACK}:{address.rpartition(':')[2]}")
        return made

    grpc.server = server


def serve(run: socket.socket, scratch: Path) -> None:
    """Serve for good.

    Args:
      run: told the addresses.
      scratch: an empty folder.
    """
    logging.basicConfig(level=logging.WARNING)
    listen_on_loopback_only()
    staging, workers = scratch / "staging", scratch / "workers"
    staging.mkdir()
    workers.mkdir()
    jobs = JobServicer(staging)
    job_port = jobs.start_grpc_server(0)
    _, pool_port = pool.start(pool.WorkerPool(workers, jobs.fail), f"{LOOPBACK}:0")
    addresses = {"job": f"{LOOPBACK}:{job_port}", "pool": f"{LOOPBACK}:{pool_port}"}
    run.sendall(json.dumps(addresses).encode() + b"\n")
    threading.Event().wait()
