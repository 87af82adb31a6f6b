"""`mnist-tfx serving list`, `promote`, `approve`, `withdraw`, `rollback` and `prune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from components.errors import BadInput, EnvironmentProblem, printable
from components.serving import ServedVersion
from pipeline.cli import options, person_options
from pipeline.cli.output import Answer, parts, print_answer, say
from pipeline.cli.parameters import Integer, Version
from pipeline.cli.parsing import Group
from pipeline.cli.serving_monitor import monitor
from pipeline.maintenance import promotion
from pipeline.maintenance import prune as pruning
from pipeline.maintenance import rollback as rolling_back
from pipeline.maintenance.orphans import as_dicts
from pipeline.process import remarks
from pipeline.provenance.approval_writer import Person
from pipeline.provenance.approvals import VALID, Approvals, read_approvals
from pipeline.provenance.ledger import Push
from pipeline.provenance.serving_directory import ServingDirectory, named_versions
from pipeline.provenance.staged_directory import StagedDirectory
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
      mnist-tfx serving promote 4 --by Ada --key private.pem --root runs/mnist
      mnist-tfx serving rollback 3 --root runs/mnist
    """


serving.add_command(monitor)


@serving.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the served versions, and what else TensorFlow Serving may take for one; it loads the highest number.

    Staged versions follow, which no server sees. A name that no valid signature stands for says so.

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
            print_answer(
                Answer(data={"versions": [], "foreign": [], "staged": [], "missing": [], "link": parts(problem)})
            )
        else:
            say(f"warning: {problem}")
        return
    directory = ServingDirectory.of(paths)
    approvals = read_approvals(directory.ledger)
    found = [_fields(directory.pushes, approvals, version) for version in directory.ours]
    staged = StagedDirectory(paths, directory.ledger)
    waiting = [_fields(staged.stagings, approvals, version) for version in staged.recorded]
    if as_json:
        shown = {
            "versions": found,
            "staged": waiting,
            "foreign": as_dicts(directory.foreign),
            "missing": directory.missing,
            "link": None,
        }
        print_answer(Answer(data=shown))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "pushed (UTC)", "digest", "provenance", "approved by", "path"):
        table.add_column(heading)
    for fields in [*found, *waiting]:
        manifest = "yes" if fields["provenance"] else "no"
        digest = fields["digest"][:12] if fields["complete"] else "incomplete"
        pushed = "not recorded" if fields["pushed"] is None else f"{fields['pushed'][:19].replace('T', ' ')}"
        approved = _approved_by(fields["approvals"])
        table.add_row(str(fields["version"]), pushed, digest, manifest, approved, printable(fields["path"]))
    # Paths are for copying: where the terminal is too narrow, it breaks the line, and nothing is cut off.
    Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE).print(table)
    for line in directory.warnings(directory.foreign):
        say(line)
    if directory.missing:
        there = "is not there" if len(directory.missing) == 1 else "are not there"
        gone = f"{named_versions(directory.missing)} pushed and not pruned, and {there}"
        say(f"warning: {gone}: put back from a copy what is still needed")
    if staged.missing:
        say(f"warning: {named_versions(staged.missing)} staged and not promoted, and not there any more")


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
@click.argument("version", type=Version())
@person_options.by(required=False)
@person_options.reason
@person_options.signing_key
@options.changed_root
@options.as_json
def promote(  # noqa: PLR0913  # one argument to each option
    version: int, by: str | None, reason: str | None, key: Path | None, root: Path, as_json: bool
) -> None:
    """Put a staged version into service, under the number that it has, and keep on record who approved it.

    Its bytes are compared with those that were staged. With --by the approval is a line of the ledger, and with --key it
    is signed, by a key of the root's list. `run --stage` stages a version.

    \b
    Example:
      mnist-tfx serving promote 3 --by Ada --reason 'error below 3 %' --key private.pem --root runs/mnist
    """
    person = person_options.person(by, reason, key)
    done = promotion.promote(root.absolute(), version, person, person_options.private_key(key), say)
    if as_json:
        print_answer(Answer(data=dataclasses.asdict(done)))
        return
    if done.approval is not None:
        click.echo(printable(f"version {version} approved {done.approval}"))
    instead = "" if done.before is None else f", in place of version {done.before}"
    click.echo(f"version {done.version} is in service{instead}")


