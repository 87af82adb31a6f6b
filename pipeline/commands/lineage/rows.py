"""`mnist-tfx lineage rows`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands import options
from pipeline.commands.lineage import named_image
from pipeline.lineage import row_usage
from pipeline.lineage.history import open_history


@options.command()
@named_image.image
@named_image.version
@options.root
@options.as_json
def rows(  # noqa: PLR0913  # one argument to each option
    image: Path | None, index: int | None, data: tuple[Path, ...], version: int | None, root: Path, as_json: bool
) -> None:
    """Say which models trained on, validated on or were tested on an image, with proof.

    IMAGE is a PNG of 8-bit grey values on the scale of the data files. It is looked up by its pixels, whatever its
    label. For data that never held it, the proof is one of absence under every label.

    \b
    Example:
      mnist-tfx lineage rows seven.png --root runs/mnist
      mnist-tfx lineage rows --index 0 --root runs/mnist
    """
    history = open_history(root.absolute())
    asked = row_usage.Asked(image=image, index=index, data=data, version=version)
    usage = row_usage.use(history, row_usage.find_picture(history, asked))
    if as_json:
        options.print_json({"status": "ok", "error": None, **usage.to_dict()})
        return
    console = Console(highlight=False)
    picture = usage.picture
    console.print(Text(f"image {picture.height}x{picture.width}  pixels {picture.digest.hex()}", "bold"))
    console.print(_models(usage))
    for data_set in usage.data_sets:
        for sentence in _sentences(data_set):
            console.print(Text(sentence), soft_wrap=True)
    for note in usage.notes:
        console.print(Text(note, "yellow"), soft_wrap=True)


def _models(usage: row_usage.Usage) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "", "digest", "use"):
        table.add_column(heading, no_wrap=True)
    for model in usage.models:
        number = "never pushed" if model.version is None else str(model.version)
        served = Text("served", "green") if model.served else Text("")
        uses = ", ".join(row_usage.USES[split] for split in model.uses) or "never used it"
        table.add_row(number, served, model.digest[:12], uses)
    return table


def _sentences(data_set: row_usage.DataSet) -> list[str]:
    found = [
        f"{one.split} row {one.index}, label {one.label}, row digest {one.row_digest.hex()}"
        for one in data_set.occurrences
    ]
    proofs = [
        f"{proof.claim}: {proof.split}, {proof.size_proof.size} rows, root {proof.root.hex()}"
        for proof in data_set.proofs
    ]
    return [*found, *proofs]
