"""Data files -> clean rows by origin, as a schema proposal takes them: the training part first, then an official test part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from components.ingest import csv_rows, idx
from components.ingest.chunk import Chunk
from components.ingest.discovery import DataFiles, Part
from components.settings import DataSettings
from pipeline.schema_review import Source

ROWS_AT_ONCE = 4096


def load(files: DataFiles, data: DataSettings) -> dict[str, Source]:
    """Returns {part: rows}, `train` first.

    Raises:
      BadInput: as the parsers do.
    """
    parts = sorted(files.parts, key=lambda part: part.split != "train")
    return {part.split: _source(part, files.form, data) for part in parts}


def _source(part: Part, form: str, data: DataSettings) -> Source:
    chunks = list(_chunks(part, form, data))
    return Source(
        pixels=np.concatenate([chunk.pixels for chunk in chunks]),
        labels=np.concatenate([chunk.labels for chunk in chunks]),
    )


def _chunks(part: Part, form: str, data: DataSettings) -> Iterator[Chunk]:
    if form == "idx":
        images, labels = part.files
        yield from idx.iter_chunks(images, labels, rows=ROWS_AT_ONCE, data=data)
        return
    column = csv_rows.resolve_label(part.files, data)
    for file in part.files:
        yield from csv_rows.iter_chunks(file, data, rows=ROWS_AT_ONCE, label=column)
