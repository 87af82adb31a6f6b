"""The pictures and arrays that imported rows were made from: which they are, by the record of the import, and where they are now.

A record names a source by its own name and its files by their names in it, not by where they were. They are looked for beside
the data files, in the working directory and among what was given, and known by their bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.digest import sha256_file
from components.errors import MnistTfxError
from components.ingest.source import SOURCES, read_sources
from pipeline.lineage import imports

if TYPE_CHECKING:
    from components.ingest.import_record import Fields, Origin
    from pipeline.lineage.index import LineageIndex
    from pipeline.lineage.steps import ExecutionSummary


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedPicture:
    """A file that rows were made from.

    Attributes:
      name: by the record, in its source; where it is in an archive, that of the archive.
      path: where a file with these bytes is; None if it was not found.
      alone: whether nothing but the rows is in it, so that it can be removed as a whole.
    """

    name: str
    path: Path | None
    alone: bool


def pictures_behind(
    lineage: LineageIndex, step: ExecutionSummary, row_digests: Collection[str], given: Sequence[str]
) -> Iterator[ImportedPicture]:
    """Yield the files that rows of an execution were made from, each once; none where its data were not imported.

    Args:
      lineage: of the root.
      step: an execution of ExampleGen.
      row_digests: of the rows, hexadecimal.
      given: what was asked about, which may be such a file.
    """
    try:
        record = imports.read_kept(lineage.root, step.parameters or {})
        origins = () if record is None else tuple(imports.origins_of(lineage, step, record, row_digests))
    except MnistTfxError:
        return  # the copy or the record is gone, and what it told with it
    if record is None:
        return
    places = _places(lineage.root / str((step.parameters or {})["input_base"]), given)
    for source in dict.fromkeys(_source(record.fields, one) for one in origins):
        file = record.fields["files"][source.file]
        found = _found(file["sha256"], record.fields["source"], file["name"], places)
        paths: list[Path | None] = [*found]
        for path in paths or [None]:
            yield ImportedPicture(name=f"{record.fields['source']}/{file['name']}", path=path, alone=source.alone)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Source:
    """A file of a record by its number, and whether one row alone is from it."""

    file: int
    alone: bool


def _source(fields: Fields, origin: Origin) -> _Source:
    number = fields["files"].index(origin.file)
    if "archive" in origin.file:
        return _Source(file=origin.file["archive"], alone=False)
    rows = sum(run["rows"] for runs in fields["rows"].values() for run in runs if run["file"] == number)
    return _Source(file=number, alone=rows == 1)


def _places(copies: Path, given: Sequence[str]) -> list[Path]:
    """Return folders in which a source may be, and files that may be its own."""
    try:
        data = [Path(entry["path"]).parent for entry in read_sources(copies / SOURCES)]
    except MnistTfxError:
        data = []
    around = [place for folder in data for place in (folder, folder.parent)]
    return list(dict.fromkeys((*map(Path, given), *around, Path.cwd())))


def _found(sha256: str, source: str, name: str, places: Sequence[Path]) -> Iterator[Path]:
    """Yield the files with a digest among those that the names allow, each once."""
    paths = [path for place in places for path in (place, place / source / name, place / name, place / source)]
    for path in dict.fromkeys(path.absolute() for path in paths):
        with contextlib.suppress(OSError):
            if path.is_file() and sha256_file(path) == sha256:
                yield path
