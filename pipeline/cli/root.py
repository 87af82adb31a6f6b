"""`mnist-tfx root backup|restore`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.filesize import decimal

from components.errors import printable
from components.serving import versions
from pipeline.audit.audit import AuditOptions, audit_all
from pipeline.audit.findings import Audit
from pipeline.audit.policy import OFF, RULES, Policy
from pipeline.cli import options, progress
from pipeline.cli.output import Answer, audit_answer, below_here, print_answer, print_audit, print_audited
from pipeline.cli.parameters import InputFolder, NewFolder, NewRoot
from pipeline.cli.parsing import Group
from pipeline.maintenance import backup as copying
from pipeline.maintenance.backup import Copied
from pipeline.root.paths import RunPaths

BYTES_ALONE: Final = Policy(levels=dict.fromkeys(RULES, OFF))
"""Whether a copy is whole has nothing to do with what the rules think of the version that was copied."""

no_audit = click.option("--no-audit", is_flag=True, help="Do not audit the copy; `lineage audit` does so later.")


@click.group(cls=Group)
def root() -> None:
    """Copy a root consistently, while runs go on, and put a copy back.

    \b
    Example:
      mnist-tfx root backup /backup/mnist-monday --root runs/mnist
      mnist-tfx root restore /backup/mnist-monday --root runs/mnist
    """


@root.command("backup")
@click.argument("target", metavar="FOLDER", type=NewFolder())
@no_audit
@options.root
@options.as_json
def backup(target: Path, no_audit: bool, root: Path, as_json: bool) -> int:
    """Copy the root to a folder that is new or empty, and audit every version in the copy.

    Runs may go on meanwhile: the copy is what was recorded at one moment, and what was under way then is settled in
    it as after a crash. The audit asks whether all bytes and records are there, and leaves policies to
    `lineage audit`. A copy is a root like any other: lineage, serving and serve read it where it is. Not copied are
    unfinished trainings and samples of what a server was asked. A metadata store that is not in the root is written
    again from the records, as a file in the copy.

    \b
    Example:
      mnist-tfx root backup /backup/mnist-monday --root runs/mnist
    """
    with progress.bars(in_bytes=True) as show:
        copied = copying.backup(root, target, show)
    return _answer(copied, _audited(copied, no_audit=no_audit), "backed up", as_json=as_json)


@root.command("restore")
@click.argument("copy", metavar="FOLDER", type=InputFolder())
@click.option(
    "--root", "target", type=NewRoot(), metavar="FOLDER", required=True, help="A folder that is new or empty."
)
@no_audit
@options.as_json
def restore(copy: Path, target: Path, no_audit: bool, as_json: bool) -> int:
    """Copy a backup to where its root is wanted, and audit every version there; the backup stays as it is.

    \b
    Example:
      mnist-tfx root restore /backup/mnist-monday --root runs/mnist
    """
    with progress.bars(in_bytes=True) as show:
        copied = copying.restore(copy, target, show)
    return _answer(copied, _audited(copied, no_audit=no_audit), "restored", as_json=as_json)


def _audited(copied: Copied, *, no_audit: bool) -> Sequence[Audit]:
    paths = RunPaths(copied.path)
    if no_audit or not (versions(paths.serving) or versions(paths.staged)):
        return ()
    with progress.bars() as show:
        return audit_all(copied.path, AuditOptions(policy=BYTES_ALONE, show=show))


def _answer(copied: Copied, audits: Sequence[Audit], verb: str, *, as_json: bool) -> int:
    """Print what was copied and what its audit says, and return the exit code: that of the audit, 0 without one."""
    data = {**copied.to_dict(), "audits": [audit.to_dict() for audit in audits]}
    answer = audit_answer(audits, data) if audits else Answer(data=data)
    if as_json:
        print_answer(answer)
        return answer.exit_code
    for one in copied.settled:
        click.echo(printable(f"settled       {one}"))
    for path in copied.missing:
        click.echo(printable(f"not there     {path}"))
    for audit in audits:
        if not audit.passed():
            print_audit(audit)
    if audits:
        print_audited(audits)
    size = decimal(copied.bytes)
    click.echo(printable(f"{verb:<13} {below_here(copied.path)}: {copied.files} files, {size}, head {copied.head}"))
    return answer.exit_code
