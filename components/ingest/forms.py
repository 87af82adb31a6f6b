"""Forms of data files, one table: which files make a part, how they are digested, counted and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

import numpy as np

from components.errors import BadInput
from components.ingest import csv_columns, csv_rows, idx, pairs, parquet
from components.ingest.csv_columns import Columns
from components.ingest.csv_layout import sniff, square_guess
from components.ingest.csv_lines import LineLimit, line_blocks, line_extents, longest_line
from components.ingest.extents import Extent, runs_of
from components.ingest.payload import payload_digest
from components.ingest.words import Words, require_names
from components.untrusted import LARGEST_ARRAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from components.ingest.chunk import Chunk
    from components.ingest.payload import PayloadDigest
    from components.settings import DataSettings

Form = Literal["idx", "csv", "parquet", "pairs"]
IDX: Final = "idx"
CSV: Final = "csv"
PARQUET: Final = "parquet"
PAIRS: Final = "pairs"

Plan: TypeAlias = "Columns | Words | None"
"""What only all files of a data set together tell: what the columns of its CSVs are, or which words its labels are."""

_PAIR: Final = ("-images", "-labels")
_BLOCK: Final = 1 << 20


class Reader(ABC):
    """How data files of one form are read; the files of one part are an images file and its labels, or one with both.

    Attributes:
      roles: what is added to the name of a part in the names of the copies of its files.
      extension: of the copies.
      title: the form in words.
      by_offset: whether a part of the rows is found by its place in the payload, to which a gzip file has to be
        decompressed first.
    """

    roles: ClassVar[tuple[str, ...]] = ("",)
    extension: ClassVar[str] = ""
    title: ClassVar[str]
    by_offset: ClassVar[bool] = True

    @abstractmethod
    def shape(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return height and width of the images; of rows of pixels those of squares, or None where none fit."""

    @abstractmethod
    def rows(self, files: Sequence[Path]) -> int:
        """Return how many rows a part has, as far as headers say, where there are any."""

    @abstractmethod
    def plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return what only all parts together tell, also where labels are words that the settings do not name."""

    def checked_plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return the plan; labels in words that the settings do not name are refused."""
        plan = self.plan(parts, data)
        if isinstance(plan, Words):
            require_names(plan, parts[0][-1], data)
        return plan

    @abstractmethod
    def extents(self, files: Sequence[Path], *, rows: int) -> list[Extent]:
        """Return all rows of a part in runs of about so many that can be read each by itself, or in one run."""

    @abstractmethod
    def chunks(
        self, files: Sequence[Path], data: DataSettings, *, rows: int, plan: Plan, extent: Extent | None = None
    ) -> Iterator[Chunk]:
        """Yield rows of a part in their order, with upright images and labels from 0, `rows` at a time.

        Args:
          files: of the part.
          data: geometry, and range of labels and pixels.
          rows: of a chunk, about.
          plan: what all parts together tell.
          extent: one of `extents`; None yields all rows.
        """

    @abstractmethod
    def digests(self, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
        """Return the digest of each file, and read none of them further than it can be sound."""

    def label_counts(self, files: Sequence[Path], data: DataSettings, plan: Plan) -> Counter[str]:
        """Return {label as users see it: rows} of a part."""
        counts: Counter[str] = Counter()
        wide = data if data.class_names else data.model_copy(update={"label_count": csv_columns.MOST_CLASSES})
        for chunk in self.chunks(files, wide, rows=_BLOCK, plan=plan):
            values, rows = np.unique(chunk.labels, return_counts=True)
            pairs_ = zip(values.tolist(), rows.tolist(), strict=True)
            counts.update({wide.names[int(value)]: int(count) for value, count in pairs_})
        return counts


class IdxReader(Reader):
    """IDX pairs of images and labels, raw or gzip."""

    roles = _PAIR
    title = "IDX"

    def shape(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return what the header of the images says."""
        _, height, width = idx.read_header(files[0], dimensions=idx.IMAGES).shape
        return height, width

    def rows(self, files: Sequence[Path]) -> int:
        """Return what the header of the images says."""
        return idx.read_header(files[0], dimensions=idx.IMAGES).count

    def plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return None: each file says all."""
        del parts, data
        return None  # a plan, of which there is none

    def extents(self, files: Sequence[Path], *, rows: int) -> list[Extent]:
        """Return what the header of the images says, cut: all rows have one size."""
        return runs_of(self.rows(files), rows)

    def chunks(
        self, files: Sequence[Path], data: DataSettings, *, rows: int, plan: Plan, extent: Extent | None = None
    ) -> Iterator[Chunk]:
        """Yield rows of a pair."""
        del plan
        return idx.iter_chunks(files[0], files[1], rows=rows, data=data, extent=extent)

    def digests(self, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
        """Digest a pair that is sound by its headers; what is not is refused here, under the names its owner knows."""
        images, labels = files
        headers = idx.read_headers(images, labels, data)
        try:
            # The header's size is the limit, so that a gzip bomb ends there.
            found = [
                payload_digest(path, limit=header.total_bytes) for path, header in zip(files, headers, strict=True)
            ]
        except BadInput:
            idx.check(images, labels, data)  # knows more about what is wrong
            raise
        if any(digest.payload_bytes != header.total_bytes for digest, header in zip(found, headers, strict=True)):
            idx.check(images, labels, data)
        return found

    def label_counts(self, files: Sequence[Path], data: DataSettings, plan: Plan) -> Counter[str]:
        """Count the file of labels alone."""
        del data, plan
        counts: Counter[str] = Counter()
        for labels in idx.iter_labels(files[1], rows=_BLOCK):
            values, rows = np.unique(labels, return_counts=True)
            counts.update({f"{v:g}": int(count) for v, count in zip(values.tolist(), rows.tolist(), strict=True)})
        return counts


class CsvReader(Reader):
    """CSVs of pixels and a label, raw or gzip."""

    extension = ".csv"
    title = "CSV"

    def shape(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the square that a row of so many fields may be, with a label; see `csv_layout.square_guess`."""
        return square_guess(sniff(files[0]).columns)

    def rows(self, files: Sequence[Path]) -> int:
        """Count the lines below the header that are not blank."""
        blocks = line_blocks(files[0], start=sniff(files[0]).first_line)
        return sum(1 for block in blocks for _ in block.lines())

    def plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return what the columns are."""
        return csv_columns.find_columns([files[0] for files in parts], data)

    def checked_plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return what the columns are; labels in words that the settings do not name are refused."""
        return csv_columns.resolve_columns([files[0] for files in parts], data)

    def extents(self, files: Sequence[Path], *, rows: int) -> list[Extent]:
        """Return runs of whole lines, after reading all of them."""
        return line_extents(files[0], start=sniff(files[0]).first_line, rows=rows)

    def chunks(
        self, files: Sequence[Path], data: DataSettings, *, rows: int, plan: Plan, extent: Extent | None = None
    ) -> Iterator[Chunk]:
        """Yield rows of one file."""
        columns = plan if isinstance(plan, Columns) else None
        return csv_rows.iter_chunks(files[0], data, rows=rows, columns=columns, extent=extent)

    def digests(self, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
        """Digest a file of which no line is endless."""
        del data
        # The first line says how long any other may be, so that a gzip bomb ends where a line does not.
        return [payload_digest(path, watch=LineLimit(path, longest_line(sniff(path).columns))) for path in files]

    def label_counts(self, files: Sequence[Path], data: DataSettings, plan: Plan) -> Counter[str]:
        """Count the columns of labels alone."""
        columns = plan if isinstance(plan, Columns) else csv_columns.find_columns(files, data)
        return csv_columns.label_counts(files[0], columns, data)


class ParquetReader(Reader):
    """Parquet files of encoded pictures and a label, as the Hugging Face hub ships them."""

    extension = ".parquet"
    title = "Parquet"
    by_offset = False

    def shape(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the size of the first picture."""
        return parquet.shape(files[0])

    def rows(self, files: Sequence[Path]) -> int:
        """Return what the footer says."""
        return parquet.open_table(files[0]).rows

    def plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return which words the labels are."""
        return parquet.words([parquet.open_table(files[0]) for files in parts], data)

    def extents(self, files: Sequence[Path], *, rows: int) -> list[Extent]:
        """Return runs of whole row groups."""
        return parquet.extents(files[0], rows=rows)

    def chunks(
        self, files: Sequence[Path], data: DataSettings, *, rows: int, plan: Plan, extent: Extent | None = None
    ) -> Iterator[Chunk]:
        """Yield rows of one file."""
        return parquet.iter_chunks(files[0], data, rows=rows, names=_words(plan), extent=extent)

    def label_counts(self, files: Sequence[Path], data: DataSettings, plan: Plan) -> Counter[str]:
        """Count the column of labels alone."""
        del data, plan
        return Counter(str(label) for some in parquet.open_table(files[0]).labels() for label in some)

    def digests(self, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
        """Digest a file with a sound footer."""
        del data
        parquet.open_table(files[0])
        return [payload_digest(path) for path in files]


class PairReader(Reader):
    """Pixels and labels in files of their own, CSV or NumPy's."""

    roles = _PAIR
    title = "pixels and labels in files of their own"

    def shape(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the size of the images, or of the squares that rows of pixels may be."""
        return pairs.shape(files[0])

    def rows(self, files: Sequence[Path]) -> int:
        """Count the images."""
        return pairs.row_count(files[0])

    def plan(self, parts: Sequence[Sequence[Path]], data: DataSettings) -> Plan:
        """Return which words the labels are."""
        return pairs.words([files[1] for files in parts], data)

    def extents(self, files: Sequence[Path], *, rows: int) -> list[Extent]:
        """Return runs of images of an array; a table is read in one."""
        return pairs.extents(files[0], rows=rows)

    def chunks(
        self, files: Sequence[Path], data: DataSettings, *, rows: int, plan: Plan, extent: Extent | None = None
    ) -> Iterator[Chunk]:
        """Yield rows of a pair."""
        return pairs.iter_chunks(files[0], files[1], data, rows=rows, names=_words(plan), extent=extent)

    def digests(self, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
        """Digest a pair of bounded size."""
        del data
        return [payload_digest(path, limit=LARGEST_ARRAYS) for path in files]


def _words(plan: Plan) -> Words:
    return plan if isinstance(plan, Words) else Words()


READERS: Final[Mapping[str, Reader]] = {
    IDX: IdxReader(),
    CSV: CsvReader(),
    PARQUET: ParquetReader(),
    PAIRS: PairReader(),
}
"""{form: how it is read}, in the order in which a folder is looked through."""
