"""`mnist-tfx serving monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, print_error, say
from pipeline.cli.parameters import Version

if TYPE_CHECKING:
    from pipeline.predict.monitor import Monitoring


@options.command()
@click.option("--version", "number", type=Version(), metavar="N", help="Of the model.  [default: the newest]")
@options.root
@options.as_json
def monitor(number: int | None, root: Path, as_json: bool) -> int:
    """Compare sampled requests to a version with the rows that it was trained on.

    `mnist-tfx serve --sample 0.01` keeps them. TFDV looks for anomalies against the reviewed schema, and the rules of the
    schema gate for images unlike those of the training split. It answers as the gate does: exit code 3 where a check
    refuses, which changes nothing that is served, and 5 where there are too few rows to tell.

    \b
    Example:
      mnist-tfx serving monitor --version 3 --root runs/mnist
    """
    from pipeline.predict.monitor import compare

    found = compare(root, number)
    answer = Answer(data=found.to_dict(), error=found.error)
    if as_json:
        print_answer(answer)
    else:
        _print(found)
    if answer.error is not None:
        print_error(answer.error)
    return answer.exit_code


def _print(found: Monitoring) -> None:
    kept = "" if found.since is None else f", {found.since} to {found.until}"
    click.echo(f"version {found.version}: {found.rows} sampled rows{kept}")
    for check in found.checks:
        if not check.passed and not check.stops and check.action == "warn":
            say(f"warning: {printable(str(check))}")
    if found.state == "as trained":
        click.echo(f"{len(found.checks)} checks: as the rows that it was trained on")
