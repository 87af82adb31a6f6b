"""`mnist-tfx lineage orphans`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.maintenance import orphans as search


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
        for orphan in found:
            remedy = f": mnist-tfx {orphan.remedy}" if orphan.remedy else ""
            click.echo(printable(f"{orphan.kind}: {orphan.where}: {orphan.why}{remedy}"))
        if not found:
            click.echo("nothing is orphaned")
    return answer.exit_code
