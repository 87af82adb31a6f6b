"""The pages of a root of 200 runs, asked of a server as users start it: `make bench-pages`.

Then the approval of what is served is withdrawn, and the time until nothing answers any more is printed. Each run has executions, a version and a signed approval of its own, and every fifth one read other rows. What is printed is
the time of whole requests on one connection: the first, which reads everything; those after it, while nothing happens in
the root; and the one after a further run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from bench_serve import memory
from rich.console import Console
from rich.table import Table
from server.many_runs import Runs
from server.running_server import Server, serving

from pipeline.provenance import keys
from pipeline.provenance.approval_writer import Person, add_key, approve, withdraw
from pipeline.provenance.approvals import VERSION
from pipeline.root.paths import RunPaths

PROJECT = Path(__file__).resolve().parents[1]
REPEATED = 50
PIXELS = 64
"""Of the digits, which a root is made from."""


def build(root: Path, runs: int, folder: Path) -> Runs:
    """Adds runs to a root that has one, all of its model's bytes, so that the server can load the newest of them."""
    writer, ada = Runs(root), Person(by="Ada", reason="as good as the one before")
    pair = keys.generate(folder, algorithm=keys.ED25519)
    key = keys.load_private(pair.private, lambda: b"")
    add_key(writer.ledger, key.public, "Ada", ada)
    for number in range(2, runs + 1):
        add(writer, number)
        approve(writer.ledger, "version", f"version {number}", writer.sha256, ada, key)
    return writer


def add(writer: Runs, number: int) -> None:
    rows = None if number % 5 else f"{number:064x}"
    writer.add_own(number, {"Classifier": {"seed": str(number)}}, digest=writer.sha256, rows=rows)


def timed(connection: http.client.HTTPConnection, path: str) -> float:
    """Returns the milliseconds of a request."""
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (path, answer.status)
    return 1000 * (time.perf_counter() - started)


def measure(server: Server, writer: Runs, runs: int) -> list[tuple[str, list[float]]]:
    """Returns (path, milliseconds: first, median and largest of the repeated, after another run) of each page."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.rest).netloc, timeout=60)
    timed(connection, "/draw")  # waits for what is imported after the start
    rows = []
    for path in ("/", f"/versions/{runs}", f"/runs/{writer.first.run_id}"):
        first, repeated = timed(connection, path), [timed(connection, path) for _ in range(REPEATED)]
        rows.append((path, [first, statistics.median(repeated), max(repeated)]))
    for offset, (path, figures) in enumerate(rows, start=1):
        add(writer, runs + offset)
        figures.append(timed(connection, path))
    return rows


def withdrawn(server: Server, writer: Runs) -> float:
    """Returns the milliseconds from the line that withdraws an approval to the first request that is refused for it."""
    body = json.dumps({"instances": [[0] * PIXELS]}).encode()
    assert server.post(body)[0] == 200
    started = time.perf_counter()
    withdraw(writer.ledger, VERSION, "the model", writer.sha256, Person(by="Ops", reason="mislabelled"), None)
    while server.post(body)[0] == 200:
        pass
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="root with one run, which is copied; by default one is made")
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as text:
        folder = Path(text)
        root = folder / "root"
        if given.root is None:
            command = [sys.executable, "-m", "pipeline", "run", "--root", str(root)]
            subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            shutil.copytree(given.root, root, symlinks=True)
        writer = build(root, given.runs, folder / "keys")
        with serving(root, "--require-approval", folder=folder) as server:
            rows = measure(server, writer, given.runs)
            megabytes = memory(server.process.pid)
            dropped = withdrawn(server, writer)
        lines = RunPaths(root).ledger.read_bytes().count(b"\n")
    table = Table(f"{given.runs} runs, {lines:,} ledger lines, ms", "first", "median", "largest", "after another run")
    for path, figures in rows:
        table.add_row(path, *(f"{figure:.0f}" for figure in figures))
    console = Console(width=120)
    console.print(table)
    console.print(f"approval withdrawn to no answer, ms: {dropped:.0f}")
    console.print(f"memory of the server, MB: {megabytes:.0f}")


if __name__ == "__main__":
    main()
