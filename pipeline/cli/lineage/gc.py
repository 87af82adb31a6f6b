"""`mnist-tfx lineage gc`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.filesize import decimal

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import Integer
from pipeline.maintenance import gc as collection
from pipeline.maintenance.orphans import as_dicts


@options.command()
@options.changed_root
@click.option(
    "--keep-runs",
    type=Integer(0, 1_000_000),
    default=collection.KEEP_RUNS,
    show_default=True,
    help="Number of last runs whose files stay, served or not.",
)
@options.dry_run
@options.as_json
def gc(root: Path, keep_runs: int, dry_run: bool, as_json: bool) -> None:
    """Remove what neither a served version nor a recent run refers to.

    Records, the ledger and everything that is served stay; so do logs and reports of the runs that made it.

    \b
    Example:
      mnist-tfx lineage gc --root runs/mnist --keep-runs 3 --dry-run
    """
    found = collection.collect(root.absolute(), say, keep_runs=keep_runs, dry_run=dry_run)
    freed = sum(one.bytes for one in found)
    if as_json:
        print_answer(Answer(data={"dry_run": dry_run, "bytes": freed, "removed": as_dicts(found)}))
        return
    for one in found:
        click.echo(printable(f"{one.kind:<20} {decimal(one.bytes):>9}  {one.path}"))
    would = "would be freed" if dry_run else "freed"
    click.echo(f"{len(found)} files and folders, {freed} bytes {would}")
