"""Rows on their way from the reader of a file to the writer of a shard: files below `PARTIAL`, and references to them.

Beam's in-process runner holds what a GroupByKey groups in memory, pickled and twice. A reference takes 100 bytes
whatever the number of rows it stands for, on every runner, and the rows are written and read once, in large pieces.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from components import disk
from components.errors import EnvironmentProblem
from components.ingest.partial import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.ingest.rows import Rows

SHARED: Final = "workers on other machines must see the pipeline's root under the same path"


class Piece(NamedTuple):
    """Rows of one shard, in a file with rows of several.

    Attributes:
      file: its name in the artifact's folder.
      offset: byte at which the rows begin.
      rows: how many there are.
    """

    file: str
    offset: int
    rows: int


def spill(folder: Path, parts: Sequence[Rows]) -> Iterator[Piece]:
    """Write rows into a file of their own and yield where each part of them is.

    Args:
      folder: of the artifact.
      parts: rows, those of one shard together.

    Raises:
      EnvironmentProblem: when there is no room for them.
    """
    # A name of its own: what a bundle left that failed or was run twice is referred to by nobody.
    name, offset = f"{PARTIAL}/{uuid.uuid4().hex}.rows", 0
    need = sum(part.nbytes for part in parts)
    try:
        with open(folder / name, "xb") as file:
            file.writelines(np.ascontiguousarray(part).view(np.uint8).data for part in parts)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=folder / name, need=need) from err
    for part in parts:
        yield Piece(file=name, offset=offset, rows=len(part))
        offset += part.nbytes


def gather(folder: Path, pieces: Sequence[Piece], row_type: np.dtype[Any]) -> Rows:
    """Return the rows of all pieces in one array.

    Raises:
      EnvironmentProblem: when a file is not here, or not whole.
    """
    files: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        files[piece.file].append(piece)
    rows, at = np.empty(sum(piece.rows for piece in pieces), row_type), 0
    for name, inside in files.items():
        end = at + sum(piece.rows for piece in inside)
        _read(folder / name, inside, rows[at:end])
        at = end
    return rows


def _read(path: Path, pieces: Sequence[Piece], rows: Rows) -> None:
    at = 0
    try:
        with open(path, "rb", buffering=0) as file:
            for piece in pieces:
                file.seek(piece.offset)
                _fill(file, rows[at : at + piece.rows])
                at += piece.rows
    except (OSError, EOFError) as err:
        got = getattr(err, "strerror", None) or err
        raise EnvironmentProblem("rows of a worker are not here", where=path, got=got, hint=SHARED) from err


def _fill(file: Any, rows: Rows) -> None:
    view, done = rows.view(np.uint8).data, 0
    while done < len(view):
        # One call reads no more than 2 GiB.
        read = file.readinto(view[done:])
        if not read:
            raise EOFError("the file is cut short")
        done += read
