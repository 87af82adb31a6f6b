"""What a cluster says of itself: whether somebody answers, and whether a job waits for workers."""

from __future__ import annotations

import dataclasses
import socket
import urllib.error
from typing import Final, Protocol

from components.errors import EnvironmentProblem
from pipeline.runner.beam.cancellation import TIMEOUT_S, request

LOOPBACK: Final = ("localhost", "127.")

AT_WORK: Final = ("running", "finished", "deploying", "initializing")
"""States of a Flink task that has found a slot."""


class Watch(Protocol):
    """Knows how to ask a cluster."""

    def require(self) -> None:
        """Raise `EnvironmentProblem` where nobody answers."""

    def waits(self) -> str | None:
        """Say what a job waits for, where it has no worker; None where it has some, or where that cannot be told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flink:
    """A Flink cluster, by its REST interface, and our job there."""

    address: str
    job: str

    def require(self) -> None:
        """Raise `EnvironmentProblem` where nobody answers."""
        _asked(f"{self.address}/overview", "no Flink answers", "--beam-option flink_master", "bin/jobmanager.sh start")

    def waits(self) -> str | None:
        """Say what a job waits for, where none of its tasks has found a slot."""
        jobs = request("GET", f"{self.address}/jobs/overview")["jobs"]
        tasks = next((one["tasks"] for one in jobs if one["name"] == self.job), None)
        if tasks is not None and any(tasks.get(state, 0) for state in AT_WORK):
            return None
        overview = request("GET", f"{self.address}/overview")
        if not overview["taskmanagers"]:
            return "a task manager: there is none; bin/taskmanager.sh start"
        if tasks is None or overview["slots-available"]:
            return None
        return f"a free slot: all {overview['slots-total']} are taken; bin/taskmanager.sh start for more"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spark:
    """A Spark cluster, by its master's page."""

    address: str

    def require(self) -> None:
        """Raise `EnvironmentProblem` where nobody answers."""
        _asked(f"{self.address}/json/", "no Spark master answers", "--beam-option spark_master_page", "its log")

    def waits(self) -> str | None:
        """Say what a job waits for, where an application has no executor."""
        said = request("GET", f"{self.address}/json/")
        if not said["aliveworkers"]:
            return "a worker: there is none; spark-class org.apache.spark.deploy.worker.Worker MASTER"
        waiting = any(one["state"] == "WAITING" for one in said["activeapps"])
        return f"an executor: {said['coresused']} of {said['cores']} cores are taken" if waiting else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unwatched:
    """A cluster that cannot be asked."""

    def require(self) -> None:
        """Do nothing."""

    def waits(self) -> str | None:
        """Return None."""
        return None


def is_here(address: str) -> bool:
    """Return whether an address is one of this machine alone."""
    return address.partition("://")[2].startswith(LOOPBACK) or address.startswith(LOOPBACK)


def require_port(address: str, what: str, where: str, command: str) -> None:
    """Raise `EnvironmentProblem` where nothing listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT_S).close()
    except OSError as err:
        raise _silent(what, where, address, err, command) from err


def _asked(url: str, what: str, where: str, command: str) -> None:
    try:
        request("GET", url)
    except (OSError, ValueError) as err:
        raise _silent(what, where, url, err, command) from err


def _silent(what: str, where: str, address: str, err: Exception, command: str) -> EnvironmentProblem:
    reason = getattr(err, "reason", None) if isinstance(err, urllib.error.URLError) else None
    return EnvironmentProblem(what, where=where, wanted=f"an answer at {address}", got=reason or err, hint=command)
