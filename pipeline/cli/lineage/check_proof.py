"""`mnist-tfx lineage check-proof`."""

from __future__ import annotations

from pathlib import Path

import click

from components.errors import BadInput
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Checked, InputFile
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.merkle import digest_bytes


@options.command()
@click.argument("file", type=InputFile())
@click.option(
    "--root-digest",
    required=True,
    type=Checked(digest_bytes, name="digest", as_given=True),
    metavar="HEX",
    help="Merkle root that you trust.",
)
@click.option("--image", type=InputFile(), metavar="FILE", help="Picture that the proof must be about.")
@options.as_json
def check_proof(file: Path, root_digest: str, image: Path | None, as_json: bool) -> int:
    """Check a proof with nothing but the file and a root digest; exit 1 if it does not hold.

    Without --image the proof is checked for the digests that it names; with it, that they are those of the image.

    \b
    Example:
      mnist-tfx lineage check-proof seven.json --root-digest 29e08c5ba803... --image seven.png
    """
    try:
        root = digest_bytes(root_digest.lower())
    except BadInput as err:
        raise BadInput(err.what, where="--root-digest", wanted=err.wanted, got=err.got) from err
    picture = None
    if image is not None:
        from pipeline.lineage.rows.images import exact

        picture = exact(image)
    proof = proofs.read(file)
    faults = list(proofs.faults(proof, root, picture))
    whole = proof.to_dict()
    claim = {name: whole[name] for name in ("claim", "split", "root", "size", "image")}
    data = {"faults": faults, **claim, "labels": list(proof.rows), "image_checked": image is not None}
    answer = Answer(data=data, findings=bool(faults))
    if as_json:
        print_answer(answer)
    elif faults:
        click.echo("\n".join(f"does not hold: {fault}" for fault in faults))
    else:
        rows = f"the {proof.size_proof.size} rows" + ("" if proof.split == "all" else f" said to be of {proof.split}")
        shown = ", ".join(map(str, proof.rows))
        image_size = f"{proof.height}x{proof.width}"
        click.echo(f"holds: a {image_size} image is {proof.claim} in {rows} with root {root.hex()}, labels {shown}")
    return answer.exit_code
