"""Runs the recipes of the five seed systems and writes README's table of them: `make seeds`, `make seeds ROWS="cnn mlp"`.

A row of three seeds gives the mean and the range; a `paper` profile runs once. Every run is an ordinary one, with a root
of its own under runs/seeds/, so a row that was interrupted goes on from its last checkpoint, and one whose code, data and
settings did not change is cached. Each row has the seconds of whole runs, over all attempts that a run took.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

PROJECT: Final = Path(__file__).resolve().parents[1]
DATA: Final = PROJECT.parent / "shared" / "data"
RUNS: Final = PROJECT / "runs" / "seeds"
README: Final = PROJECT / "README.md"
MNIST: Final = "mnist"
SAMPLE: Final = "mnist/mnist_train_small.csv.gz"
HEADING: Final = "| recipe | the seed's figure | here, on the test part | a run |\n|---|---|---|---|\n"


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
    Row("autoencoder-classifier", "paper", MNIST, "the same", (), (0,)),
    Row("cnn", "fast", MNIST, "99.40 %", (_accuracy(0.994),)),
    Row("cnn", "paper", MNIST, "the same", (), (0,)),
    Row("optdigits-cnn", "fast", "optdigits", "97.7 %; 1-nearest-neighbour 98.0 %", (_accuracy(0.983),)),
    Row("optdigits-cnn", "paper", "optdigits", "the same", (), (0,)),
    Row("linear", None, SAMPLE, "about 90 %", (_accuracy(0.90),)),
    Row("dnn", None, SAMPLE, "95 % or better", (_accuracy(0.95),)),
    Row("mlp", "fast", MNIST, "98 %", (_accuracy(0.982),)),
    Row("mlp", "paper", MNIST, "the same", (), (0,)),
    Row("mnist", None, MNIST, "none: ours, free in its sizes", (_accuracy(0.98),)),
)


def run(row: Row, seed: int, *, again: bool) -> Figures:
    """Runs one seed of a row, or finds it done; its progress goes to standard error.

    Raises:
      SystemExit: if the run came to no metrics; its own line says why.
    """
    root = RUNS / row.name.replace(":", "-") / str(seed)
    command = [sys.executable, "-m", "pipeline", "run", "--recipe", row.recipe, "--data", str(DATA / row.data)]
    command += ["--root", str(root), "--seed", str(seed), "--json"]
    command += [] if row.profile is None else ["--profile", row.profile]
    command += ["--no-cache", "--rebuild"] if again else []
    spent = _Spent(root / "seconds.json")
    started = time.monotonic()
    try:
        out = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False).stdout
    finally:
        spent.add(time.monotonic() - started)
    answer = json.loads(out) if out else {}
    if not answer.get("metrics"):
        raise SystemExit(f"{row.name}, seed {seed}: {answer.get('error') or 'it ended without an answer'}")
    trained = any(node["id"] == "Classifier" and node["state"] == "executed" for node in answer["nodes"])
    return Figures(answer["metrics"], spent.settle(trained=trained))


class _Spent:
    """Seconds of a run over all its attempts, kept in its root: a resumed training would seem short otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._run: float | None = kept.get("run")
        self._attempts: float = kept.get("attempts", 0.0)

    def add(self, seconds: float) -> None:
        self._attempts += seconds
        self._write()

    def settle(self, *, trained: bool) -> float:
        """Ends the attempts; a run that found its training cached costs what the training one did."""
        if trained or self._run is None:
            self._run = self._attempts
        self._attempts = 0.0
        self._write()
        return self._run

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({"run": self._run, "attempts": self._attempts}))


def line_of(row: Row, found: list[Figures]) -> str:
    """Returns a row of the table, in Markdown."""
    shown = [f"accuracy {_spread([one.metrics['accuracy'] for one in found])}"]
    if (
        (mse := [one.metrics.get("reconstruction_mse") for one in found])
        and None not in mse
        and row.profile is not None
    ):
        shown.insert(0, f"MSE {_spread(mse)}")
    seconds = statistics.median(one.seconds for one in found)
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
    name, _, profile = row.name.partition(":")
    cell = f"`{name}`" + (f", `{profile}`" if profile else "")
    return f"| {cell} | {row.says} | {'; '.join(shown)} | {took} |"


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
    return lines


def write(lines: dict[str, str], readme: Path = README) -> None:
    """Puts lines in place of those of the same rows in the README's table; other rows stay."""
    text = readme.read_text(encoding="utf-8")
    [table] = re.findall(re.escape(HEADING) + r"(?:\|.*\n)*", text)
    kept = {line.split(" | ")[0]: line for line in table[len(HEADING) :].splitlines()}
    kept.update({line.split(" | ")[0]: line for line in lines.values()})
    order = [line_of(row, [Figures({"accuracy": 0.0}, 0.0)]).split(" | ")[0] for row in ROWS]
    body = "".join(f"{kept[cell]}\n" for cell in order if cell in kept)
    readme.write_text(text.replace(table, HEADING + body), encoding="utf-8")


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
        write({row.name: line})
        failures += missed(row, found)
    for failure in failures:
        console.print(failure, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
