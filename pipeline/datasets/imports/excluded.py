"""The record of an import whose files were written again without some rows: what the others were made from stays known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.ingest.import_record import Fields, Run, SourceFile, WrittenFile
from components.ingest.payload import payload_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def without_rows(fields: Fields, keep: Mapping[str, NDArray[np.bool_]], folder: Path) -> Fields:
    """Return a record about the files in a folder, which hold the rows that stayed.

    A source that no row is from any more is not named: nothing of it is left but in the record before.

    Args:
      fields: of the record before.
      keep: {part: whether each row stayed}.
      folder: with the files, under the names that they had.
    """
    rows = {split: list(_kept(runs, keep[split])) for split, runs in fields["rows"].items()}
    files, numbers = _still_used(fields["files"], rows)
    renumbered = {split: [Run(**{**run, "file": numbers[run["file"]]}) for run in runs] for split, runs in rows.items()}
    counts = {split: sum(run["rows"] for run in runs) for split, runs in rows.items()}
    totals = {split: sum(run["rows"] for run in runs) for split, runs in fields["rows"].items()}
    written = [_written(folder / one["name"], counts[_split_of(one, totals)]) for one in fields["written"]]
    return Fields(**{**fields, "files": files, "rows": renumbered, "written": written})


def _kept(runs: Sequence[Run], keep: NDArray[np.bool_]) -> Iterator[Run]:
    """Yield the runs that are left, in the order of the rows."""
    start = 0
    for run in runs:
        some = keep[start : start + run["rows"]]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], some, [False])).astype(np.int8)))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield Run(**{**run, "first": run["first"] + begin, "rows": end - begin})
        start += run["rows"]


def _still_used(
    files: Sequence[SourceFile], rows: Mapping[str, Sequence[Run]]
) -> tuple[list[SourceFile], dict[int, int]]:
    """Return the sources that rows are from, archives among them, and {number before: number now}."""
    used = {run["file"] for runs in rows.values() for run in runs}
    used |= {files[number]["archive"] for number in used if "archive" in files[number]}
    numbers = {before: now for now, before in enumerate(sorted(used))}
    entries = [SourceFile(**files[number]) for number in sorted(used)]
    for entry in entries:
        if "archive" in entry:
            entry["archive"] = numbers[entry["archive"]]
    return entries, numbers


def _split_of(written: WrittenFile, totals: Mapping[str, int]) -> str:
    from components.ingest.import_record import NAMES

    return next(split for split in totals if written["name"] in NAMES[split])


def _written(path: Path, rows: int) -> WrittenFile:
    found = payload_digest(path)
    return WrittenFile(name=path.name, rows=rows, sha256=found.container, payload_digest=found.payload)
