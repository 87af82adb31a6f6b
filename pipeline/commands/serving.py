"""`mnist-tfx serving list`, `rollback` and `prune`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from components.errors import BadInput
from components.serving import ServedVersion, versions
from pipeline import serving_versions
from pipeline.commands import options
from pipeline.lineage.orphans import as_dicts
from pipeline.paths import RunPaths


@click.group()
def serving() -> None:
    """Look at the directory that TF Serving reads, and change it.

    \b
    Example:
      mnist-tfx serving list --root runs/mnist
      mnist-tfx serving rollback 3 --root runs/mnist
    """


@serving.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the served versions; TF Serving loads the highest.

    \b
    Example:
      mnist-tfx serving list
    """
    if not root.is_dir():
        raise BadInput("no such folder", where=root, hint="name the pipeline's with --root")
    found = [_fields(version) for version in versions(RunPaths(root.absolute()).serving)]
    if as_json:
        options.print_json({"status": "ok", "versions": found})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "pushed", "digest", "provenance", "path"):
        table.add_column(heading)
    for fields in found:
        manifest = "yes" if fields["provenance"] else "no"
        digest = fields["digest"][:12] if fields["complete"] else "incomplete"
        table.add_row(str(fields["version"]), fields["pushed"], digest, manifest, fields["path"])
    Console(highlight=False).print(table)


@serving.command()
@click.argument("version", type=click.IntRange(min=0))
@options.root
@options.as_json
def rollback(version: int, root: Path, as_json: bool) -> None:
    """Serve an old version again: its bytes under the next number, since TF Serving loads the highest.

    \b
    Example:
      mnist-tfx serving rollback 3 --root runs/mnist
    """
    done = serving_versions.rollback(root.absolute(), version, options.say)
    if as_json:
        options.print_json({"status": "ok", "error": None, **dataclasses.asdict(done)})
        return
    click.echo(
        f"version {done.version} serves what version {done.restored} served, not {done.rolled_back_from} any more"
    )


@serving.command()
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Number of newest versions that stay.")
@options.root
@options.dry_run
@options.as_json
def prune(keep: int, root: Path, dry_run: bool, as_json: bool) -> None:
    """Remove the oldest versions; the highest stays, and no number is used again.

    \b
    Example:
      mnist-tfx serving prune --keep 3 --root runs/mnist --dry-run
    """
    gone = serving_versions.prune(root.absolute(), keep, dry_run=dry_run)
    freed = sum(one.bytes for one in gone)
    if as_json:
        answer = {"status": "ok", "error": None, "dry_run": dry_run, "bytes": freed, "pruned": as_dicts(gone)}
        options.print_json(answer)
        return
    for one in gone:
        click.echo(f"{one.path}: {one.bytes} bytes {'would be removed' if dry_run else 'removed'}")
    if not gone:
        click.echo("nothing to remove")


def _fields(version: ServedVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "pushed": version.pushed_at.isoformat(timespec="seconds"),
        "digest": version.digest,
        "complete": version.complete,
        "provenance": version.has_provenance,
        "path": str(version.path),
    }
