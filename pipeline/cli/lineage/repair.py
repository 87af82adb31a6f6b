"""`mnist-tfx lineage repair`."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.maintenance import repair as settling
from pipeline.maintenance.orphans import as_dicts
from pipeline.process import remarks


@options.command()
@options.changed_root
@options.dry_run
@options.as_json
def repair(root: Path, dry_run: bool, as_json: bool) -> int:
    """Settle what a crash left open; exit 1 if something served cannot be attached.

    A served version without a record is attached only if its digest is that of a blessed model. Served bytes are never
    touched.

    \b
    Example:
      mnist-tfx lineage repair --root runs/mnist --dry-run
    """
    done = settling.repair(root.absolute(), say, dry_run=dry_run)
    left = any(not one.settled for one in done)
    answer = Answer(data={"dry_run": dry_run, "repairs": as_dicts(done)}, findings=left)
    if as_json:
        print_answer(answer)
    else:
        for kind, of_kind in itertools.groupby(
            done, lambda one: f"{'would be ' * (dry_run and one.settled)}{one.kind}"
        ):
            for line in remarks.shorten([f"{one.where}: {one.why}" for one in of_kind], "--json lists them"):
                click.echo(printable(f"{kind}: {line}"))
        if not done:
            click.echo("nothing to repair")
    return answer.exit_code
