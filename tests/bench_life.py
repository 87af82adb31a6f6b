"""A root in a long life: many runs with nothing changed, some with another seed, then `lineage gc` and `serving prune`.

`make bench-life` prints, after each stretch, how long an unchanged run and a question take, and what lies in the root by
folder; at the end, what the two commands that clean up bring back. The digits, on which a run is short: what a run adds to a
root hardly depends on its data, but for the artifacts of a changed one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PROJECT: Final = Path(__file__).resolve().parents[1]

STRETCHES: Final = 4
"""Into which the unchanged runs are divided."""

TIMED: Final = 10
"""Runs at the end of a stretch whose median is printed."""

FOLDERS: Final = ("artifacts", "serving", "records", "reports", "logs", "metadata.db", "ledger.jsonl", "the rest")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A root at one time.

    Attributes:
      after: what was done to it, in words.
      runs: in its ledger.
      unchanged_s: median wall time of an unchanged run, seconds; None where none was made.
      changed_s: the same of runs that trained; None where none did.
      audit_s: of `lineage audit`.
      trace_s: of `lineage trace` of the newest version.
      bytes: {folder of the root: bytes on disk in it}.
    """

    after: str
    runs: int
    unchanged_s: float | None
    changed_s: float | None
    audit_s: float
    trace_s: float
    bytes: dict[str, int]


class Life:
    """A root, and the commands that it is given."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def give(self, *words: object) -> tuple[float, Any]:
        """Return how long a command took, in seconds, and its data; end here where it fails."""
        command = [sys.executable, "-m", "pipeline", *map(str, words), "--root", str(self.root), "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
        return taken, json.loads(done.stdout)["data"]

    def unchanged(self, seed: int) -> float:
        """Return how long a run takes that has to reuse everything."""
        taken, data = self.give("run", *settings(seed))
        if executed := [node["id"] for node in data["nodes"] if node["state"] != "cached"]:
            sys.exit(f"an unchanged run executed {', '.join(executed)}")
        return taken

    def changed(self, seed: int) -> float:
        """Return how long a run takes that has to train."""
        taken, data = self.give("run", *settings(seed))
        if not any(node["id"] == "Classifier" and node["state"] == "executed" for node in data["nodes"]):
            sys.exit(f"seed {seed} was not trained with")
        return taken

    def now(self, after: str, unchanged: Sequence[float] = (), changed: Sequence[float] = ()) -> Moment:
        """Look at the root."""
        return Moment(
            after=after,
            runs=len(self.give("runs", "list")[1]["runs"]),
            unchanged_s=statistics.median(unchanged) if unchanged else None,
            changed_s=statistics.median(changed) if changed else None,
            audit_s=self.give("lineage", "audit")[0],
            trace_s=self.give("lineage", "trace")[0],
            bytes=self.sizes(),
        )

    def sizes(self) -> dict[str, int]:
        """Return the bytes on disk by folder of the root."""
        found = dict.fromkeys(FOLDERS, 0)
        for entry in self.root.iterdir():
            files = [entry, *entry.rglob("*")] if entry.is_dir() and not entry.is_symlink() else [entry]
            size = sum(file.lstat().st_blocks * 512 for file in files)
            found[entry.name if entry.name in found else "the rest"] += size
        return found


def settings(seed: int) -> list[str]:
    """Return the options of a run with another seed, which may be a little worse than the version before."""
    return ["--set", f"seed={seed}", "--set", "evaluation.baseline_margin=0.5"]


def moments(life: Life, unchanged: int, changed: int, done: Callable[[], None]) -> Iterator[Moment]:
    """Yield the root after each stretch of its life, and call `done` after every run."""

    def each(times: Iterable[float]) -> Iterator[float]:
        for one in times:
            done()
            yield one

    life.changed(0)
    done()
    for stretch in range(STRETCHES):
        first, last = (unchanged * number // STRETCHES for number in (stretch, stretch + 1))
        times = list(each(life.unchanged(0) for _ in range(first, last)))
        if stretch == 0:
            yield life.now(f"{len(times)} unchanged runs, the first {len(times[:TIMED])} timed", times[:TIMED])
        yield life.now(f"{last} unchanged runs", times[-TIMED:])
    trained = list(each(life.changed(seed) for seed in range(1, changed + 1)))
    repeated = list(each(life.unchanged(changed) for _ in range(TIMED)))
    yield life.now(f"{changed} changed runs, and {TIMED} unchanged ones", repeated, trained)
    life.give("serving", "prune", "--keep", 3)
    life.give("lineage", "gc")
    yield life.now("`serving prune --keep 3`, `lineage gc`")
    yield life.now(f"{TIMED} unchanged runs more", list(each(life.unchanged(changed) for _ in range(TIMED))))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unchanged", type=int, default=200, help="unchanged runs (200)")
    parser.add_argument("--changed", type=int, default=30, help="runs with another seed (30)")
    asked = parser.parse_args()
    table = Table("after", "runs", "unchanged", "changed", "audit", "trace", *FOLDERS, "in all")
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-life-") as folder:
        # A cache of its own: one that was filled before would make the first runs faster than they are.
        os.environ["MNIST_TFX_CACHE"] = str(Path(folder) / "cache")
        with Progress(console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task("runs", total=1 + asked.unchanged + asked.changed + 2 * TIMED)
            for one in moments(
                Life(Path(folder) / "root"), asked.unchanged, asked.changed, lambda: shown.advance(task)
            ):
                seconds = (one.unchanged_s, one.changed_s, one.audit_s, one.trace_s)
                times = ("" if value is None else f"{value:.2f} s" for value in seconds)
                sizes = (f"{size / 1e6:.1f} MB" for size in (*one.bytes.values(), sum(one.bytes.values())))
                table.add_row(one.after, str(one.runs), *times, *sizes)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
