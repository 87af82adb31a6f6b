"""Proofs that an image is, or is not, among the rows of a data set, and their check.

A proof stands on one Merkle root: that of a split (was it trained on?) or of all rows (was it used at all?). A served
version's provenance carries these roots as `merkleSha256`. Whoever checks a proof needs the file and the root alone.

The root says which rows there are, in the order of their digests, as ingest sorts them. An image is absent when its
row with each possible label is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components import disk
from components.errors import BadInput
from components.features import SPLITS
from components.files import replacing
from components.untrusted import read_object
from pipeline.lineage.rows.merkle import Absence, Inclusion, SizeProof, digest_bytes, items

if TYPE_CHECKING:
    from pipeline.lineage.rows.images import Picture
    from pipeline.lineage.rows.index import RowIndex

FORMAT: Final = "mnist-tfx row proof 1"
INCLUDED, ABSENT = "included", "absent"
_FIELDS: Final = ("format", "claim", "split", "root", "size", "size_proof", "image", "rows")
_LARGEST: Final = 1 << 20
"""Bytes of a proof file, and more than any needs that is not made to exhaust its reader."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowProof:
    """A claim about one image, with its proof.

    Attributes:
      claim: `included` or `absent`.
      split: the rows that it is about: those of a split, or `all`.
      root: Merkle root over them.
      size_proof: how many they are.
      height: of the image.
      width: of the image.
      pixels: digest of its pixels.
      rows: {label: (row digest, proof)}: for `included` the labels that it has there, for `absent` all labels.
    """

    claim: str
    split: str
    root: bytes
    size_proof: SizeProof
    height: int
    width: int
    pixels: bytes
    rows: Mapping[int, tuple[bytes, Inclusion | Absence]]

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as JSON values: what its file holds."""
        return {
            "format": FORMAT,
            "claim": self.claim,
            "split": self.split,
            "root": self.root.hex(),
            "size": self.size_proof.size,
            "size_proof": self.size_proof.to_dict(),
            "image": {"height": self.height, "width": self.width, "pixels_digest": self.pixels.hex()},
            "rows": [
                {"label": label, "row_digest": row.hex(), "proof": proof.to_dict()}
                for label, (row, proof) in self.rows.items()
            ],
        }

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> RowProof:
        """Restore what `to_dict` returned; whether it proves anything is for `faults` to say.

        Raises:
          BadInput: if it is something else.
        """
        try:
            if fields["format"] != FORMAT or set(fields) != set(_FIELDS):
                raise BadInput("not a row proof of this release", wanted=FORMAT, got=str(fields["format"])[:80])
            read = Inclusion.from_dict if fields["claim"] == INCLUDED else Absence.from_dict
            size_proof = SizeProof.from_dict(fields["size_proof"])
            rows = {
                _number(row["label"]): (digest_bytes(row["row_digest"]), read(row["proof"]))
                for row in items(fields["rows"])
            }
            consistent = (
                fields["size"] == size_proof.size
                and len(rows) == len(fields["rows"])
                and fields["claim"] in (INCLUDED, ABSENT)
                and fields["split"] in (*SPLITS, "all")
            )
            image = fields["image"]
            proof = RowProof(
                claim=fields["claim"],
                split=fields["split"],
                root=digest_bytes(fields["root"]),
                size_proof=size_proof,
                height=_number(image["height"]),
                width=_number(image["width"]),
                pixels=digest_bytes(image["pixels_digest"]),
                rows=rows,
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise BadInput("not a row proof", where="proof", got=err) from err
        if not consistent:
            raise BadInput("the row proof contradicts itself", where="proof")
        return proof


def prove(index: RowIndex, picture: Picture, split: str, labels: int) -> RowProof:
    """Return the proof that an image is among a split's rows, or is not.

    Args:
      index: of the data set.
      picture: the image; its label does not count.
      split: one of `SPLITS`, or `row_index.ALL`.
      labels: labels go from 0 to this less one.

    Raises:
      EnvironmentProblem: if the index does not give the recorded root.
    """
    tree = index.tree(split)
    here = [one for one in index.occurrences(picture.digest) if split in ("all", one.split)]
    rows: dict[int, tuple[bytes, Inclusion | Absence]] = {}
    for one in here:
        rows[one.label] = one.row_digest, tree.inclusion(tree.place(one.row_digest))
    for label in () if here else range(labels):
        row = picture.row_digest(label)
        rows[label] = row, tree.absence(row)
    return RowProof(
        claim=INCLUDED if here else ABSENT,
        split=split,
        root=tree.root,
        size_proof=tree.size_proof(),
        height=picture.height,
        width=picture.width,
        pixels=picture.digest,
        rows=dict(sorted(rows.items())),
    )


def faults(proof: RowProof, root: bytes, picture: Picture | None = None) -> Iterator[str]:
    """Yield why a proof does not hold; nothing if it does.

    Args:
      proof: to check.
      root: Merkle root that the checker trusts.
      picture: the image that the proof must be about; None checks the digests it names.
    """
    size = proof.size_proof.size
    if proof.root != root:
        yield f"it is about another root: wanted {root.hex()}, got {proof.root.hex()}"
    if not proof.size_proof.proves(root):
        yield f"the root is not that of {size} rows"
    if not proof.rows:
        yield "it names no row"
    for label, (row, shown) in proof.rows.items():
        if isinstance(shown, Inclusion):
            holds = shown.leaf == row and shown.proves(size, root)
        else:
            holds = shown.proves(row, size, root)
        if not holds:
            yield f"the row with label {label} is not shown to be {proof.claim}"
    if proof.claim == ABSENT and list(proof.rows) != list(range(len(proof.rows))):
        yield "labels are left out"
    if picture is not None:
        yield from _of_another(proof, picture)


def _of_another(proof: RowProof, picture: Picture) -> Iterator[str]:
    if (proof.height, proof.width, proof.pixels) != (picture.height, picture.width, picture.digest):
        yield "it is about another image"
    elif any(row != picture.row_digest(label) for label, (row, _) in proof.rows.items()):
        yield "its row digests are not those of the image"


def read(path: Path) -> RowProof:
    """Return the proof in a file.

    Raises:
      BadInput: if it cannot be read, or holds something else.
    """
    fields = read_object(path, limit=_LARGEST)
    try:
        return RowProof.from_dict(fields)
    except BadInput as err:
        raise BadInput(err.what, where=path, wanted=err.wanted, got=err.got) from err


def write(path: Path, proof: RowProof) -> None:
    """Write a proof as a file.

    Raises:
      EnvironmentProblem: if that is impossible.
    """
    data = (json.dumps(proof.to_dict(), indent=1) + "\n").encode()
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=path, need=len(data)) from err


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise BadInput("not a number of the kind wanted", where="proof", got=repr(value)[:80])
    return value
