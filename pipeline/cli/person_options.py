"""Who says something, and why: the options of commands that keep it on record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from components.errors import BadInput
from pipeline.cli.options import Command
from pipeline.cli.parameters import InputFile, Text
from pipeline.provenance import keys
from pipeline.provenance.approval_writer import GIT, Person, named
from pipeline.provenance.keys import PrivateKey

HELP = f"Who says so, as they want to be called; {GIT} takes Git's user.name."


class PersonName(Text):
    """Somebody's name: not empty, and as Git has it where that is asked for."""

    def read(self, text: str, where: str | None) -> str:
        """Return the name itself."""
        name = super().read(text, where).strip()
        if not name:
            raise BadInput("empty", where=where, wanted="a name")
        return named(name, where or "--by")


def by(*, required: bool, help: str = HELP) -> Callable[[Command], Command]:  # noqa: A002  # as click has it
    """Add `--by`."""
    return click.option("--by", type=PersonName(), metavar="NAME", required=required, help=help)


def reason(command: Command) -> Command:
    """Add `--reason`."""
    return click.option("--reason", type=Text("reason", longest=1000), metavar="TEXT", help="Why, in a sentence.")(
        command
    )


def person(by: str | None, reason: str | None, *others: object) -> Person | None:
    """Return who says it; None where nobody is to be on record.

    Args:
      by: the name.
      reason: why.
      others: further options that want a name.

    Raises:
      BadInput: for a reason, or one of the others, without a name.
    """
    if by is not None:
        return Person(by=by, reason=reason)
    if reason is not None or any(other is not None for other in others):
        raise BadInput("whose approval?", where="--by", wanted=f"a name, or {GIT} for Git's user.name")
    return None


def signing_key(command: Command) -> Command:
    """Add `--key`, which arrives as the path of a private key."""
    return click.option(
        "--key", type=InputFile(), metavar="FILE", help="Private key (PEM) to sign with, one of those of `keys list`."
    )(command)


def of(command: Command) -> Command:
    """Add `--of`."""
    return click.option("--of", type=Text("name"), metavar="NAME", help="Withdraw the approvals by this person alone.")(
        command
    )


def private_key(path: Path | None) -> PrivateKey | None:
    """Return the key in a file, whose passphrase is asked for if it has one; None where no file was named."""
    return None if path is None else keys.load_private(path, keys.passphrase)