@serving.command()
@click.argument("version", type=Version())
@person_options.by(required=True)
@person_options.reason
@person_options.signing_key
@options.changed_root
@options.as_json
def approve(  # noqa: PLR0913  # one argument to each option
    version: int, by: str, reason: str | None, key: Path | None, root: Path, as_json: bool
) -> None:
    """Keep on record that somebody approves a version, served or staged, whose bytes are those that were pushed.

    \b
    Example:
      mnist-tfx serving approve 3 --by Ada --key private.pem --root runs/mnist
    """
    person = Person(by=by, reason=reason)
    paths = RunPaths(root.absolute())
    given = promotion.approve_version(paths, version, person, person_options.private_key(key))
    if as_json:
        print_answer(Answer(data=dataclasses.asdict(given)))
        return
    click.echo(printable(f"version {version} approved {given}"))


@serving.command()
@click.argument("version", type=Version())
@person_options.by(required=True)
@person_options.reason
@person_options.signing_key
@person_options.of
@options.changed_root
@options.as_json
def withdraw(  # noqa: PLR0913  # one argument to each option
    version: int, by: str, reason: str | None, key: Path | None, of: str | None, root: Path, as_json: bool
) -> None:
    """Take the approvals of a version back: from now on they do not count, and they stay on record.

    A server that asks for an approval drops the version within a second. The version may be pruned or changed by now; its
    bytes are not looked at. `approve` approves it again.

    \b
    Example:
      mnist-tfx serving withdraw 3 --by Ada --reason 'wrong labels in class 7' --key private.pem --root runs/mnist
    """
    person = Person(by=by, reason=reason)
    paths = RunPaths(root.absolute())
    withdrawn = promotion.withdraw_approval(paths, version, person, person_options.private_key(key), of)
    if as_json:
        print_answer(Answer(data={"version": version, "approvals": as_dicts(withdrawn)}))
        return
    for one in withdrawn:
        click.echo(printable(f"version {version}, approved {one}"))


@serving.command()
@click.option(
    "--keep",
    type=Integer(0, 1_000_000),
    required=True,
    help="Number of newest versions that stay; 0 only with --staged.",
)
@click.option("--staged", is_flag=True, help="Remove staged versions, not served ones.")
@options.changed_root
@options.dry_run
@options.as_json
def prune(keep: int, staged: bool, root: Path, dry_run: bool, as_json: bool) -> None:
    """Remove the oldest versions; the newest stays, and no number is used again.

    Only versions that the ledger says were pushed, and that hold the bytes of then, are counted and removed. What else
    lies there is named and left.

    \b
    Example:
      mnist-tfx serving prune --keep 3 --root runs/mnist --dry-run
      mnist-tfx serving prune --keep 0 --staged --root runs/mnist
    """
    remove = pruning.prune_staged if staged else pruning.prune
    done = remove(root.absolute(), keep, dry_run=dry_run)
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


def _approved_by(approvals: list[dict[str, Any]]) -> str:
    """Return who approved a version; a name that no valid signature stands for says so."""
    names = [one["by"] if one["verdict"] == VALID else f"{one['by']} ({one['verdict']})" for one in approvals]
    return printable(", ".join(dict.fromkeys(names)))


def _fields(pushes: Mapping[int, Push], approvals: Approvals, version: ServedVersion) -> dict[str, Any]:
    push = pushes.get(version.version)
    digest = _digest(version)
    return {
        "version": version.version,
        "pushed": None if push is None else push.line.time,
        "digest": digest,
        "complete": version.complete,
        "provenance": version.has_provenance,
        "approvals": as_dicts(approvals.of(digest)),
        "path": str(version.path),
    }


def _digest(version: ServedVersion) -> str:
    try:
        return version.digest
    except (OSError, UnicodeError) as err:
        got = err.strerror if isinstance(err, OSError) else err
        raise EnvironmentProblem("cannot be read", where=version.path, got=got) from err
