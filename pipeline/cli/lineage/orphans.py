"""`mnist-tfx lineage orphans`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import ExitCode, printable
from pipeline.cli import options
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
    found = search.orphans(root.absolute(), options.say)
    if as_json:
        status = "findings" if found else "ok"
        options.print_json({"status": status, "error": None, "orphans": search.as_dicts(found)})
    else:
        for orphan in found:
            remedy = f": mnist-tfx {orphan.remedy}" if orphan.remedy else ""
            click.echo(printable(f"{orphan.kind}: {orphan.where}: {orphan.why}{remedy}"))
        if not found:
            click.echo("nothing is orphaned")
    return ExitCode.FINDINGS if found else ExitCode.OK
