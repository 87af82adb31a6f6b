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
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import many_records
from rich.console import Console
from rich.table import Table
from scale import sampling

from pipeline.lineage.impact import impact
from pipeline.lineage.index import open_lineage
from pipeline.lineage.trace import trace
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import measure as measure_artifact
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.plain_files import Hasher
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.root.paths import RunPaths

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"
PEER = SHARED / "peer" / "official_mnist.py"


@dataclass(frozen=True)
class Measured:
    """One process tree: what it printed as JSON, wall seconds, peak proportional set size in bytes."""

    answer: dict[str, Any]
    wall_s: float
    peak_bytes: int


def measure(command: list[str]) -> Measured:
    """Runs a command that prints one JSON object."""
    taken = sampling.measure(command)
    if taken.status:
        sys.exit(f"{' '.join(command)} ended with {taken.status}: {taken.output[:500]}")
    answer = json.loads(taken.output)
    return Measured(answer.get("data", answer), taken.wall_s, taken.peak)  # the peer has no envelope


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
        rows.append((name, f"{left:.{1 if left >= 10 else 2}f}{unit}", f"{right:.1f}{unit}", f"{ratio:.2f}"))

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


COUNTERPARTS = {
    "ExampleGen": "ImportExampleGen",
    "ReviewedSchema": "SchemaGen",
    "Classifier": "Trainer",
}
"""{node of ours: node of the example that does its work under another name}."""


def nodes(pairs: list[dict[str, Measured]]) -> list[tuple[str, str, str]]:
    """Returns (node, median seconds of ours, of the example's), where both have it; what is in no node comes last."""
    ours = _medians([_by_node(one["first"]) for one in pairs])
    peers = _medians(
        [one["peer"].answer["nodes"] | _outside(one["peer"], one["peer"].answer["nodes"]) for one in pairs]
    )
    rows = [(name, f"{s:.1f}", _seconds(peers.pop(COUNTERPARTS.get(name, name), None))) for name, s in ours.items()]
    return rows + [(f"{name}, the example's", "", _seconds(s)) for name, s in peers.items()]


def _by_node(run: Measured) -> dict[str, float]:
    seconds = {node["id"]: node["seconds"] for node in run.answer["nodes"]}
    return seconds | _outside(run, seconds)


def _outside(run: Measured, seconds: dict[str, float]) -> dict[str, float]:
    # Nodes that ran side by side count once each, so that of ours this is the least that was outside of them.
    imports = run.answer["import_s"]
    return {"(import)": imports, "(between, report)": max(0.0, run.answer["total_s"] - imports - sum(seconds.values()))}


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def lineage(root: Path, runs: int = 5) -> list[tuple[str, str]]:
    """Returns what reading the lineage of a full-MNIST root costs, each command in cold processes of its own."""
    program = [sys.executable, "-m", "pipeline", "lineage"]
    audits = [cold([*program, "audit", "newest", "--root", str(root)], ok=(0, 1)) for _ in range(runs)]
    files = [str(path) for folder in ("artifacts", "inputs", "serving") for path in (root / folder).rglob("*")]
    files = [path for path in files if os.path.isfile(path)]
    size = sum(os.path.getsize(path) for path in files)
    sums = [cold(["sha256sum", *files], ok=(0,)) for _ in range(runs)]
    train = str(SHARED / "data" / "mnist" / "train-images-idx3-ubyte.gz")
    impacts = [cold([*program, "impact", train, "--root", str(root), "--json"], ok=(0,)) for _ in range(runs)]
    hashing_s = statistics.median(_hashing(files) for _ in range(runs))
    audit_s, sum_s, impact_s = (statistics.median(one.wall_s for one in many) for many in (audits, sums, impacts))
    return [
        ("audit of the newest version, cold", f"{audit_s:.2f} s"),
        ("  peak memory", f"{max(one.peak_bytes for one in audits) / 2**20:.0f} MiB"),
        ("sha256sum of the same root's files", f"{sum_s:.2f} s ({size / 2**20:.0f} MiB)"),
        ("  its time / that of the audit's hashing", f"{sum_s / hashing_s:.2f}"),
        ("impact of the train images, cold", f"{impact_s:.2f} s"),
        ("recording, of the whole run", f"{100 * recording_share(root):.2f} %"),
    ]


