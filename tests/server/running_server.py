"""A server in a process of its own, as users start it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

STARTS = 120
"""Seconds; TensorFlow takes most of them on a busy machine."""


class Server:
    """Its addresses, what it has said, and a way to ask it."""

    def __init__(self, process, log):
        self.process, self.log = process, log
        self.rest = self.grpc = None

    @property
    def said(self):
        return self.log.read_text()

    def get(self, path=""):
        return ask(f"{self.rest}{path}")

    def post(self, body, path=":predict", headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(f"{self.rest}{path}", data, headers)

    def wait_for(self, line, seconds=30):
        ends = time.monotonic() + seconds
        while line not in self.said:
            assert time.monotonic() < ends, f"{line!r} was not said: {self.said}"
            time.sleep(0.02)

    @contextlib.contextmanager
    def paused(self):
        """Stop the process for the duration, as a busy machine might."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


def start(root: Path, *options: str, **streams) -> subprocess.Popen:
    """Start a server on free ports."""
    ports = ("--port", "0", "--grpc-port", "0")
    command = [sys.executable, "-m", "pipeline", "serve", "--root", str(root), *ports, *options]
    return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **streams)


@contextlib.contextmanager
def serving(root: Path, *options: str, folder: Path):
    """Start a server on free ports and end it afterwards."""
    log = folder / "serve.log"
    with log.open("w") as said:
        process = start(root, *options, stdout=said, stderr=said)
    server = Server(process, log)
    try:
        server.wait_for("gRPC   ", STARTS)
        addresses = dict(line.split() for line in server.said.splitlines() if line.startswith(("REST ", "gRPC ")))
        server.rest, server.grpc = addresses["REST"].removesuffix(":predict"), addresses["gRPC"]
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ask(url, data=None, headers=None):
    """Return (status, parsed body, headers)."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as err:
        return err.code, json.loads(err.read()), err.headers


def raw(server, data):
    """Return the first bytes that the server answers to some bytes; none if it closes the connection."""
    try:
        with connect(server) as connection:
            connection.sendall(data)
            return connection.recv(1 << 16)
    except ConnectionError:
        return b""


def connect(server):
    """Return a connection to the REST port."""
    address = urllib.parse.urlsplit(server.rest)
    return socket.create_connection((address.hostname, address.port), timeout=30)
