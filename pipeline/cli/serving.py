"""`mnist-tfx serving list`, `rollback` and `prune`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from components.errors import BadInput, EnvironmentProblem, printable
from components.serving import ServedVersion
from pipeline.cli import options
from pipeline.cli.output import Answer, parts, print_answer, say
from pipeline.cli.parameters import Integer, Version
from pipeline.cli.parsing import Group
from pipeline.cli.serving_monitor import monitor
from pipeline.maintenance import prune as pruning
from pipeline.maintenance import rollback as rolling_back
from pipeline.maintenance.orphans import as_dicts
from pipeline.process import remarks
from pipeline.provenance.serving_directory import ServingDirectory, named_versions
from pipeline.root.paths import RunPaths
from pipeline.root.writable import link_in_its_place

_WIDE: Final = 10_000
"""Columns; rich cuts cells off where its console ends."""


@click.group(cls=Group)
def serving() -> None:
    """Look at the directory that TF Serving reads, and change it.

    \b
    Example:
      mnist-tfx serving list --root runs/mnist
      mnist-tfx serving rollback 3 --root runs/mnist
    """


serving.add_command(monitor)


@serving.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the served versions, and what else TensorFlow Serving may take for one; it loads the highest number.

    \b
    Example:
      mnist-tfx serving list
    """
    if not root.is_dir():
        raise BadInput("no such folder", where=root, hint="name the pipeline's with --root")
    paths = RunPaths(root.absolute())
    if (problem := link_in_its_place(paths)) is not None:
        # The answer to what is there, and no failure; whatever works on the directory refuses it.
        if as_json:
            print_answer(Answer(data={"versions": [], "foreign": [], "missing": [], "link": parts(problem)}))
        else:
            say(f"warning: {problem}")
        return
    directory = ServingDirectory.of(paths)
    found = [_fields(directory, version) for version in directory.ours]
    if as_json:
        shown = {"versions": found, "foreign": as_dicts(directory.foreign), "missing": directory.missing, "link": None}
        print_answer(Answer(data=shown))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "pushed (UTC)", "digest", "provenance", "path"):
        table.add_column(heading)
    for fields in found:
        manifest = "yes" if fields["provenance"] else "no"
        digest = fields["digest"][:12] if fields["complete"] else "incomplete"
        pushed = "not recorded" if fields["pushed"] is None else f"{fields['pushed'][:19].replace('T', ' ')}"
        table.add_row(str(fields["version"]), pushed, digest, manifest, printable(fields["path"]))
    # Paths are for copying: where the terminal is too narrow, it breaks the line, and nothing is cut off.
    Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE).print(table)
    for line in directory.warnings(directory.foreign):
        say(line)
    if directory.missing:
        there = "is not there" if len(directory.missing) == 1 else "are not there"
        gone = f"{named_versions(directory.missing)} pushed and not pruned, and {there}"
        say(f"warning: {gone}: put back from a copy what is still needed")


@serving.command()
@click.argument("version", type=Version())
@options.changed_root
@options.as_json
def rollback(version: int, root: Path, as_json: bool) -> None:
    """Serve an old version again: its bytes under the next number, since TF Serving loads the highest.

    \b
    Example:
      mnist-tfx serving rollback 3 --root runs/mnist
    """
    done = rolling_back.rollback(root.absolute(), version, say)
    if as_json:
        print_answer(Answer(data=dataclasses.asdict(done)))
        return
    click.echo(
        f"version {done.version} serves what version {done.restored} served, not {done.rolled_back_from} any more"
    )


@serving.command()
@click.option("--keep", type=Integer(1, 1_000_000), required=True, help="Number of newest versions that stay.")
@options.changed_root
@options.dry_run
@options.as_json
def prune(keep: int, root: Path, dry_run: bool, as_json: bool) -> None:
    """Remove the oldest versions; the newest stays, and no number is used again.

    Only versions that the ledger says were pushed, and that hold the bytes of then, are counted and removed. What else
    lies there is named and left.

    \b
    Example:
      mnist-tfx serving prune --keep 3 --root runs/mnist --dry-run
    """
    done = pruning.prune(root.absolute(), keep, dry_run=dry_run)
    freed = sum(one.bytes for one in done.pruned)
    if as_json:
        removed = {"pruned": as_dicts(done.pruned), "kept": done.kept, "left": done.left}
        print_answer(Answer(data={"dry_run": dry_run, "bytes": freed, **removed}))
        return
    for one in done.pruned:
        click.echo(f"{one.path}: {one.bytes} bytes {'would be removed' if dry_run else 'removed'}")
    if not done.pruned:
        click.echo("nothing to remove")
    for line in remarks.shorten(done.left, "--json lists them"):
        say(f"warning: left as it is: {line}")


def _fields(directory: ServingDirectory, version: ServedVersion) -> dict[str, Any]:
    push = directory.pushes.get(version.version)
    return {
        "version": version.version,
        "pushed": None if push is None else push.line.time,
        "digest": _digest(version),
        "complete": version.complete,
        "provenance": version.has_provenance,
        "path": str(version.path),
    }


def _digest(version: ServedVersion) -> str:
    try:
        return version.digest
    except (OSError, UnicodeError) as err:
        got = err.strerror if isinstance(err, OSError) else err
        raise EnvironmentProblem("cannot be read", where=version.path, got=got) from err
