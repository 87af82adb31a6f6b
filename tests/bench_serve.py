"""The model server against the SavedModel itself, and against itself without micro-batching: `make bench-serve`.

The model is that of a run on the full MNIST where ../shared has it, and on the digits elsewhere. Clients are connections of
one process that writes a prepared request and reads the answer, so that they take as little of the two cores as they can;
they do take some, and every figure here includes it.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from server.running_server import Server, ask, serving, start

PROJECT = Path(__file__).resolve().parents[1]
MNIST = PROJECT.parent / "shared" / "data" / "mnist"
CLIENTS = 64
SECONDS = 6.0
LONE_REQUESTS = 1500

IN_PROCESS = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
ask = model.signatures["serving_default"]
image = np.zeros((1, int(sys.argv[2])), np.uint8)
def timed():
    started = time.perf_counter()
    {name: value.numpy() for name, value in ask(images=tf.constant(image)).items()}
    return time.perf_counter() - started
for _ in range(100): timed()
print(json.dumps([timed() for _ in range(int(sys.argv[3]))]))
"""


class Client(asyncio.Protocol):
    """One connection, which asks and counts the seconds until it is answered."""

    def __init__(self, request: bytes, seconds: list[float]) -> None:
        self.request, self.seconds = request, seconds
        self.received = b""
        self.until = 0.0
        self.since = 0.0
        self.answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        if not self._complete():
            return
        self.seconds.append(time.perf_counter() - self.since)
        failed = not self.received.startswith(b"HTTP/1.1 200")
        received, self.received = self.received, b""
        if not failed and time.perf_counter() < self.until:
            self.send(time.perf_counter())
        elif self.answered is not None and not self.answered.done():
            if failed:
                self.answered.set_exception(RuntimeError(received.decode()))
            else:
                self.answered.set_result(None)

    def _complete(self) -> bool:
        start = self.received.find(b"\r\n\r\n")
        if start < 0:
            return False
        head = self.received[:start]
        length = head.find(b"content-length: ")
        return len(self.received) >= start + 4 + int(head[length + 16 : head.find(b"\r\n", length) % (1 << 30)])

    def send(self, since: float) -> None:
        self.since = since
        self.transport.write(self.request)

    async def ask(self, since: float | None = None, until: float = 0.0) -> None:
        """Asks once, or again and again until a time."""
        self.until = until
        self.answered = asyncio.get_running_loop().create_future()
        self.send(time.perf_counter() if since is None else since)
        await self.answered


async def connected(server: Server, request: bytes, count: int) -> tuple[list[Client], list[float]]:
    host, port = server.rest.split("/")[2].split(":")
    seconds: list[float] = []
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(request, seconds), host, int(port)) for _ in range(count)]
    return [client for _, client in made], seconds


async def lone(server: Server, request: bytes) -> list[float]:
    """Returns the seconds of requests that come one after the other."""
    (client,), seconds = await connected(server, request, 1)
    for _ in range(LONE_REQUESTS + 100):
        await client.ask()
    return seconds[100:]


async def full(server: Server, request: bytes) -> tuple[float, float]:
    """Returns the answers a second of clients that ask all the time, and the server's CPU seconds for each."""
    clients, seconds = await connected(server, request, CLIENTS)
    before, ends = cpu(server.process.pid), time.perf_counter() + SECONDS
    await asyncio.gather(*(client.ask(until=ends) for client in clients))
    return len(seconds) / SECONDS, (cpu(server.process.pid) - before) / len(seconds)


def cpu(process: int) -> float:
    """Returns the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def paced(server: Server, request: bytes, rate: float) -> list[float]:
    """Returns the seconds of requests that come at a rate, counted from when each was due."""
    clients, seconds = await connected(server, request, CLIENTS)
    started = time.perf_counter() + 0.1

    async def work(index: int, client: Client) -> None:
        for turn in range(int(SECONDS * rate / CLIENTS)):
            due = started + (turn * CLIENTS + index) / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await client.ask(since=due)

    await asyncio.gather(*(work(index, client) for index, client in enumerate(clients)))
    return seconds


def milliseconds(seconds: list[float], share: float) -> float:
    return 1000 * sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def first_answer(root: Path, pixels: int) -> float:
    """Returns the seconds from TensorFlow's import to the first answer."""
    with start(root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            awaited(process.stdout, "TensorFlow imported")
            imported = time.perf_counter()
            address = awaited(process.stdout, "REST ").split()[1]
            status, *_ = ask(address, json.dumps({"instances": [[0] * pixels]}).encode())
            took = time.perf_counter() - imported
            assert status == 200
        finally:
            process.kill()
    return took


def awaited(lines: Iterable[str], wanted: str) -> str:
    return next(line for line in lines if wanted in line)


def memory(process: int) -> float:
    """Returns the proportional set size in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1000


def request_for(server: Server, pixels: int) -> bytes:
    body = json.dumps({"instances": [[0] * pixels]}).encode()
    path = "/" + server.rest.split("/", 3)[3] + ":predict"
    return f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def trained(folder: Path) -> tuple[Path, int]:
    """Returns a root, and how many pixels its images have."""
    data = ("--data", str(MNIST)) if MNIST.is_dir() else ()
    command = [sys.executable, "-m", "pipeline", "run", *data, "--root", str(folder / "root")]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "root", 784 if data else 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="root with a served model; by default one is trained")
    parser.add_argument("--pixels", type=int, default=784)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    uvloop.install()
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as text:
        folder = Path(text)
        root, pixels = (given.root, given.pixels) if given.root else trained(folder)
        rows = [pair(root, pixels, folder) for _ in range(given.pairs)]
    table = Table("median of pairs", *(f"pair {index + 1}" for index in range(given.pairs)), "median")
    for name in rows[0]:
        values = [row[name] for row in rows]
        table.add_row(name, *(f"{value:.2f}" for value in values), f"{statistics.median(values):.2f}")
    Console(width=160).print(table)


def pair(root: Path, pixels: int, folder: Path) -> dict[str, float]:
    """Returns all figures once, what is compared close together."""
    version = max(int(one.name) for one in (root / "serving").iterdir() if one.name.isdecimal())
    command = [sys.executable, "-c", IN_PROCESS, str(root / "serving" / str(version)), str(pixels), str(LONE_REQUESTS)]
    inside = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {"TensorFlow imported to first answer, s": first_answer(root, pixels)}
    found["p50 in process, ms"] = milliseconds(inside, 0.5)
    for name, options in (("batching", ()), ("no batching", ("--max-batch", "1"))):
        with serving(root, *options, folder=folder) as server:
            request = request_for(server, pixels)
            urllib.request.urlopen(server.rest.split("/v1/")[0]).close()  # waits for what is imported after the start
            if name == "batching":
                seconds = asyncio.run(lone(server, request))
                found["p50 one client, ms"] = milliseconds(seconds, 0.5)
                found["p99 one client, ms"] = milliseconds(seconds, 0.99)
            rate, took = asyncio.run(full(server, request))
            found[f"answers a second, {CLIENTS} clients, {name}"] = rate
            found[f"CPU of the server for each, {name}, ms"] = took * 1000
            if name == "batching":
                seconds = asyncio.run(paced(server, request, rate / 2))
                found["p50 at half of that, ms"] = milliseconds(seconds, 0.5)
                found["p99 at half of that, ms"] = milliseconds(seconds, 0.99)
                found["memory, MB"] = memory(server.process.pid)
    found["throughput with batching, ratio"] = (
        found[f"answers a second, {CLIENTS} clients, batching"]
        / found[f"answers a second, {CLIENTS} clients, no batching"]
    )
    return found


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
