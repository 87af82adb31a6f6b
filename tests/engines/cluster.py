"""A Flink or Spark cluster on this machine, with our pool of workers beside it; all on the loopback address.

    cd tests && python -m engines.cluster up flink|spark
    python -m engines.cluster down

What runs is noted in .tools/engines/running.json, which `down` goes by; logs and working folders are below .tools/engines too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from engines import build
from engines.machines import Machine, Network

RUNNING: Final = build.TOOLS / "running.json"
START_S: Final = 180.0

OPENS: Final = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action"),
    "sun.util.calendar",
)
"""Packages that Spark reaches into; its own scripts open them on Java 17, and a job server is started without."""


class Cluster:
    """Processes of one engine.

    Args:
      engine: flink or spark.
      name: of its folder below .tools/engines, which two clusters at a time cannot share.
      settings: of Flink, besides those that all have.
      network: whose machines each have a task manager with a pool of its own; None for one of each on this machine.

    Attributes:
      folder: of its logs and working files.
      options: of `mnist-tfx run` for it.
      address: of the interface that lists its jobs.
      processes: {what: process}.
    """

    def __init__(
        self, engine: str, name: str, settings: Mapping[str, Any] | None = None, network: Network | None = None
    ) -> None:
        self.engine = engine
        self.folder = build.TOOLS / name
        self.options: list[str] = []
        self.address = ""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = settings or {}
        self._network = network
        self._pool = free_port()
        self._workers: list[tuple[list[str], dict[str, str]]] = []

    def up(self) -> None:
        """Start it, and wait until it has its workers."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "tmp").mkdir(parents=True)
        try:
            self.pools()
            {"flink": self._flink, "spark": self._spark}[self.engine]()
            if self._network is None:
                reach(self._pool)
        except BaseException:
            self.down()
            raise
        self.options += [f"environment_config=127.0.0.1:{self._pool}"]

    def pools(self) -> None:
        """Start a pool of workers for each machine."""
        project = {**os.environ, "PYTHONPATH": str(build.PROJECT)}
        command = [sys.executable, "-m", "pipeline", "beam-pool", "--port", str(self._pool)]
        for number, machine in enumerate(self._machines()):
            self.start(f"pool{number}", [*within(machine), *command], project)

    def _machines(self) -> Sequence[Machine | None]:
        return (None,) if self._network is None else self._network.machines

    def start(self, what: str, command: list[str], environment: dict[str, str]) -> None:
        """Start one of its processes, in a group of its own."""
        with (self.folder / f"{what}.log").open("ab") as log:
            self.processes[what] = subprocess.Popen(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def down(self) -> None:
        """End it."""
        for process in self.processes.values():
            end(process.pid)
            process.wait()

    def workers(self) -> None:
        """Start what runs tasks: TaskManagers, or a Worker."""
        for number, (command, environment) in enumerate(self._workers):
            self.start(f"worker{number}", command, environment)

    def _flink(self) -> None:
        home, rest = build.home("flink"), free_port()
        manages = None if self._network is None else self._network.manager
        host = "127.0.0.1" if manages is None else manages.address
        at_host = {f"{part}.{name}": host for part, name in FLINK_HOSTS}
        if manages is not None:
            # Flink's REST interface reaches the BLOB server of its own process by the name localhost, whatever the address.
            at_host["jobmanager.bind-host"] = "0.0.0.0"  # of a network namespace of its own
        ports = {"rest.port": rest, "jobmanager.rpc.port": free_port()}
        self._configure(home, {**FLINK, **at_host, **ports, **self._settings})
        environment = {
            **os.environ,
            "FLINK_HOME": str(home),
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "JAVA_HOME": java_home(),
        }
        manager = [str(home / "bin" / "taskmanager.sh"), "start-foreground"]
        for machine in self._machines():
            own = [] if machine is None else [f"taskmanager.{name}={machine.address}" for name in ("host", "bind-host")]
            more = [part for setting in own for part in ("-D", setting)]
            self._workers.append(([*within(machine), *manager, *more], environment))
        serves = [*within(manages), str(home / "bin" / "jobmanager.sh"), "start-foreground"]
        self.start("jobmanager", serves, environment)
        self.workers()
        self.address = f"http://{host}:{rest}"
        wait(lambda: self.alive() and self.ask("/overview")["taskmanagers"] == len(self._workers))
        self.options = [
            *(f"flink_master={self.address}", f"flink_job_server_jar={build.JAR}"),
            *("parallelism=2", "environment_cache_millis=60000"),
        ]

    def _configure(self, home: Path, settings: Mapping[str, Any]) -> None:
        conf = self.folder / "conf"
        shutil.copytree(home / "conf", conf)
        stock = re.search(r"^ +all: (.*)$", (conf / "config.yaml").read_text(), re.MULTILINE)
        assert stock is not None
        folders = {f"env.{kind}.dir": self.folder / kind for kind in ("log", "pid")}
        said = {"env.java.opts.all": stock[1], "io.tmp.dirs": self.folder / "tmp", **folders, **settings}
        (conf / "config.yaml").write_text("".join(f"{name}: {value}\n" for name, value in said.items()))

    def _spark(self) -> None:
        home, port, page, jobs = build.home("spark"), free_port(), free_port(), free_port()
        environment = {
            **os.environ,
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self.folder / "tmp"),
            "SPARK_WORKER_DIR": str(self.folder / "work"),
            "SPARK_DAEMON_MEMORY": "512m",
        }
        spark_class, master = str(home / "bin" / "spark-class"), "org.apache.spark.deploy.master.Master"
        at = ["--host", "127.0.0.1"]
        ports = ["--port", str(port), "--webui-port", str(page)]
        self.start("master", [spark_class, master, *at, *ports], environment)
        reach(port)
        worker = [spark_class, "org.apache.spark.deploy.worker.Worker", f"spark://127.0.0.1:{port}", *at]
        self._workers.append(([*worker, "-c", "2", "-m", "3g", "--webui-port", "0"], environment))
        self.workers()
        opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENS]
        properties = {
            "spark.executor.memory": "2g",
            "spark.default.parallelism": 2,
            "spark.driver.host": "127.0.0.1",
            # What each stage did is in a log of events: the driver's own page ends with its job.
            "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{self.folder / 'events'}",
        }
        (self.folder / "events").mkdir()
        said = [f"-D{name}={value}" for name, value in properties.items()]
        class_path = f"{build.CLASS_PATH.read_text().strip()}:{home}/jars/*"
        server = [
            "java",
            *opens,
            "-Xmx1g",
            *said,
            "-cp",
            class_path,
            "org.apache.beam.runners.spark.SparkJobServerDriver",
        ]
        where = [f"--spark-master-url=spark://127.0.0.1:{port}", "--job-host=127.0.0.1", f"--job-port={jobs}"]
        more = [f"--artifact-port={free_port()}", "--expansion-port=0", f"--artifacts-dir={self.folder / 'artifacts'}"]
        self.start("jobserver", [*server, *where, *more], environment)
        reach(jobs)
        self.address = f"http://127.0.0.1:{page}"
        wait(lambda: self.alive() and self.ask("/json/")["aliveworkers"] == 1)
        self.options = [f"job_endpoint=127.0.0.1:{jobs}", f"spark_master_page={self.address}"]

    def alive(self) -> bool:
        """Return True; end with a sentence where a process of it is gone."""
        if gone := [what for what, process in self.processes.items() if process.poll() is not None]:
            sys.exit(f"{gone[0]} ended: see {self.folder}/{gone[0]}.log")
        return True

    def ask(self, path: str) -> Any:
        """Return what its interface answers."""
        return asked(f"{self.address}{path}")

    def list(self) -> dict[str, str]:
        """Return {name: state} of its jobs, by its own list, which is kept beside its folder."""
        said = self.ask("/jobs/overview" if self.engine == "flink" else "/json/")
        self.keep("jobs", said)
        listed = said["jobs"] if self.engine == "flink" else (*said["activeapps"], *said["completedapps"])
        return {one["name"]: one["state"] for one in listed}

    def keep(self, what: str, said: Any) -> None:
        """Keep what the cluster said, as evidence, beside its folder."""
        self.folder.with_name(f"{self.folder.name}-{what}.json").write_text(json.dumps(said, indent=1) + "\n")

    def command(self) -> list[str]:
        """Return the options of `mnist-tfx run` for it."""
        return ["--beam", self.engine, *(part for option in self.options for part in ("--beam-option", option))]


