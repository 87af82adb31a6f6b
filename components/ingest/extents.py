"""Runs of neighbouring rows of a data file, each of which can be read without the rows before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Neighbouring rows of one file, or of a pair of files, and where they are.

    Attributes:
      first: number of the first of them in the file, from 0.
      rows: how many there are.
      offset: byte of the payload at which the line of the first one begins, of text.
      end: byte of the payload after the last line, of text; None for all that follows.
      line: number of the first line, from 1, of text.
      groups: first row group and the one after the last, of Parquet; None for all.
    """

    first: int
    rows: int
    offset: int = 0
    end: int | None = None
    line: int = 1
    groups: tuple[int, int] | None = None


def runs_of(rows: int, most: int) -> list[Extent]:
    """Return `rows` rows in runs of at most `most`; a single, empty run of no rows."""
    starts = range(0, rows, most) if rows else (0,)
    return [Extent(first=start, rows=min(most, rows - start)) for start in starts]
