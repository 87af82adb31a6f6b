"""`mnist-tfx doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import ExitCode
from pipeline import doctor as examination
from pipeline.commands import options


@options.command()
@options.any_root
@click.option("--devices/--no-devices", default=True, help="Ask TensorFlow for devices (some seconds).")
@options.as_json
def doctor(root: Path, devices: bool, as_json: bool) -> int:
    """Check interpreter, lane, packages against the lock, devices and disk; exit 4 if something is wrong.

    \b
    Example:
      mnist-tfx doctor --no-devices
    """
    findings = list(examination.examine(root, with_devices=devices))
    wrong = [finding for finding in findings if finding.wrong]
    if as_json:
        options.print_json(
            {"status": "wrong" if wrong else "ok", "findings": [dataclasses.asdict(finding) for finding in findings]}
        )
        return ExitCode.ENVIRONMENT if wrong else ExitCode.OK
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = Text("wrong", "bold red") if finding.wrong else Text("ok", "green")
        table.add_row(mark, Text(finding.check), Text(finding.found + (f": {finding.wrong}" if finding.wrong else "")))
    Console(markup=False).print(table)
    return ExitCode.ENVIRONMENT if wrong else ExitCode.OK
