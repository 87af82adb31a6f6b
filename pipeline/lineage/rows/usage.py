"""The image that a command line names: a picture file, or a row by its number in the data behind a version."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, CannotTell, EnvironmentProblem
from components.features import TEST, TRAIN, VALIDATION
from pipeline.lineage.index import LineageIndex
from pipeline.lineage.rows import given_rows, images
from pipeline.lineage.rows.data_sets import same_rows, settings_of
from pipeline.lineage.rows.images import Picture
from pipeline.lineage.rows.index import RowIndex, open_any
from pipeline.lineage.steps import ExecutionSummary
from pipeline.lineage.trace import trace
from pipeline.provenance import parameters

USES: Final = {TRAIN: "trained on", VALIDATION: "validated on", TEST: "tested on"}
"""What it means for a model that a split holds an image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageQuery:
    """How an image was named.

    Attributes:
      image: a picture file.
      index: or a row's number, from 0.
      data: in these files, instead of the train part behind `version`.
      version: a served version; None for the newest.
    """

    image: Path | None = None
    index: int | None = None
    data: tuple[Path, ...] = ()
    version: int | None = None


def find_picture(lineage: LineageIndex, query: ImageQuery) -> Picture:
    """Return the image that is asked about.

    Raises:
      BadInput: if it is not named in exactly one way, or is not there.
      CannotTell: if its pixels cannot be known: those of a photograph, or of a kept copy that was changed.
    """
    if (query.image is None) == (query.index is None):
        raise BadInput("which image?", wanted="either a picture file or --index")
    if query.image is not None:
        return images.exact(query.image)
    number = query.index or 0
    if query.data:
        return given_rows.read_row(query.data, number, given_rows.settings_of(lineage.ingests))
    return _row_of_train_part(lineage, data_behind(lineage, query.version), number)


def data_behind(lineage: LineageIndex, version: int | None, rows_digest: str | None = None) -> ExecutionSummary:
    """Return the execution that ingested the data of a version.

    Raises:
      BadInput: if there is no such version, or it was made from several data sets and none of them is named.
    """
    ingests = {
        str(step.data["rows_digest"]): step for _, step in trace(lineage, version).steps if step.data is not None
    }
    if rows_digest is not None:
        ingests = {digest: step for digest, step in ingests.items() if digest == rows_digest}
    if len(ingests) != 1:
        hint = "name one with --rows-digest" if ingests else None
        raise BadInput(
            "not one data set behind the version", where=lineage.root, got=list(ingests) or "none", hint=hint
        )
    return next(iter(ingests.values()))


def require_size(step: ExecutionSummary, picture: Picture, where: object) -> None:
    """Refuse a question about an image of another size than those of a data set.

    Raises:
      BadInput: if it has another size.
    """
    shape = settings_of(step).shape
    if (picture.height, picture.width) != shape:
        raise given_rows.of_another_size(str(where), [shape], (picture.height, picture.width))


def index_of(lineage: LineageIndex, step: ExecutionSummary) -> RowIndex:
    """Return the rows of the data set that an execution ingested, of whichever execution that ingested the same.

    Raises:
      CannotTell: if no row index of them is as it was recorded.
    """
    groups = same_rows(lineage.ingests).values()
    same = next(steps for steps in groups if any(one.record == step.record for one in steps))
    try:
        return open_any(lineage.root, same)
    except EnvironmentProblem as err:
        hint = "bring back the artifact of ExampleGen, or run again with the same data, which ingests it again"
        raise CannotTell(f"nothing can be proven: {err.what}", where=err.where, got=err.got, hint=hint) from err


def _row_of_train_part(lineage: LineageIndex, step: ExecutionSummary, number: int) -> Picture:
    from pipeline.lineage.rows.places import require_kept  # NumPy

    given: Mapping[str, Any] = step.parameters or {}
    recorded = {file["name"]: file for file in (step.data or {})["files"]}
    left = number
    for part in parameters.parts(given.get("source"), where="record of ExampleGen"):
        files = [lineage.root / file for file in part["files"]]
        rows = recorded[files[0].name]["rows"]
        if part["split"] != TRAIN or left >= rows:
            left -= rows if part["split"] == TRAIN else 0
            continue
        for file in files:
            require_kept(file, recorded[file.name], hint="name the original files with --data")
        return given_rows.read_row(files, left, [settings_of(step)])
    raise BadInput("no such row in the train part", where=lineage.root, got=number, hint="rows are counted from 0")