FLINK_HOSTS: Final = (
    *(("jobmanager", "rpc.address"), ("jobmanager", "bind-host")),
    *(("taskmanager", "host"), ("taskmanager", "bind-host")),
    *(("rest", "address"), ("rest", "bind-address")),
)
"""Settings of Flink that are an address of the machine that it is on."""

FLINK: Final[dict[str, Any]] = {
    "jobmanager.memory.process.size": "1600m",
    "jobmanager.memory.jvm-metaspace.size": "512m",  # every job leaves some classes
    "taskmanager.numberOfTaskSlots": 2,
    "taskmanager.memory.process.size": "5g",
    "taskmanager.memory.jvm-metaspace.size": "512m",
    # StatisticsGen has 336 tasks at parallelism 2: 512m is too little.
    "taskmanager.memory.network.min": "1536m",
    "taskmanager.memory.network.max": "1536m",
    "taskmanager.runtime.large-record-handler": "true",
    "parallelism.default": 2,
    # A lost task manager is noticed after this instead of 50 s.
    "heartbeat.timeout": 15000,
    "heartbeat.interval": 3000,
    # A job leaves a copy of its jar, 157 MB, for an hour otherwise.
    "blob.service.cleanup.interval": 60,
}
"""Settings of Flink that this pipeline needs, or that keep it on this machine."""


