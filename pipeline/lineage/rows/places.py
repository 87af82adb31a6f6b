"""The places of a version's rows in the data files that were given: by digest, from the copies that the root keeps."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.errors import CannotTell, MnistTfxError
from components.features import TRAIN
from components.ingest.payload import payload_digest
from pipeline.lineage.rows import given_rows
from pipeline.lineage.rows.data_sets import settings_of
from pipeline.lineage.rows.given_rows import Show, in_silence
from pipeline.provenance import parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.lineage.index import LineageIndex
    from pipeline.lineage.steps import ExecutionSummary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row is.

    Attributes:
      number: among all rows of the train part, from 0, as `--index` counts them.
      file: the data file, by the name under which it was given.
      row: in that file, from 0.
    """

    number: int
    file: str
    row: int


class Places:
    """Finds rows of the train part by their digests.

    Args:
      digests: of pixels and label, `S32` [n], in the order of the files.
      files: (name, rows) of each file with images, in that order.
    """

    def __init__(self, digests: NDArray[np.bytes_], files: Sequence[tuple[str, int]]) -> None:
        self._order = np.argsort(digests, kind="stable")
        self._sorted = digests[self._order]
        self._names = [name for name, _ in files]
        self._ends = list(itertools.accumulate(rows for _, rows in files))

    def of(self, row_digest: bytes) -> Place | None:
        """Return the first place of a row; None if it is in none of the files."""
        wanted = np.array(row_digest, "S32")
        at = int(np.searchsorted(self._sorted, wanted))
        if at == len(self._sorted) or self._sorted[at] != wanted:
            return None
        number = int(self._order[at])
        file = int(np.searchsorted(self._ends, number, side="right"))
        start = self._ends[file - 1] if file else 0
        return Place(number=number, file=self._names[file], row=number - start)


def places(lineage: LineageIndex, step: ExecutionSummary, show: Show = in_silence) -> Places:
    """Return the places of the rows that an execution of ExampleGen read as its train part.

    Raises:
      CannotTell: if a copy of a data file is gone, was changed, or cannot be read.
    """
    recorded = {file["name"]: file for file in (step.data or {})["files"]}
    parts = [part["files"] for part in _train_parts(step)]
    paths = [tuple(lineage.root / file for file in files) for files in parts]
    for path in itertools.chain(*paths):
        require_kept(path, recorded[path.name])
    try:
        rows = next(given_rows.read_parts(paths, [settings_of(step)], show))
    except MnistTfxError as err:
        raise CannotTell(err.what, where=err.where, got=err.got) from err
    files = [recorded[files[0].name] for files in paths]
    wanted = sum(file["rows"] for file in files)
    if rows.rows is None or rows.cut is not None or len(rows) != wanted:
        raise CannotTell("the data files hold other rows than were read", wanted=wanted, got=rows.cut or len(rows))
    names = [lineage.names.get(file["payload_digest"], file["name"]) for file in files]
    return Places(rows.rows, list(zip(names, (file["rows"] for file in files), strict=True)))


def require_kept(path: Path, recorded: Mapping[str, Any], hint: str | None = None) -> None:
    """Refuse a copy of a data file that is not what was read.

    Raises:
      CannotTell: if it is gone, or was changed.
    """
    if not path.is_file():
        raise CannotTell("the copy of the data is gone", where=path, hint=hint)
    if (got := payload_digest(path).payload) != (wanted := recorded["payload_digest"]):
        raise CannotTell("the copy of the data was changed", where=path, wanted=wanted, got=got, hint=hint)


def _train_parts(step: ExecutionSummary) -> Iterator[Mapping[str, Any]]:
    told = parameters.parts((step.parameters or {}).get("source"), where="record of ExampleGen")
    return (part for part in told if part["split"] == TRAIN)
