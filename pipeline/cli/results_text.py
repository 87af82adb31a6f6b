"""The end of a run, local or simulated -> its lines on the terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli import options
from pipeline.cli.main import PROGRAM
from pipeline.root.paths import RunPaths


def print_results(answer: Mapping[str, Any], root: Path, console: Console) -> None:
    """Prints metrics and what is served, as far as the run got."""
    if answer["metrics"] is not None and answer["blessed"] is not None:
        figures = options.figures(answer["metrics"], answer["nodes"])
        print_line(console, f"\ntest      {figures}   baseline {answer['baseline']}")
    if answer["version"] is not None:
        shown = _below_here(root)
        print_line(console, f"served    version {answer['version']} at {shown}/serving/{answer['version']}")
        for path in answer.get("exports", ()):
            print_line(console, f"exported  {_below_here(Path(path))}")
        print_line(console, f"lineage   {_program()} lineage show --root {shlex.quote(str(shown))}")
    report = RunPaths(root).report(str(answer["run_id"]))
    if report.is_file():
        print_line(console, f"report    {_below_here(report)}")


def print_time(answer: Mapping[str, Any], console: Console) -> None:
    """Prints how long it took."""
    print_line(console, f"time      {answer['total_s']:.1f} s, of which {answer['train_s']:.1f} s training")


def print_line(console: Console, text: str) -> None:
    """Prints a line that is for copying, so it is never broken."""
    console.print(Text(text), soft_wrap=True)


def _program() -> str:
    """Returns how this program was called, so that the line can be copied: `make run` has it in .venv/bin."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == PROGRAM else PROGRAM


def _below_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
