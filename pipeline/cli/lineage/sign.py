"""`mnist-tfx lineage sign`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, VersionOrFolder
from pipeline.cli.parsing import checked_by
from pipeline.provenance import ended_keys, keys, signing
from pipeline.provenance.keys import passphrase


def _needs_root(given: Mapping[str, Any]) -> None:
    if _is_in_root(given["served_version"]):
        options.require_root(given, changes=True)


@options.command()
@click.argument("served_version", metavar="[VERSION|PATH]", required=False, type=VersionOrFolder())
@click.option(
    "--key",
    type=InputFile(),
    metavar="FILE",
    required=True,
    help="Private key, as `keygen` writes it.",
)
@options.optional_root(changes=True)
@options.as_json
@checked_by(_needs_root)
def sign(served_version: str | None, key: Path, root: Path | None, as_json: bool) -> None:
    """Sign the provenance of a served version, by default the newest, or of the version in a folder.

    The files are compared with the provenance first; a version that was changed is not signed. The signature lies beside
    the provenance, as assets.extra/provenance.dsse.json, and changes neither the model nor its digest. A key that was
    rotated or revoked signs nothing: the ledger of the folder's root tells, else those of the roots below ./runs.

    \b
    Example:
      mnist-tfx lineage sign 2 --key ~/.mnist-tfx/private.pem --root runs/mnist
    """
    folder = _folder(served_version, root)
    signing.check_writable(folder)
    private_key = keys.load_private(key, passphrase)
    ended_keys.require_not_ended_here(private_key.public, root, folder=folder)
    envelope = signing.sign(folder, private_key)
    keyid = private_key.public.keyid
    if as_json:
        print_answer(Answer(data={"path": str(folder), "envelope": str(envelope), "keyid": keyid}))
        return
    click.echo(f"{envelope}: signed by key {keyid}")


def _is_in_root(served_version: str | None) -> bool:
    """Return whether what is to be signed is not a folder: such a version is signed without a root."""
    return served_version is None or served_version.isdecimal()


def _folder(served_version: str | None, root: Path | None) -> Path:
    if not _is_in_root(served_version):
        return Path(str(served_version))
    chosen = options.chosen_root(root, changes=True)
    if served_version is None:
        options.warn_of_foreign(chosen)
    return signing.target(chosen, served_version)
