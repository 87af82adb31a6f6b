"""Data files written again without some of their rows: IDX pairs and CSVs in their own form, all else byte for byte.

A row is known by its row digest, of upright pixels and the label from 0. Neither stands in the files, so they are read as
`data inspect` reads them; where nobody says how labels are counted or images turned, the way in which most digests match
is the one. A digest cannot match by accident, so a wrong way leaves rows in, and takes none out.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

import numpy as np

from components import disk
from components.digest import row_digest, row_prefix, sha256_file
from components.errors import BadInput
from components.files import sync_folder
from components.ingest import discovery, idx, import_record
from components.ingest.csv_layout import sniff
from components.ingest.data_files import NONE_FOUND
from components.ingest.forms import CSV, IDX, PARQUET, READERS
from components.ingest.payload import GZIP_MAGIC, PayloadReader, payload_blocks, payload_digest
from pipeline.datasets import class_names, next_commands
from pipeline.datasets.imports import sources
from pipeline.datasets.imports.excluded import without_rows
from pipeline.datasets.readings import reading_of
from pipeline.datasets.staging import staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from components.ingest.data_files import DataFiles, Part
    from pipeline.datasets.readings import Given, Reading

    Show = Callable[[str, int, int], None]
    Keep = NDArray[np.bool_]

FORMS: Final = frozenset({IDX, CSV})
"""Forms that are written."""

_OFFSETS: Final = (0, 1)  # from 1 labels are counted in EMNIST's letters
_LEVEL: Final = 6  # of gzip; 9 takes four times as long for 2 % less
_BLOCK: Final = 1 << 22
_SHOWN: Final = 10


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """What came of leaving rows out.

    Attributes:
      folder: that was to be written.
      form: of the files.
      rows: {part: rows that stayed}.
      left_out: {part: rows that went}.
      unmatched: digests that no row has.
      files: {file: SHA-256} of what was written; nothing where no digest has a row.
      not_copied: files beside the data that nobody knows to be without the rows.
    """

    folder: Path
    form: str
    rows: Mapping[str, int]
    left_out: Mapping[str, int]
    unmatched: tuple[str, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    not_copied: tuple[Path, ...] = ()


def exclude_rows(paths: Sequence[Path], digests: Sequence[str], to: Path, given: Given, show: Show) -> Excluded:
    """Write data files without the rows that have these digests; the other rows keep labels and order.

    Args:
      paths: one folder, or files.
      digests: row digests, hexadecimal.
      to: a folder that is not there, or is empty.
      given: what is said about the data.
      show: called with the progress.

    Raises:
      BadInput: if the data cannot be read, are of a form that is not written, or would have a part without rows.
      EnvironmentProblem: if the files cannot be written.
    """
    _require_free(to)
    files = _discovered(paths, given)
    reading = reading_of(files, given)
    gone, matched = _matches(reading, digests, given, show)
    counts = [READERS[files.form].rows(part.files) for part in files.parts]
    by_part = np.split(gone, np.cumsum(counts)[:-1])
    result = Excluded(
        folder=to,
        form=files.form,
        rows=_sums(files.parts, [~some for some in by_part]),
        left_out=_sums(files.parts, by_part),
        unmatched=tuple(digest for digest in digests if digest not in matched),
    )
    if not matched:
        return result
    _require_possible(files, by_part)
    keep = {part.files: ~some for part, some in zip(files.parts, by_part, strict=True)}
    try:
        written = _written(files, keep, to, show)
    except OSError as err:
        raise disk.problem(err, "the data cannot be written", where=err.filename or to) from err
    records = {path.parent / import_record.FILE for part in files.parts for path in part.files}
    beside = (*files.ignored, *sorted(path for path in records if path.is_file()))
    not_copied = tuple(path for path in beside if to / path.name not in written)
    return Excluded(**{**vars(result), "files": written, "not_copied": not_copied})


def writes(paths: Sequence[Path]) -> bool:
    """Return whether there are data files of a form that is written."""
    try:
        return discovery.discover(paths).form in FORMS
    except BadInput:
        return False


def _require_free(to: Path) -> None:
    if os.path.lexists(to) and (not to.is_dir() or any(to.iterdir())):
        got = "a folder with something in it" if to.is_dir() else "a file"
        raise BadInput("nothing is written over", where=to, got=got, hint="name a new folder with --to")


def _discovered(paths: Sequence[Path], given: Given) -> DataFiles:
    try:
        return discovery.discover(paths, form=given.form)
    except BadInput as err:
        if err.what != NONE_FOUND or sources.recognise(paths[0]) is None:
            raise
        hint = "remove the picture itself, then run `mnist-tfx data import` again"
        raise BadInput("no data files, but what they can be made of", where=paths[0], hint=hint) from err


def _matches(reading: Reading, digests: Sequence[str], given: Given, show: Show) -> tuple[Keep, set[str]]:
    """Return which rows have one of the digests, [n] in the order of the files, and the digests that were met."""
    wanted = {bytes.fromhex(digest) for digest in digests}
    offsets = _OFFSETS if given.label_offset is None else (given.label_offset,)
    turned = (False, True) if given.transpose is None else (given.transpose,)
    found: dict[tuple[bool, int], dict[int, str]] = {way: {} for way in itertools.product(turned, offsets)}
    classes, start = _class_numbers(reading, given), 0
    for _, pixels, labels in reading.blocks():
        numbers = labels if classes is None else classes[labels]
        for (turn, offset), rows in found.items():
            for row, digest in enumerate(_digests(pixels, numbers - offset, reading.shape, turn=turn), start):
                if digest in wanted:
                    rows[row] = digest.hex()
        start += len(labels)
        show("reading rows", start, reading.expected)
    best = max(found.values(), key=len)
    gone = np.zeros(start, bool)
    gone[list(best)] = True
    return gone, set(best.values())


def _class_numbers(reading: Reading, given: Given) -> NDArray[np.int64] | None:
    """Return the number of each class that the files name, [classes], where the user has put them into another order."""
    if given.class_names is None or not reading.class_names:
        return None
    names = class_names.read_names(given.class_names)
    if missing := [name for name in reading.class_names if name not in names]:
        raise BadInput("a class without a name", where=given.class_names, wanted=missing[0], got="no such line")
    return np.array([names.index(name) for name in reading.class_names], np.int64)


def _digests(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], shape: tuple[int, int], *, turn: bool
) -> Iterator[bytes]:
    height, width = shape
    images = pixels.reshape(-1, height, width)
    if turn:
        images = images.transpose(0, 2, 1)
    prefix = row_prefix(*images.shape[1:])
    yield from (
        row_digest(prefix, image.tobytes(), label) for image, label in zip(images, labels.tolist(), strict=True)
    )


def _sums(parts: Sequence[Part], rows: Sequence[Keep]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for part, some in zip(parts, rows, strict=True):
        sums[part.split] = sums.get(part.split, 0) + int(some.sum())
    return sums


def _require_possible(files: DataFiles, gone: Sequence[Keep]) -> None:
    for part, rows in zip(files.parts, gone, strict=True):
        if files.form not in FORMS and rows.any():
            numbers = rows.nonzero()[0]
            more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
            raise BadInput(
                f"{READERS[files.form].title} cannot be written here",
                where=part.files[0],
                wanted="IDX or CSV",
                got=f"the rows are {', '.join(map(str, numbers[:_SHOWN]))}{more}, from 0",
                hint=_way_out(files),
            )
        if rows.all():
            raise BadInput("no row would be left", where=part.files[0], hint="leave the file out of the data")


def _way_out(files: DataFiles) -> str:
    if files.form == PARQUET:
        place = next_commands.shown(files.parts[0].files[0])
        return f"take them out with what wrote the file, or make IDX files of it: mnist-tfx data import {place}"
    return "take them out of both files with what wrote them"


def _written(files: DataFiles, keep: Mapping[tuple[Path, ...], Keep], to: Path, show: Show) -> dict[Path, str]:
    """Write all files at once or none, and return {file: SHA-256}."""
    base = Path(os.path.commonpath([path.parent for names in keep for path in names]))
    targets: list[Path] = []
    with staging(to, "exclude") as folder:
        for names, rows in keep.items():
            for number, path in enumerate(names):
                target = folder / path.relative_to(base)
                target.parent.mkdir(parents=True, exist_ok=True)
                targets.append(target)
                _write(files.form, path, target, rows, "labels" if number else "images")
                show("writing files", len(targets), sum(map(len, keep)))
        if (record := _import_record_less(files, keep, folder)) is not None:
            targets.append(folder / import_record.FILE)
            with targets[-1].open("xb") as file:
                file.write(import_record.to_bytes(record))
                file.flush()
                os.fsync(file.fileno())
        for path in _names_of_classes(files.ignored):
            targets.append(folder / path.name)
            _copy(path, targets[-1])
        digests = {to / target.relative_to(folder): sha256_file(target) for target in targets}
        for place in sorted({folder, *(target.parent for target in targets)}):
            sync_folder(place)
        os.rename(folder, to)  # over an empty folder at most: nothing is replaced
    sync_folder(to.parent)
    return digests


def _import_record_less(
    files: DataFiles, keep: Mapping[tuple[Path, ...], Keep], written: Path
) -> import_record.Fields | None:
    """Return the record of the import that the files came from, about the files without the rows; None where there is none.

    It is written only if it is about these very files, and all of them lie in one folder, as an import lays them.
    """
    paths = [path for names in keep for path in names]
    if files.form != IDX or len({path.parent for path in paths}) != 1:
        return None
    found, _ = import_record.beside(
        paths[0].parent / import_record.FILE, [payload_digest(path).payload for path in paths]
    )
    if found is None:
        return None
    splits = {names[0]: split for split, names in import_record.NAMES.items()}
    rows = {splits[names[0].name]: mask for names, mask in keep.items() if names[0].name in splits}
    return without_rows(found.fields, rows, written) if rows.keys() == found.fields["rows"].keys() else None


def _names_of_classes(ignored: Sequence[Path]) -> list[Path]:
    """Return the files beside the data that name classes, of which a run makes use."""
    mapping = class_names.mapping_in(ignored)
    return [path for path in ignored if path == mapping or path.name == class_names.FILE]


def _copy(path: Path, target: Path) -> None:
    with target.open("xb") as file:
        for block in payload_blocks(path):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _write(form: str, path: Path, target: Path, keep: Keep, role: Literal["images", "labels"]) -> None:
    with _container(path, target) as file:
        pieces = _csv_pieces(path, keep) if form == CSV else _idx_pieces(path, keep, role)
        for piece in pieces:
            file.write(piece)


@contextlib.contextmanager
def _container(path: Path, target: Path) -> Iterator[BinaryIO]:
    """Open a new file that is gzip where the old one is, and is on disk when the block ends."""
    with path.open("rb") as original:
        packed = original.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    with target.open("xb") as file:
        if packed:
            # No time and no name in the gzip header: they would make equal payloads differ as files.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as written:
                yield written  # type: ignore[misc]  # binary, and written to alone
        else:
            yield file
        file.flush()
        os.fsync(file.fileno())


def _idx_pieces(path: Path, keep: Keep, role: Literal["images", "labels"]) -> Iterator[bytes]:
    """Yield the header with another count, and the values of the rows that stay, of whatever type they are."""
    header = idx.read_header(path, dimensions=idx.IMAGES if role == "images" else idx.LABELS)
    with PayloadReader(path) as reader:
        head = reader.read(header.header_bytes)
        yield head[:4] + struct.pack(">I", int(keep.sum())) + head[8:]
        step = max(1, _BLOCK // header.row_bytes)
        for start in range(0, header.count, step):
            some = keep[start : start + step]
            values = reader.read(len(some) * header.row_bytes)
            _require_unchanged(len(values) == len(some) * header.row_bytes, path)
            yield np.frombuffer(values, np.uint8).reshape(len(some), -1)[some].tobytes()


def _csv_pieces(path: Path, keep: Keep) -> Iterator[bytes]:
    """Yield all lines but those of rows that go: comments, header and line ends stay as they are."""
    first, row = sniff(path).first_line, 0
    for number, line in enumerate(_lines(path), start=1):
        if number >= first and line.strip():
            _require_unchanged(row < len(keep), path)
            row += 1
            if not keep[row - 1]:
                continue
        yield line
    _require_unchanged(row == len(keep), path)


def _lines(path: Path) -> Iterator[bytes]:
    rest = b""
    for block in payload_blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _require_unchanged(same: bool, path: Path) -> None:
    if not same:
        raise BadInput("changed while it was being read", where=path, hint="run again once it is complete")
