"""`mnist-tfx serving list`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from components.serving import ServedVersion, versions
from pipeline.commands import options
from pipeline.paths import RunPaths


@click.group()
def serving() -> None:
    """Look at the directory that TF Serving reads.

    \b
    Example:
      mnist-tfx serving list --root runs/mnist
    """


@serving.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the served versions; TF Serving loads the highest.

    \b
    Example:
      mnist-tfx serving list
    """
    found = [_fields(version) for version in versions(RunPaths(root.absolute()).serving)]
    if as_json:
        options.print_json({"status": "ok", "versions": found})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "pushed", "digest", "provenance", "path"):
        table.add_column(heading)
    for fields in found:
        manifest = "yes" if fields["provenance"] else "no"
        digest = fields["digest"][:12] if fields["complete"] else "incomplete"
        table.add_row(str(fields["version"]), fields["pushed"], digest, manifest, fields["path"])
    Console(highlight=False).print(table)


def _fields(version: ServedVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "pushed": version.pushed_at.isoformat(timespec="seconds"),
        "digest": version.digest,
        "complete": version.complete,
        "provenance": version.has_provenance,
        "path": str(version.path),
    }
