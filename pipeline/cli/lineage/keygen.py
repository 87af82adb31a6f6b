"""`mnist-tfx lineage keygen`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import FolderToFill, OneOf
from pipeline.provenance import keys
from pipeline.provenance.keys import new_passphrase


@options.command()
@click.option("--to", "folder", type=FolderToFill(), metavar="FOLDER", required=True, help="Folder for both keys.")
@click.option("--algorithm", type=OneOf(keys.ALGORITHMS), default=keys.ECDSA, show_default=True)
@click.option("--passphrase", "encrypted", is_flag=True, help="Encrypt the private key.")
@options.as_json
def keygen(folder: Path, algorithm: str, encrypted: bool, as_json: bool) -> None:
    """Make a pair of keys: private.pem, for its owner alone, and public.pem, for whoever checks.

    With --passphrase the passphrase is asked for, or taken from MNIST_TFX_KEY_PASSPHRASE. No key is ever replaced.

    \b
    Example:
      mnist-tfx lineage keygen --to ~/.mnist-tfx
    """
    made = keys.generate(folder, algorithm=algorithm, passphrase=new_passphrase() if encrypted else None)
    if as_json:
        fields = {"keyid": made.keyid, "algorithm": algorithm, "encrypted": encrypted}
        print_answer(Answer(data={**fields, "private": str(made.private), "public": str(made.public)}))
        return
    click.echo(f"key {made.keyid}\n{made.private}  keep it secret\n{made.public}  give it to whoever checks")
