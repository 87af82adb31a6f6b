"""`mnist-tfx lineage impact`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands import options
from pipeline.commands.parameters import FileOrDigest
from pipeline.lineage import impact as impacts
from pipeline.lineage.history import open_history


@options.command()
@click.argument("given", nargs=-1, required=True, metavar="FILE|DIGEST...", type=FileOrDigest())
@options.root
@options.as_json
def impact(given: tuple[str, ...], root: Path, as_json: bool) -> None:
    """List the models that a file or digest went into, and in which role; those served now are marked.

    A data file is found by its content: renamed, raw or gzip, CSV or IDX, in other pieces, or in part. An images file
    is compared by its pixels; name its labels file as well to compare labels too. A digest can be that of a data file
    (packed or not), of rows, of a record, an artifact or a file in it, a model, a schema or a code file.

    \b
    Example:
      mnist-tfx lineage impact train-images-idx3-ubyte.gz --root runs/mnist
      mnist-tfx lineage impact components/classifier/model.py --root runs/mnist
    """
    found = impacts.impact(open_history(root.absolute()), given)
    if as_json:
        options.print_json({"status": "ok", "error": None, **found.to_dict()})
        return
    console = Console(highlight=False)
    rows = "" if found.rows is None else f"  {found.rows} rows"
    console.print(Text(f"{found.given}  sha256 {found.digest}{rows}", "bold"), soft_wrap=True)
    console.print(_models(found) if found.models else Text("went into no model on record"))
    for note in found.notes:
        console.print(Text(note, "yellow"), soft_wrap=True)
    console.print(Text(f"{found.nodes_visited} nodes visited"))


def _models(found: impacts.Impact) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "", "digest", "role", "found by", "shared rows"):
        table.add_column(heading, no_wrap=heading != "shared rows")
    for model in found.models:
        version = "never pushed" if model.version is None else str(model.version)
        served = Text("served", "green") if model.served else Text("")
        table.add_row(version, served, model.digest[:12], ", ".join(model.role), model.match, _shared(model))
    return table


def _shared(model: impacts.Model) -> str:
    if model.shared is None:
        return ""
    splits = ", ".join(f"{split} {rows}" for split, rows in model.shared.splits.items() if rows)
    return f"{'all ' if model.whole else ''}{model.shared.total} ({splits})"
