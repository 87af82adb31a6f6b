"""`mnist-tfx lineage prove`."""

from __future__ import annotations

from pathlib import Path

import click

from components.features import SPLITS
from pipeline.cli import options
from pipeline.cli.lineage import named_image
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Checked, OneOf, OutputFile
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows import proofs, usage
from pipeline.lineage.rows.data_sets import settings_of
from pipeline.lineage.rows.index import ALL
from pipeline.lineage.rows.merkle import digest_bytes


@options.command()
@named_image.image
@named_image.version
@click.option(
    "--rows-digest",
    type=Checked(digest_bytes, name="digest", as_given=True),
    metavar="HEX",
    help="Which data set, where several lie behind the version.",
)
@click.option(
    "--split",
    type=OneOf([*SPLITS, ALL]),
    default=ALL,
    show_default=True,
    help="Rows that the claim is about: all that the version was made from and judged by, or one split's.",
)
@click.option(
    "-o",
    "--output",
    type=OutputFile(),
    metavar="FILE",
    default=Path("row-proof.json"),
    show_default=True,
    help="File to write.",
)
@options.root
@options.as_json
def prove(  # noqa: PLR0913  # one argument to each option
    image: Path | None,
    index: int | None,
    data: tuple[Path, ...],
    version: int | None,
    rows_digest: str | None,
    split: str,
    output: Path,
    root: Path,
    as_json: bool,
) -> None:
    """Write a proof that an image is among the rows of a version's data, or that it is not.

    IMAGE is a picture of 8-bit grey values on the scale of the data files, of the same size as theirs.

    The proof stands on a Merkle root that the provenance of the served version carries (`merkleSha256` of `rows`, or
    of `rows/train` and so on). Whoever has the root from there needs nothing else to check the file.

    \b
    Example:
      mnist-tfx lineage prove seven.png --split train -o seven.json --root runs/mnist
      mnist-tfx lineage prove --index 0 -o first.json --root runs/mnist
    """
    if version is None:
        options.warn_of_foreign(root)
    history = open_lineage(root.absolute())
    asked = usage.ImageQuery(image=image, index=index, data=data, version=version)
    picture = usage.find_picture(history, asked)
    step = usage.data_behind(history, version, rows_digest)
    usage.require_size(step, picture, image or f"row {index}")
    proof = proofs.prove(usage.index_of(history, step), picture, split, settings_of(step).label_count)
    proofs.write(output, proof)
    if as_json:
        print_answer(Answer(data={"file": str(output), "proof": proof.to_dict()}))
        return
    click.echo(f"{proof.claim}: {proof.split}, {proof.size_proof.size} rows, labels {', '.join(map(str, proof.rows))}")
    click.echo(f"{output}\ncheck it: mnist-tfx lineage check-proof {output} --root-digest {proof.root.hex()}")
