"""`mnist-tfx lineage export`."""

from __future__ import annotations

from pathlib import Path

import click

from components import disk
from components.digest import sha256_bytes
from components.files import replacing
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import OneOf, OutputFile, Version
from pipeline.lineage import export as exports


@options.command()
@click.argument("version", required=False, type=Version())
@click.option("--format", "name", type=OneOf(exports.FORMATS), required=True)
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", help="File to write, whole or not at all.")
@options.root
@options.as_json
def export(version: int | None, name: str, output: Path | None, root: Path, as_json: bool) -> None:
    """Write the lineage of a served version, by default the newest, for other tools.

    slsa is the in-toto statement as it is served; openlineage, one run event to a line; cyclonedx, a bill of materials
    (1.6); prov, PROV-JSON; dot, mermaid and html, a picture. The first four hold the same digests, and the same version
    gives the same bytes.

    \b
    Example:
      mnist-tfx lineage export --format cyclonedx -o model.cdx.json --root runs/mnist
      mnist-tfx lineage export 2 --format html -o lineage.html --root runs/mnist
    """
    number, document = exports.export(root.absolute(), version, name)
    data = document.encode()
    if output is not None:
        _write(output, data)
    if as_json:
        fields = {"version": number, "format": name, "sha256": sha256_bytes(data), "bytes": len(data)}
        where = {"path": None if output is None else str(output), "document": document if output is None else None}
        print_answer(Answer(data={**fields, **where}))
    elif output is None:
        click.echo(data, nl=False)
    else:
        click.echo(f"{output}: version {number} as {name}, {len(data)} bytes")


def _write(path: Path, data: bytes) -> None:
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot write the export", where=path, need=len(data)) from err
