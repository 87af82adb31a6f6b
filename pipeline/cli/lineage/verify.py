"""`mnist-tfx lineage verify`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, InputFolder
from pipeline.provenance import signing


@options.command()
@click.argument("path", type=InputFolder())
@click.option("--key", type=InputFile(), metavar="FILE", required=True, help="Public key, as `keygen` writes it.")
@options.as_json
def verify(path: Path, key: Path, as_json: bool) -> int:
    """Check a served version, or a copy of it on any machine, against a public key.

    It reads the folder and the key alone: the signature first, then every file against what was signed. Exit code 0 if
    all of it is what the key's owner signed, else 1, naming each file that is missing, extra, changed or a link.

    \b
    Example:
      mnist-tfx lineage verify copies/mnist/2 --key public.pem
    """
    check = signing.verify(path, key)
    answer = Answer(data=check.to_dict(), findings=not check.ok)
    if as_json:
        print_answer(answer)
    elif check.ok:
        click.echo(printable(f"{path}: all files as signed by key {check.keyid}, tree digest {check.digest}"))
    else:
        click.echo("\n".join(printable(f"{path}: {fault}") for fault in check.faults))
    return answer.exit_code
