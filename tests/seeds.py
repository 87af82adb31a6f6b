"""Runs the recipes of the five seed systems and writes the table of them in docs/benchmarks.md: `make seeds`, `make seeds ROWS="cnn mlp"`.

A row of three seeds gives the mean and the range; of the `paper` profiles, `cnn` has three and the others one. Every run is an ordinary one, with a root
of its own under runs/seeds/, so a row that was interrupted goes on from its last checkpoint, and one whose code, data and
settings did not change is cached. Its time is that of its nodes wherever they were executed, as the records have it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from pipeline.provenance import record_store
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.root.paths import RunPaths

PROJECT: Final = Path(__file__).resolve().parents[1]
DATA: Final = PROJECT.parent / "shared" / "data"
RUNS: Final = PROJECT / "runs" / "seeds"
BENCHMARKS: Final = PROJECT / "docs" / "benchmarks.md"
LONG_S: Final = 120
"""From here on times are in minutes."""

MNIST: Final = "mnist"
SAMPLE: Final = "mnist/mnist_train_small.csv.gz"
HEADING: Final = "| recipe | the seed's figure | here, on the test part | its nodes took |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Goal:
    """What a metric of the Evaluator has to reach: at least `bound`, or at most where less is better."""

    metric: str
    bound: float
    least: bool = True

    def holds(self, value: float) -> bool:
        """Whether a mean reaches the bound."""
        return value >= self.bound if self.least else value <= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    recipe: str
    profile: str | None
    data: str
    says: str
    """The figure that the seed reports, in words."""
    goals: tuple[Goal, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    limit_s: float | None = None
    """Longest that a run may take, on two cores."""

    @property
    def name(self) -> str:
        """How the row is asked for, and its root called: the recipe, and its profile where it has any."""
        return self.recipe if self.profile is None else f"{self.recipe}:{self.profile}"


@dataclass(frozen=True)
class Figures:
    """What one run came to."""

    metrics: dict[str, Any]
    seconds: float


def _accuracy(bound: float) -> Goal:
    return Goal("accuracy", bound)


ROWS: Final = (
    Row(
        "autoencoder-classifier",
        "fast",
        MNIST,
        "reconstruction MSE about 0.025",
        (Goal("reconstruction_mse", 0.025, least=False), _accuracy(0.92)),
    ),
    # Its seed says nothing of the classifier, and not on which part the loss was measured.
    Row("autoencoder-classifier", "paper", MNIST, "the same", (), (0,)),
    Row("cnn", "fast", MNIST, "99.40 %", (_accuracy(0.994),), limit_s=600),
    # Three seeds here too, as one run says little where a hundredth of a percent is asked about.
    Row("cnn", "paper", MNIST, "the same", (_accuracy(0.994),)),
    Row("optdigits-cnn", "fast", "optdigits", "97.7 %; 1-nearest-neighbour 98.0 %", (_accuracy(0.983),)),
    Row("optdigits-cnn", "paper", "optdigits", "the same", (_accuracy(0.977),), (0,)),
    Row("linear", None, SAMPLE, "about 90 %", (_accuracy(0.90),)),
    Row("dnn", None, SAMPLE, "95 % or better", (_accuracy(0.95),)),
    Row("mlp", "fast", MNIST, "98 %", (_accuracy(0.982),)),
    Row("mlp", "paper", MNIST, "the same", (_accuracy(0.98),), (0,)),
    Row("mnist", None, MNIST, "none: ours, free in its sizes", (_accuracy(0.98),)),
)


def run(row: Row, seed: int, *, again: bool) -> Figures:
    """Runs one seed of a row, or finds it done; its progress goes to standard error.

    Raises:
      SystemExit: if the run came to no metrics, or its gates refused the model; its own line says why.
    """
    root = RUNS / row.name.replace(":", "-") / str(seed)
    command = [sys.executable, "-m", "pipeline", "run", "--recipe", row.recipe, "--data", str(DATA / row.data)]
    command += ["--root", str(root), "--seed", str(seed), "--json"]
    command += [] if row.profile is None else ["--profile", row.profile]
    command += ["--no-cache", "--rebuild"] if again else []
    out = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False).stdout
    answer: dict[str, Any] = json.loads(out) if out else {"error": {"what": "it ended without an answer"}}
    if answer["error"] or not answer["data"]["blessed"]:
        raise SystemExit(f"{row.name}, seed {seed}: {(answer['error'] or {'what': 'not blessed'})['what']}")
    return Figures(answer["data"]["metrics"], seconds_of(root, answer["data"]["run_id"]))


def seconds_of(root: Path, run_id: str) -> float:
    """Returns what a run's nodes took where they were executed, whichever attempts and earlier runs that was in."""
    records = record_store.scan(RunPaths(root).records)
    [found] = [one for one in records.values() if isinstance(one, RunRecord) and one.run_id == run_id]
    executions = [records[node.record] for node in found.nodes if node.record is not None]
    return sum(_seconds(root, one) for one in executions if isinstance(one, ExecutionRecord))


