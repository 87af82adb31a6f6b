"""The whole pipeline against the official TFX example, on the same 60,000 images, in turn: `make bench`.

Every figure is wall time of whole processes on this machine; what counts is the ratio within a pair, and the median
over pairs. The peer is the example inside the installed TFX, unchanged; it trains one small dense network, we train an
autoencoder and a classifier. Memory is the peak over all processes together, sampled as proportional set size, so that
pages shared by a fork count once.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"
PEER = SHARED / "peer" / "official_mnist.py"
SAMPLE_S = 0.25


@dataclass(frozen=True)
class Measured:
    """One process tree: what it printed as JSON, wall seconds, peak proportional set size in bytes."""

    answer: dict[str, Any]
    wall_s: float
    peak_bytes: int


def measure(command: list[str]) -> Measured:
    """Runs a command that prints one JSON object."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=PROJECT, start_new_session=True
    )
    peak = [0]

    def sample() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], _memory_of_session(process.pid))
            time.sleep(SAMPLE_S)

    sampler = threading.Thread(target=sample)
    sampler.start()
    out, _ = process.communicate()
    wall = time.monotonic() - started
    sampler.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {out[:500]}")
    return Measured(json.loads(out), wall, peak[0])


def _memory_of_session(session: int) -> int:
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                rollup = (folder / "smaps_rollup").read_text()
                total += 1024 * int(rollup.partition("Pss:")[2].split()[0])
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
    return total


def pair(work: Path) -> dict[str, Measured]:
    """Runs the peer, a first run of ours, and a second one that finds everything cached."""
    data = str(SHARED / "data" / "mnist")
    ours = [sys.executable, "-m", "pipeline", "run", "--data", data, "--root", str(work / "root"), "--json"]
    return {
        "peer": measure([sys.executable, str(PEER), data, str(work / "peer")]),
        "first": measure(ours),
        "again": measure(ours),
    }


def figures(pairs: list[dict[str, Measured]]) -> list[tuple[str, str, str, str]]:
    """Returns rows of (figure, ours, peer's, ratio), each the median over pairs."""
    rows = []

    def add(name: str, ours: Any, peer: Any, unit: str = " s") -> None:
        both = [(ours(one), peer(one)) for one in pairs]
        left, right = (statistics.median(column) for column in zip(*both, strict=True))
        ratio = statistics.median(a / b for a, b in both)
        rows.append((name, f"{left:.1f}{unit}", f"{right:.1f}{unit}", f"{ratio:.2f}"))

    def answer(which: str, key: str) -> Any:
        return lambda one: one[which].answer[key]

    add("whole run", answer("first", "total_s"), answer("peer", "total_s"))
    add("training", answer("first", "train_s"), answer("peer", "train_s"))
    add("all but training", lambda one: _overhead(one["first"]), answer("peer", "overhead_s"))
    add("all cached", answer("again", "total_s"), answer("peer", "total_s"))
    add("peak memory", lambda o: o["first"].peak_bytes / 2**30, lambda o: o["peer"].peak_bytes / 2**30, " GiB")
    accuracy = statistics.median(one["first"].answer["metrics"]["accuracy"] for one in pairs)
    rows.append(("test accuracy", f"{accuracy:.4f}", "", ""))
    return rows


def _overhead(run: Measured) -> float:
    return float(run.answer["total_s"]) - float(run.answer["train_s"])


def nodes(pairs: list[dict[str, Measured]]) -> list[tuple[str, str]]:
    """Returns (node, median seconds) of our first runs."""
    names = [node["id"] for node in pairs[0]["first"].answer["nodes"]]
    seconds = [{node["id"]: node["seconds"] for node in one["first"].answer["nodes"]} for one in pairs]
    imports = statistics.median(one["first"].answer["import_s"] for one in pairs)
    return [
        ("(import)", f"{imports:.1f}"),
        *((name, f"{statistics.median(one[name] for one in seconds):.1f}") for name in names),
    ]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often both are run (default: 3)")
    pairs_wanted = parser.parse_args().pairs
    if not PEER.exists():
        sys.exit(f"the official example is not at {PEER}")
    pairs = []
    for number in range(1, pairs_wanted + 1):
        with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as work:
            pairs.append(pair(Path(work)))
        sys.stderr.write(f"pair {number} of {pairs_wanted} done\n")
    console = Console(highlight=False)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    console.print(
        f"{os.cpu_count()} cores, {memory:.0f} GiB; medians of {pairs_wanted} pairs; MNIST, 60,000 + 10,000 rows"
    )
    table = Table("figure", "mnist-tfx", "official example", "ratio")
    for row in figures(pairs):
        table.add_row(*row)
    console.print(table)
    table = Table("node", "s")
    for row in nodes(pairs):
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
