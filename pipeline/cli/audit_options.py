"""What every audit can be asked to stand on: a policy, a head that was kept elsewhere, a public key."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.audit import policy
from pipeline.audit.audit import AuditOptions
from pipeline.cli.options import Command
from pipeline.cli.parameters import Checked, InputFile
from pipeline.metadata.address import Address
from pipeline.provenance.ledger import Head


def add(command: Command) -> Command:
    """Add `--policy`, `--expect-head`, `--key`, `--require-approval` and `--approval-key`, for `build_options`."""
    file = InputFile()
    head = Checked(Head.from_str, name="head", as_given=True)
    for option in (
        approval_key,
        click.option(
            "--require-approval",
            is_flag=True,
            help="Fail a version that nobody approved with a key in force: the rule `approved`.",
        ),
        click.option("--key", type=file, metavar="FILE", help="Public key (PEM) that has to have signed it."),
        click.option(
            "--expect-head", type=head, metavar="LINES:HASH", help="A head of the ledger that was kept elsewhere."
        ),
        click.option(
            "--policy", "policy_file", type=file, metavar="FILE", help="YAML file that sets rules to fail, warn or off."
        ),
    ):
        command = option(command)
    return command


def approval_key(command: Command) -> Command:
    """Add `--approval-key`, which arrives as `approval_keys`."""
    return click.option(
        "--approval-key",
        "approval_keys",
        multiple=True,
        type=InputFile(),
        metavar="FILE",
        help="Public key (PEM) that may approve; may be repeated.  [default: the ledger's own list]",
    )(command)


def build_options(  # noqa: PLR0913  # one argument to each option
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    metadata: Address | None = None,
    *,
    require_approval: bool = False,
    approval_keys: tuple[Path, ...] = (),
) -> AuditOptions:
    """Return how to audit.

    Raises:
      BadInput: for an unusable policy file or head.
    """
    rules = policy.default() if policy_file is None else policy.read(policy_file)
    return AuditOptions(
        policy=rules.failing("approved") if require_approval else rules,
        approval_keys=approval_keys,
        head=None if expect_head is None else Head.from_str(expect_head),
        key=key,
        metadata=metadata,
    )