def _hashing(files: list[str]) -> float:
    """Returns the seconds that the audit's hasher takes for files that sha256sum was given as well."""
    started = time.monotonic()
    with Hasher() as hasher:
        for digest in [hasher.start(path) for path in files]:
            digest.result()
    return time.monotonic() - started


def cold(command: list[str], *, ok: tuple[int, ...]) -> Measured:
    """Times a command that prints what nobody reads."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ok:
        sys.exit(f"{command[:6]} ended with {process.returncode}")
    return Measured({}, time.monotonic() - started, usage.ru_maxrss * 1024)


def recording_share(root: Path) -> float:
    """Returns the share of the run that went into digests, records and ledger, by doing that part again."""
    records = list(record_store.scan(RunPaths(root).records).values())
    executions = [record for record in records if isinstance(record, ExecutionRecord)]
    started = time.monotonic()
    for record in executions:
        for entry in (entry for made in record.outputs.values() for entry in made):
            measure_artifact(root, entry.path, type_name=entry.type)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        ledger = Ledger.open(Path(folder) / "ledger.jsonl")
        for record in executions:
            line = ledger.intent(node=record.node, run_id=record.run_id)
            ledger.commit(line, record=record_store.write(Path(folder) / "records", record))
    seconds = time.monotonic() - started
    [run] = [record for record in records if isinstance(record, RunRecord)][:1]
    return seconds / sum(node.seconds for node in run.nodes)


def large_store(generations: int = 2250, runs: int = 3) -> list[tuple[str, str]]:
    """Returns what trace and impact cost in a store of 100,000 artifacts, 2,000 generations deep."""
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as folder:
        built = many_records.build(Path(folder) / "root", generations=generations, runs=runs)
        os.environ["XDG_CACHE_HOME"] = folder
        first = time.monotonic()
        open_lineage(built.root)
        started = time.monotonic()
        history = open_lineage(built.root)
        opened = time.monotonic()
        traced = trace(history)
        after_trace = time.monotonic()
        found = impact(history, [built.first_payload])
        after_impact = time.monotonic()
    return [
        ("records", f"{built.records:,}"),
        ("opening for the first time", f"{started - first:.1f} s"),
        ("opening", f"{opened - started:.1f} s"),
        ("trace after opening", f"{after_trace - opened:.2f} s ({traced.nodes_visited:,} nodes)"),
        ("impact after opening", f"{after_impact - after_trace:.2f} s ({found.nodes_visited:,} nodes)"),
    ]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often both are run (default: 3)")
    parser.add_argument("--only", choices=("run", "lineage"), help="one half of the tables")
    asked = parser.parse_args()
    if not PEER.exists():
        sys.exit(f"the official example is not at {PEER}")
    console = Console(highlight=False)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    console.print(f"{os.cpu_count()} cores, {memory:.0f} GiB")
    if asked.only != "lineage":
        print_runs(asked.pairs, console)
    if asked.only != "run":
        print_lineage(console)


def print_lineage(console: Console) -> None:
    """Makes a full-MNIST root, reads its lineage, then that of a large one."""
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as work:
        root = Path(work) / "root"
        data = str(SHARED / "data" / "mnist")
        measure([sys.executable, "-m", "pipeline", "run", "--data", data, "--root", str(root), "--json"])
        table = Table("lineage of one full-MNIST root", "median of 5")
        for row in lineage(root):
            table.add_row(*row)
    console.print(table)
    table = Table("a store of 2,250 generations", "")
    for row in large_store():
        table.add_row(*row)
    console.print(table)


def print_runs(pairs_wanted: int, console: Console) -> None:
    """Runs both in turn and prints the medians."""
    pairs = []
    for number in range(1, pairs_wanted + 1):
        with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as work:
            pairs.append(pair(Path(work)))
        sys.stderr.write(f"pair {number} of {pairs_wanted} done\n")
    console.print(f"medians of {pairs_wanted} pairs; MNIST, 60,000 + 10,000 rows")
    table = Table("figure", "mnist-tfx", "official example", "ratio")
    for row in figures(pairs):
        table.add_row(*row)
    console.print(table)
    table = Table("node", "mnist-tfx, s", "official example, s")
    for row in nodes(pairs):
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