def _seconds(root: Path, execution: ExecutionRecord) -> float:
    """Returns seconds of one node; of a resumed training all epochs, also those of the attempts before the last."""
    if "model_run" not in execution.outputs:
        return execution.seconds
    training = json.loads((root / execution.outputs["model_run"][0].path / "training.json").read_text())
    parts = [part for part in (training, training.get("retrained")) if part]
    return max(execution.seconds, sum(float(part["seconds"]) for part in parts))


def line_of(row: Row, found: list[Figures]) -> str:
    """Returns a row of the table, in Markdown."""
    shown = [f"accuracy {_spread([float(one.metrics['accuracy']) for one in found])}"]
    if row.recipe == "autoencoder-classifier":
        shown.insert(0, f"MSE {_spread([float(one.metrics['reconstruction_mse']) for one in found])}")
    seconds = statistics.median(one.seconds for one in found)
    took = f"{seconds:.0f} s" if seconds < LONG_S else f"{seconds / 60:.1f} min"
    return f"{_cell(row)}{row.says} | {'; '.join(shown)} | {took} |"


def _cell(row: Row) -> str:
    """Returns the first cell, by which a row is found again."""
    return f"| `{row.recipe}`{'' if row.profile is None else f', `{row.profile}`'} | "


def _spread(values: list[float]) -> str:
    mean = f"{statistics.fmean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4f} to {max(values):.4f})"


def missed(row: Row, found: list[Figures]) -> list[str]:
    """Returns a line for each goal that the mean over the seeds does not reach."""
    lines = []
    for goal in row.goals:
        mean = statistics.fmean(one.metrics[goal.metric] for one in found)
        if not goal.holds(mean):
            wanted = f"{'at least' if goal.least else 'at most'} {goal.bound}"
            lines.append(f"{row.name}: {goal.metric} is {mean:.5f} on test, wanted {wanted}")
    if row.limit_s is not None and (seconds := statistics.median(one.seconds for one in found)) > row.limit_s:
        lines.append(f"{row.name}: a run took {seconds:.0f} s, wanted at most {row.limit_s:.0f}")
    return lines


def write(line: str, page: Path = BENCHMARKS) -> None:
    """Put a row into the page's table, in place of the same row if it is there, or where `ROWS` has it."""
    text = page.read_text(encoding="utf-8")
    [table] = re.findall(re.escape(HEADING) + r"(?:\|.*\n)*", text)
    lines = [*table[len(HEADING) :].splitlines(), line]
    last = {cell: line for line in lines for cell in map(_cell, ROWS) if line.startswith(cell)}
    body = "".join(f"{last[cell]}\n" for cell in map(_cell, ROWS) if cell in last)
    page.write_text(text.replace(table, HEADING + body), encoding="utf-8")


def asked_for(names: list[str]) -> list[Row]:
    """Returns the rows of these names, a recipe's name standing for all its profiles.

    Raises:
      SystemExit: if a name is none of them.
    """
    known = {row.name for row in ROWS} | {row.recipe for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no row {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [row for row in ROWS if not names or row.name in names or row.recipe in names]


def main() -> None:
    """Runs what is asked for, writes the table after every row and ends with 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="recipe, or recipe:profile; all of them if none is named")
    parser.add_argument("--again", action="store_true", help="train anew also where a run is cached or can be resumed")
    options = parser.parse_args()
    if not DATA.exists():
        raise SystemExit(f"no data at {DATA}")
    console, failures = Console(), []
    for row in asked_for(options.rows):
        found = [run(row, seed, again=options.again) for seed in row.seeds]
        line = line_of(row, found)
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        write(line)
        failures += missed(row, found)
    for failure in failures:
        console.print(failure, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
