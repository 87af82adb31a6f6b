"""The whole pipeline at several sizes of data, for `make bench-scale SIZES="1 4 16"`: time and memory by node.

    cd tests && python -m scale.bench 1 4 16

Each size is written by `scale.images`, run with the recipe `mnist` and default settings into a root of its own, and removed.
Time is wall time, beside CPU seconds, which neighbours do not disturb; memory is the most that all processes of the run had
together, as proportional set sizes. What was measured is kept as `build/scale/x<N>.json`, and the table is of those asked for:
with --print nothing is run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scale import images
from scale.sampling import Measured, Sample, measure

from pipeline.stages import STAGES

PROJECT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = PROJECT / "build" / "scale"

LINEAR: Final = 1.15
"""Time may grow by so much more than the rows do."""

PEAK: Final = 3_000_000_000
"""Bytes that all processes of a run may have together, at any size."""

AROUND: Final = "(start, between, report)"
LARGEST: Final = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeUse:
    """What a node took.

    Attributes:
      name: of the node, or `AROUND`.
      wall_s: seconds.
      cpu_s: seconds, of all processes meanwhile: imports for later nodes too.
      peak: bytes of all processes meanwhile.
      at_peak: {process: bytes} at that moment, the largest.
    """

    name: str
    wall_s: float
    cpu_s: float
    peak: int
    at_peak: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One run.

    Attributes:
      times: how many times MNIST.
      rows: of train, validation and test together.
      settings: of `--set`, where they were not the recipe's.
      cores: of the machine.
      wall_s: seconds of the whole command.
      cpu_s: seconds of all its processes.
      peak: bytes of all its processes.
      metrics: as the run printed them.
      nodes: in the order of the flow.
    """

    times: int
    rows: int
    settings: Sequence[str]
    cores: int
    wall_s: float
    cpu_s: float
    peak: int
    metrics: Mapping[str, float]
    nodes: Sequence[NodeUse]

    def write(self, folder: Path) -> None:
        """Write it as `x<times>.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"x{self.times}.json").write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Result:
        """Return what `write` wrote."""
        fields = json.loads(path.read_text())
        nodes = tuple(NodeUse(**node) for node in fields.pop("nodes"))
        return cls(**{**fields, "settings": tuple(fields["settings"])}, nodes=nodes)


def run(times: int, kept: Path | None, settings: Sequence[str], options: Sequence[str]) -> Result:
    """Write the data, run the pipeline on them, and return what that took.

    Args:
      times: how many times MNIST.
      kept: folder with the data of an earlier call, or for a later one, as `x<times>`; None writes and removes them.
      settings: `KEY=VALUE` for `--set`.
      options: further ones of `mnist-tfx run`.
    """
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-scale-") as work:
        data, trace = (kept or Path(work)) / f"x{times}", Path(work) / "trace.json"
        if not data.exists():
            images.write(data, times=times)
            os.sync()  # else the first node shares the disk with what was written just now
        command = [sys.executable, "-m", "pipeline", "run", "--data", str(data), "--root", str(Path(work) / "root")]
        command += ["--recipe", "mnist", "--trace", str(trace), "--json", *options]
        command += [word for setting in settings for word in ("--set", setting)]
        with (RESULTS / f"x{times}.log").open("w") as log:
            measured = measure(command, errors=log.fileno())
        if measured.status:
            said = f"{measured.output[:2000]}\n{Path(log.name).read_text()[-2000:]}"
            sys.exit(f"x{times}: the run ended with {measured.status}; peak {measured.peak / 1e9:.2f} GB\n{said}")
        return _result(times, settings, measured, json.loads(trace.read_text()))


def _result(times: int, settings: Sequence[str], measured: Measured, trace: Mapping[str, Any]) -> Result:
    nodes = by_node(trace, measured.samples, measured.names)
    wall, cpu = (sum(getattr(node, field) for node in nodes) for field in ("wall_s", "cpu_s"))
    around = [
        sample
        for sample in measured.samples
        if not any(begin <= sample.at <= end for begin, end in spans(trace).values())
    ]
    top = max(around, key=lambda sample: sample.total)
    rest = NodeUse(
        name=AROUND,
        wall_s=measured.wall_s - wall,
        cpu_s=measured.cpu_s - cpu,
        peak=top.total,
        at_peak=_largest(top, measured.names),
    )
    return Result(
        times=times,
        rows=times * 70_000,
        settings=tuple(settings),
        cores=len(os.sched_getaffinity(0)),
        wall_s=measured.wall_s,
        cpu_s=measured.cpu_s,
        peak=measured.peak,
        metrics=json.loads(measured.output)["data"]["metrics"],
        nodes=(*nodes, rest),
    )


def spans(trace: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return {node: (begin, end)} of a document that `run --trace` wrote, by the boot clock."""
    return {
        event["name"]: (event["ts"] / 1e6, (event["ts"] + event["dur"]) / 1e6)
        for event in trace["traceEvents"]
        if event["ph"] == "X" and event["name"] in STAGES
    }


def by_node(trace: Mapping[str, Any], samples: Sequence[Sample], names: Mapping[int, str]) -> list[NodeUse]:
    """Return what each node took, in the order of the flow; a short one without a sample of its own takes the nearest."""
    found = []
    for name, (begin, end) in sorted(spans(trace).items(), key=lambda item: item[1]):
        middle = (begin + end) / 2
        nearest = min(samples, key=lambda sample: abs(sample.at - middle))
        top = max((one for one in samples if begin <= one.at <= end), key=lambda one: one.total, default=nearest)
        cpu = _computed_until(end, samples) - _computed_until(begin, samples)
        found.append(NodeUse(name=name, wall_s=end - begin, cpu_s=cpu, peak=top.total, at_peak=_largest(top, names)))
    return found


