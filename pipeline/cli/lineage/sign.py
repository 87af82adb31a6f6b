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
from pipeline.provenance import keys, signing
from pipeline.provenance.keys import passphrase


def _needs_root(given: Mapping[str, Any]) -> None:
    """A version in a folder of its own is signed without a root."""
    if given["served_version"] is None or given["served_version"].isdecimal():
        options.require_root(given)


@options.command()
@click.argument("served_version", metavar="[VERSION|PATH]", required=False, type=VersionOrFolder())
@click.option(
    "--key",
    type=InputFile(),
    metavar="FILE",
    required=True,
    help="Private key, as `keygen` writes it.",
)
@options.any_root
@options.as_json
@checked_by(_needs_root)
def sign(served_version: str | None, key: Path, root: Path, as_json: bool) -> None:
    """Sign the provenance of a served version, by default the newest, or of the version in a folder.

    The files are compared with the provenance first; a version that was changed is not signed. The signature lies beside
    the provenance, as assets.extra/provenance.dsse.json, and changes neither the model nor its digest.

    \b
    Example:
      mnist-tfx lineage sign 2 --key ~/.mnist-tfx/private.pem --root runs/mnist
    """
    folder = signing.target(root.absolute(), served_version)
    if served_version is None:
        options.warn_of_foreign(root)
    signing.check_writable(folder)
    private_key = keys.load_private(key, passphrase)
    envelope = signing.sign(folder, private_key)
    keyid = private_key.public.keyid
    if as_json:
        print_answer(Answer(data={"path": str(folder), "envelope": str(envelope), "keyid": keyid}))
        return
    click.echo(f"{envelope}: signed by key {keyid}")
