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
    """Add `--policy`, `--expect-head` and `--key`, for `build_options`."""
    file = InputFile()
    head = Checked(Head.from_str, name="head", as_given=True)
    for option in (
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


def build_options(
    policy_file: Path | None, expect_head: str | None, key: Path | None, metadata: Address | None = None
) -> AuditOptions:
    """Return how to audit.

    Raises:
      BadInput: for an unusable policy file or head.
    """
    return AuditOptions(
        policy=policy.default() if policy_file is None else policy.read(policy_file),
        head=None if expect_head is None else Head.from_str(expect_head),
        key=key,
        metadata=metadata,
    )
