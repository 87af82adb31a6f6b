"""`mnist-tfx lineage orphans`."""

from __future__ import annotations

import itertools
import operator
from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.maintenance import orphans as search
from pipeline.process import remarks


@options.command()
@options.root
@options.as_json
def orphans(root: Path, as_json: bool) -> int:
    """Find what is served, recorded, running or stored without its counterpart; exit 1 if there is anything.

    \b
    Example:
      mnist-tfx lineage orphans --root runs/mnist
    """
    found = search.orphans(root.absolute(), say)
    answer = Answer(data={"orphans": search.as_dicts(found)}, findings=bool(found))
    if as_json:
        print_answer(answer)
    else:
        for kind, of_kind in itertools.groupby(found, operator.attrgetter("kind")):
            lines = [f"{one.where}: {one.why}{f': mnist-tfx {one.remedy}' if one.remedy else ''}" for one in of_kind]
            for line in remarks.shorten(lines, "--json lists them"):
                click.echo(printable(f"{kind}: {line}"))
        if not found:
            click.echo("nothing is orphaned")
    return answer.exit_code
