"""`mnist-tfx keys list|add|rotate|revoke`."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from components.errors import BadInput, printable
from pipeline.cli import options, person_options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Checked, InputFile, Text
from pipeline.cli.parsing import Group
from pipeline.maintenance.orphans import as_dicts
from pipeline.process.signals import PROCESS
from pipeline.provenance import approval_writer
from pipeline.provenance import keys as key_files
from pipeline.provenance.approval_writer import Person
from pipeline.provenance.approvals import ApproverKey, read_approvals
from pipeline.provenance.keys import PublicKey
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger, require_ledger
from pipeline.provenance.records import moment, utc
from pipeline.root.paths import RunPaths

_WIDE: Final = 10_000
"""Columns; rich cuts cells off where its console ends."""

SHORTEST: Final = 8
"""Hex digits of a key's id that name it."""


@click.group(cls=Group)
def keys() -> None:
    """Look at the keys that approvals are signed with, and change the list, which the ledger holds.

    `lineage keygen` makes a pair of keys. What a key signed while it was in force stays valid.

    \b
    Example:
      mnist-tfx keys add ada/public.pem --owner Ada --by Ops --root runs/mnist
      mnist-tfx keys list --root runs/mnist
    """


@keys.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the keys: whose they are, since when they count, and until when.

    \b
    Example:
      mnist-tfx keys list
    """
    found = read_approvals(read_ledger(RunPaths(root.absolute()).ledger)).keys
    if as_json:
        print_answer(Answer(data={"keys": as_dicts(found)}))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("key", "owner", "state", "from (UTC)", "until (UTC)", "why"):
        table.add_column(heading)
    for key in found:
        until = "" if key.ended is None else moment(key.since or key.ended)
        why = "" if key.why is None else printable(key.why)
        table.add_row(key.keyid[:16], printable(key.owner), key.state, moment(key.added), until, why)
    Console(markup=False, highlight=False, soft_wrap=True, width=_WIDE).print(table)


@keys.command()
@click.argument("public", type=InputFile())
@click.option("--owner", type=Text(), metavar="NAME", help="Whose key it is.  [default: as --by]")
@person_options.by(required=True)
@person_options.reason
@options.changed_root
@options.as_json
def add(  # noqa: PLR0913  # one argument to each option
    public: Path, owner: str | None, by: str, reason: str | None, root: Path, as_json: bool
) -> None:
    """Put a public key on the list: from now on it may approve.

    \b
    Example:
      mnist-tfx keys add ada/public.pem --owner Ada --by Ops --root runs/mnist
    """
    key = key_files.load_public(public)
    ledger = _ledger(root)
    with PROCESS.held_back():
        approval_writer.add_key(ledger, key, owner or by, Person(by=by, reason=reason))
    _print(ledger, key.keyid, as_json=as_json)


@keys.command()
@click.argument("new", type=InputFile())
@click.option(
    "--key", type=InputFile(), required=True, metavar="FILE", help="Private half (PEM) of the key that is replaced."
)
@person_options.by(required=True)
@person_options.reason
@options.changed_root
@options.as_json
def rotate(  # noqa: PLR0913  # one argument to each option
    new: Path, key: Path, by: str, reason: str | None, root: Path, as_json: bool
) -> None:
    """Replace a key by a new one, whose public half is named; the old one signs that, and does not count any more.

    \b
    Example:
      mnist-tfx keys rotate new/public.pem --key ada/private.pem --by Ada --root runs/mnist
    """
    public = key_files.load_public(new)
    old = key_files.load_private(key, key_files.passphrase)
    ledger = _ledger(root)
    with PROCESS.held_back():
        approval_writer.rotate_key(ledger, old, public, Person(by=by, reason=reason))
    _print(ledger, public.keyid, as_json=as_json)


def _time(text: str) -> str:
    """Return a time as the ledger writes it; without a zone it is UTC."""
    try:
        when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as err:
        raise BadInput("not a time", wanted="such as 2026-01-31 or 2026-01-31T12:00:00Z", got=text) from err
    zoned = when if when.tzinfo is not None else when.replace(tzinfo=datetime.timezone.utc)
    return utc(zoned.timestamp())


@keys.command()
@click.argument("key", metavar="ID|FILE", type=Text("key", longest=4096))
@click.option(
    "--since",
    type=Checked(_time, name="time", as_given=True),
    metavar="TIME",
    help="From when on it does not count, UTC.  [default: now]",
)
@person_options.by(required=True)
@person_options.reason
@options.changed_root
@options.as_json
def revoke(  # noqa: PLR0913  # one argument to each option
    key: str, since: str | None, by: str, reason: str | None, root: Path, as_json: bool
) -> None:
    """Take a key off the list, by its id as `keys list` shows it or by its public half; what it signed before stays valid.

    A key that was in other hands for a while is revoked --since the moment from which it was.

    \b
    Example:
      mnist-tfx keys revoke ada/public.pem --since 2026-01-31 --by Ops --reason 'laptop lost' --root runs/mnist
    """
    ledger = _ledger(root)
    keyid = _keyid(ledger, key)
    with PROCESS.held_back():
        from_then = None if since is None else _time(since)
        approval_writer.revoke_key(ledger, keyid, Person(by=by, reason=reason), from_then)
    _print(ledger, keyid, as_json=as_json)


def _ledger(root: Path) -> Ledger:
    paths = RunPaths(root.absolute())
    ledger = Ledger.open(paths.ledger)
    require_ledger(paths, ledger.chain)
    return ledger


def _keyid(ledger: Ledger, key: str) -> str:
    if Path(key).is_file():
        found: PublicKey = key_files.load_public(Path(key))
        return found.keyid
    matching = [one.keyid for one in read_approvals(ledger.chain).keys if one.keyid.startswith(key)]
    if len(key) < SHORTEST or len(matching) != 1:
        hint = "`mnist-tfx keys list` shows them"
        raise BadInput(
            "no such key on the list", where=key, wanted="the first 16 digits of an id, or a file", hint=hint
        )
    return matching[0]


def _print(ledger: Ledger, keyid: str, *, as_json: bool) -> None:
    found = read_approvals(ledger.chain).key(keyid)
    if found is None:
        raise ValueError(f"key {keyid} is not on the list")
    if as_json:
        print_answer(Answer(data=dataclasses.asdict(found)))
        return
    click.echo(_in_words(found))


def _in_words(key: ApproverKey) -> str:
    since = key.added if key.ended is None else key.since or key.ended
    return printable(f"key {key.keyid} of {key.owner}: {key.state} since {moment(since)} UTC")