def _computed_until(at: float, samples: Sequence[Sample]) -> float:
    """Return CPU seconds up to a moment, on a straight line between the samples around it."""
    before = max((one for one in samples if one.at <= at), key=lambda one: one.at, default=samples[0])
    after = min((one for one in samples if one.at >= at), key=lambda one: one.at, default=samples[-1])
    if after.at <= before.at:
        return before.cpu_s
    return before.cpu_s + (after.cpu_s - before.cpu_s) * (at - before.at) / (after.at - before.at)


def _largest(sample: Sample, names: Mapping[int, str]) -> dict[str, int]:
    """Return {the end of its command line: bytes} of the largest processes; those of one command line together."""
    memory: dict[str, int] = defaultdict(int)
    for pid, held in sample.memory.items():
        memory[names[pid]] += held
    return dict(sorted(memory.items(), key=lambda item: -item[1])[:LARGEST])


def ratio_to_linear(seconds: Mapping[int, float]) -> float:
    """Return the time at the largest size over that at the smallest one times as many; {size: seconds}."""
    small, large = min(seconds), max(seconds)
    return seconds[large] * small / (seconds[small] * large)


def slope_ratio(seconds: Mapping[int, float]) -> float | None:
    """Return the seconds that a row more costs between the two largest sizes, over those between the two smallest ones.

    What does not depend on the size drops out, so 1 is a straight line; None for fewer than three sizes.
    """
    if len(seconds) < 3:
        return None
    sizes = sorted(seconds)
    first, last = ((seconds[b] - seconds[a]) / (b - a) for a, b in (sizes[:2], sizes[-2:]))
    return last / first if first > 0 else None


def table(results: Sequence[Result]) -> str:
    """Return the table in Markdown: a row a node, three columns a size."""
    heads = [f"x{one.times}: s, CPU s, peak" for one in results]
    lines = [f"| node | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    names = [node.name for node in results[0].nodes]
    uses = [{node.name: node for node in one.nodes} for one in results]
    lines += [f"| {name} | {' | '.join(_cell(one[name]) for one in uses)} |" for name in names]
    lines.append(f"| **whole run** | {' | '.join(_cell(one) for one in results)} |")
    return "\n".join(lines)


def _cell(use: NodeUse | Result) -> str:
    return f"{use.wall_s:.1f}, {use.cpu_s:.1f}, {use.peak / 1e9:.2f} GB"


def verdict(results: Sequence[Result]) -> str:
    """Return the lines below the table: growth of the time, and the peak, against their bounds."""
    lines = []
    for result in results:
        changed = f", --set {' '.join(result.settings)}" if result.settings else ""
        accuracy = f"accuracy {result.metrics['accuracy']:.4f}" if "accuracy" in result.metrics else ""
        lines.append(f"x{result.times}: {result.rows:,} rows, {result.cores} cores{changed}; {accuracy}")
    alike = [one for one in results if one.settings == results[0].settings]
    if len(alike) > 1:
        for name, field in (("time", "wall_s"), ("CPU time", "cpu_s")):
            seconds = {one.times: getattr(one, field) for one in alike}
            ratio, slope = ratio_to_linear(seconds), slope_ratio(seconds)
            more = "" if slope is None else f"; a further row costs {slope:.2f} of what it did at the smallest sizes"
            lines.append(f"{name}: {ratio:.2f} of linear (bound {LINEAR}){more}")
    peak = max(one.peak for one in results)
    lines.append(f"peak: {peak / 1e9:.2f} GB (bound {PEAK / 1e9:.0f} GB): {'held' if peak <= PEAK else 'MISSED'}")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Run the sizes asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="how many times MNIST")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="KEY=VALUE of the recipe")
    parser.add_argument("--option", action="append", default=[], help="a further word for `mnist-tfx run`")
    parser.add_argument(
        "--data", type=Path, help="keep the data in this folder, and take what is there (default: removed)"
    )
    parser.add_argument("--print", action="store_true", dest="printed", help="only print what earlier calls measured")
    parser.add_argument("-v", action="store_true", dest="verbose", help="say which processes had the memory")
    asked = parser.parse_args(words)
    if not asked.printed and not images.MNIST.is_dir():
        sys.exit(f"bench-scale: skipped, MNIST is not at {images.MNIST}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for times in () if asked.printed else asked.sizes:
        run(times, asked.data, asked.settings, asked.option).write(RESULTS)
        sys.stderr.write(f"x{times} done\n")
    results = [Result.read(RESULTS / f"x{times}.json") for times in asked.sizes]
    sys.stdout.write(f"{table(results)}\n\n{verdict(results)}\n")
    if asked.verbose:
        sys.stdout.write("\n".join(_processes(results)) + "\n")


def _processes(results: Iterable[Result]) -> Iterable[str]:
    for result in results:
        for node in result.nodes:
            shares = "; ".join(f"{held / 1e9:.2f} GB {name}" for name, held in node.at_peak.items())
            yield f"x{result.times} {node.name}: {shares}"


if __name__ == "__main__":
    main()