def within(machine: Machine | None) -> tuple[str, ...]:
    """Return what stands before a command that is to run on a machine; None is this one."""
    return () if machine is None else machine.prefix


def java_home() -> str:
    """Return the folder of the installed Java."""
    return str(Path(shutil.which("java") or "").resolve().parents[1])


def free_port() -> int:
    """Return a port that nobody listens on.

    None of those that the system gives away by itself, from 32768: Java takes seconds until it listens.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    sys.exit("no port is free")


def asked(url: str) -> Any:
    """Return the JSON at an address."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def reach(port: int) -> None:
    """Wait until somebody listens."""
    wait(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close() is None)


def wait(condition: Callable[[], bool], seconds: float = START_S) -> None:
    """Wait until a condition holds that may fail until then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if condition():
                return
        time.sleep(0.2)
    sys.exit(f"it did not come up within {seconds:.0f} s: see {build.TOOLS}/*-cluster/*.log")


def end(group: int) -> None:
    """End a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def started_at(pid: int) -> str:
    """Return when a process was started, which tells it from another that has its number; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def up(engine: str) -> None:
    """Start a cluster that goes on, and print the command for it."""
    down()
    cluster = Cluster(engine, f"{engine}-cluster")
    cluster.up()
    groups = {what: [process.pid, started_at(process.pid)] for what, process in cluster.processes.items()}
    RUNNING.write_text(json.dumps(groups))
    click.echo(f".venv/bin/mnist-tfx run --root runs/{engine} {' '.join(cluster.command())}")


def down() -> None:
    """End the cluster that `up` has left."""
    if RUNNING.is_file():
        for pid, started in json.loads(RUNNING.read_text()).values():
            if started and started_at(pid) == started:
                end(pid)
        RUNNING.unlink()


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:] == ["down"]:
        down()
    elif sys.argv[1:] in (["up", "flink"], ["up", "spark"]):
        up(sys.argv[2])
    else:
        sys.exit("wanted up flink, up spark or down: make engines-up ENGINE=flink")


if __name__ == "__main__":
    main()
