"""Records of imports that a root keeps, and the imported rows that a picture or array went into.

A record is believed as far as its digest goes, which the execution that read the data has among its properties.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.digest import pixels_digest, row_digest, row_prefix
from components.errors import CannotTell, EnvironmentProblem, MnistTfxError, printable
from components.ingest import idx, import_record
from components.ingest.import_record import ImportRecord, Origin
from components.ingest.payload import payload_digest
from pipeline.lineage.rows.data_sets import settings_of
from pipeline.lineage.rows.given_rows import Gathering, GivenRows
from pipeline.provenance import parameters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.lineage.index import LineageIndex
    from pipeline.lineage.steps import ExecutionSummary

    _Block = tuple[tuple[int, int], NDArray[np.uint8], NDArray[np.int64]]

_SHORT: Final = 12
_SAID: Final = 3
_AT_ONCE: Final = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedRows:
    """Rows that were made from something.

    Attributes:
      step: the execution that read them.
      record: of the import.
      origins: the rows.
    """

    step: ExecutionSummary
    record: ImportRecord
    origins: tuple[Origin, ...]


def read_kept(root: Path, properties: Mapping[str, Any]) -> ImportRecord | None:
    """Return the record of the import behind the properties of an execution of ExampleGen; None where there is none.

    Raises:
      EnvironmentProblem: if it is gone, or is not what was recorded.
    """
    digest, folder = properties.get(import_record.PROPERTY), properties.get("input_base")
    if digest is None or not isinstance(folder, str):
        return None
    path = root / folder / import_record.kept_name(str(digest))
    found = import_record.read(path, error=EnvironmentProblem)
    if found.digest != digest:
        raise EnvironmentProblem("record of an import was changed", where=path, wanted=digest, got=found.digest)
    return found


def said(root: Path, properties: Mapping[str, Any]) -> str | None:
    """Return in words what the data of an execution was imported from; None where it was not."""
    try:
        found = read_kept(root, properties)
    except MnistTfxError as err:
        return f"something, of which the record cannot be read: {err}"
    if found is None:
        return None
    fields = found.fields
    count = len(fields["files"])
    files = f"{count} file{'' if count == 1 else 's'}"
    return f"{printable(fields['source'])} ({fields['form']}, {files}), record {found.digest[:_SHORT]}"


def rows_from(lineage: LineageIndex, digests: Sequence[str]) -> Iterator[ImportedRows]:
    """Yield the rows that were made from a file with one of these digests, for each execution that read them."""
    for step in lineage.ingests:
        try:
            record = read_kept(lineage.root, step.parameters or {})
        except MnistTfxError:
            continue  # `unread` says it
        if record is None:
            continue
        origins = tuple(one for digest in digests if record.knows(digest) for one in record.rows_of(digest))
        if origins:
            yield ImportedRows(step=step, record=record, origins=origins)


def unread(lineage: LineageIndex) -> Iterator[str]:
    """Yield why records of imports cannot be asked: what is not found elsewhere may be in them."""
    for step in lineage.ingests:
        try:
            read_kept(lineage.root, step.parameters or {})
        except MnistTfxError as err:  # noqa: PERF203  # one bad record must not hide the others
            yield f"a record of an import cannot be read: {err}"


def rows_behind(lineage: LineageIndex, digests: Sequence[str]) -> tuple[GivenRows, tuple[str, ...]] | None:
    """Return the rows that were made from a file with one of these digests, and in words where they came from.

    They are read from the kept copies of the data, as ingest read them; None where no record knows the digests.

    Raises:
      CannotTell: if a copy is gone or was changed.
    """
    gathering, notes = Gathering(), []
    for found in rows_from(lineage, digests):
        for split in dict.fromkeys(one.split for one in found.origins):
            rows = np.array(sorted(one.row for one in found.origins if one.split == split))
            for shape, pixels, labels in _read(lineage.root, found.step, split, rows):
                gathering.add(shape, pixels, labels)
        notes += list(itertools.islice(_in_words(found.origins), _SAID))
        if len(found.origins) > _SAID:
            notes.append(f"so it is with {len(found.origins)} rows")
    return (gathering.rows(), tuple(dict.fromkeys(notes))) if notes else None


def origins_of(
    lineage: LineageIndex, step: ExecutionSummary, record: ImportRecord, row_digests: Collection[str]
) -> Iterator[Origin]:
    """Yield what rows with these digests were made from; they are looked up in the kept copies of the data.

    Raises:
      CannotTell: if a copy is gone or was changed.
    """
    wanted, data = {bytes.fromhex(digest) for digest in row_digests}, settings_of(step)
    prefix = row_prefix(*data.shape)
    for split in record.fields["rows"]:
        for chunk in idx.iter_chunks(*_copies(lineage.root, step, split), rows=_AT_ONCE, data=data):
            pixels = chunk.pixels.reshape(len(chunk), -1)
            for row, (image, label) in enumerate(zip(pixels, chunk.labels.tolist(), strict=True), chunk.start):
                digest = row_digest(prefix, image.tobytes(), int(label))
                if digest in wanted or pixels_digest(prefix, image.tobytes()) in wanted:
                    yield record.origin(split, row)


def _read(root: Path, step: ExecutionSummary, split: str, rows: NDArray[np.int64]) -> Iterator[_Block]:
    """Yield rows of one part by their numbers, in ascending order."""
    data = settings_of(step)
    images, labels = _copies(root, step, split)
    for chunk in idx.iter_chunks(images, labels, rows=_AT_ONCE, data=data):
        here = rows[np.searchsorted(rows, chunk.start) : np.searchsorted(rows, chunk.start + len(chunk))] - chunk.start
        if len(here):
            yield data.shape, chunk.pixels.reshape(len(chunk), -1)[here], chunk.labels[here]


def _copies(root: Path, step: ExecutionSummary, split: str) -> tuple[Path, Path]:
    """Return the kept copies of a part's images and labels, compared with what was recorded of them.

    Raises:
      CannotTell: if they are not what was read.
    """
    recorded = {file["name"]: file["payload_digest"] for file in (step.data or {})["files"]}
    told = parameters.parts((step.parameters or {}).get("source"), where="record of ExampleGen")
    images, labels = next(part["files"] for part in told if part["split"] == split)
    hint = "bring the copy back, or import and run again"
    for path in (root / images, root / labels):
        if not path.is_file():
            raise CannotTell("the copy of the imported data is gone", where=path, hint=hint)
        if payload_digest(path).payload != recorded.get(path.name):
            raise CannotTell("the copy of the imported data was changed", where=path, hint=hint)
    return root / images, root / labels


def _in_words(origins: Iterable[Origin]) -> Iterator[str]:
    """Yield what rows came from, a sentence each."""
    for one in origins:
        member = f", row {one.first} of {one.member}" if one.member is not None else ""
        yield f"imported as row {one.row} of the {one.split} part, from {printable(one.file['name'])}{member}"
