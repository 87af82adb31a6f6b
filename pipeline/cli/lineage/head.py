"""`mnist-tfx lineage head`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import BadInput
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Checked
from pipeline.provenance.ledger import Chain, Head, LedgerBroken, read_ledger
from pipeline.root.paths import RunPaths


@options.command()
@click.option(
    "--expect-head",
    type=Checked(Head.from_str, name="head", as_given=True),
    metavar="LINES:HASH",
    help="Check that the ledger still holds this head.",
)
@options.root
@options.as_json
def head(expect_head: str | None, root: Path, as_json: bool) -> int:
    """Print the ledger's length and last hash, to keep where nobody who can write to the root can change it.

    `lineage audit --expect-head` then finds a tail that was cut, and a ledger that was rewritten as a whole. A head
    stays good however much is appended after it.

    \b
    Example:
      mnist-tfx lineage head --root runs/mnist > head.txt
      mnist-tfx lineage audit --root runs/mnist --expect-head $(cat head.txt)
    """
    ledger = RunPaths(root.absolute()).ledger
    found = read_ledger(ledger)
    if not found.lines:
        raise BadInput("no run is recorded here", where=ledger, hint="mnist-tfx run records one")
    problem = _problem(found, expect_head)
    fields = {"head": str(found.head), "lines": len(found.lines), "sha256": found.head.digest}
    answer = Answer(data={**fields, "time": found.lines[-1].time, "problem": problem}, findings=problem is not None)
    if as_json:
        print_answer(answer)
    else:
        click.echo(found.head)
        if problem is not None:
            click.echo(problem, err=True)
    return answer.exit_code


def _problem(found: Chain, expect_head: str | None) -> str | None:
    """Return in words why the chain does not hold a head that was kept elsewhere; None if it does."""
    if expect_head is None:
        return None
    try:
        found.expect(Head.from_str(expect_head))
    except LedgerBroken as err:
        return str(err)
    return None
