"""The import itself: gzipped IDX under MNIST's names, names of classes and the record, all of it at once or nothing.

Everything is written into a folder beside the target, which takes the target's name in one rename. What a killed import
leaves there is removed by the next one.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.metadata
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from components import disk
from components.digest import CHUNK, sha256_file
from components.errors import BadInput
from components.features import SPLITS, TRAIN
from components.files import sync_folder
from components.ingest import import_record
from components.ingest.copy_paths import address_of
from components.ingest.import_record import Fields, ImportRecord, Run, SourceFile, WrittenFile
from components.ingest.payload import payload_digest
from pipeline.datasets import class_names
from pipeline.datasets.imports.opening import Tools, opened
from pipeline.datasets.staging import staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.datasets.imports.contents import Block, Contents, File, Options
    from pipeline.datasets.imports.sources import Source

    Show = Callable[[str, int, int], None]

_LEVEL: Final = 6  # of gzip; 9 takes four times as long for 2 % less
_LOCK: Final = ".lock"
_BYTES, _INTS = 0x08, 0x0C
_LARGEST_BYTE: Final = 255


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import left.

    Attributes:
      folder: with the files.
      record: of the import.
      notes: how the source was understood, a sentence each.
      again: whether the folder held all of this already.
    """

    folder: Path
    record: ImportRecord
    notes: tuple[str, ...]
    again: bool

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each part."""
        runs = self.record.fields["rows"]
        return {split: sum(run["rows"] for run in runs[split]) for split in SPLITS if split in runs}


def import_source(source: Source, to: Path, options: Options, tools: Tools, show: Show) -> Imported:
    """Write IDX files of a source.

    Args:
      source: what to read.
      to: a folder that is not there, is empty, or holds this very import.
      options: how to make images.
      tools: what reads pictures.
      show: called with the progress.

    Raises:
      BadInput: if the source cannot be read, or the folder holds something else.
      EnvironmentProblem: if the files cannot be written.
    """
    _require_free(to)
    try:
        with staging(to, "import") as folder, opened(source, options, tools) as contents:
            fields = _written(source, contents, folder, show)
            notes = (*contents.notes, *_on_skipped(contents))
            (folder / import_record.FILE).write_bytes(import_record.to_bytes(fields))
            found = import_record.read(folder / import_record.FILE)
            again = _place(folder, to, found)
    except OSError as err:
        raise disk.problem(err, "the import cannot be written", where=err.filename or to) from err
    return Imported(folder=to, record=found, notes=notes, again=again)


def _require_free(to: Path) -> None:
    """Refuse a folder with anything but an import in it, before the source is read."""
    if not os.path.lexists(to):
        return
    if not to.is_dir():
        raise BadInput("is not a folder", where=to)
    if any(to.iterdir()) and not (to / import_record.FILE).is_file():
        raise BadInput("holds something else already", where=to, hint="name a new folder with --to")


def _on_skipped(contents: Contents) -> Iterator[str]:
    if contents.skipped:
        yield f"{len(contents.skipped)} pictures were left out: {'; '.join(contents.skipped[:3])}"


def _place(folder: Path, to: Path, record: ImportRecord) -> bool:
    """Give the folder its name; return whether the same is there already.

    Raises:
      BadInput: if another import is.
    """
    if (to / import_record.FILE).is_file():
        with contextlib.suppress(BadInput):
            known = import_record.read(to / import_record.FILE)
            same = all(_is(to / one["name"], one["sha256"]) for one in known.fields["written"])
            if known.digest == record.digest and same:
                return True
        raise BadInput("holds another import", where=to, hint="name a new folder with --to")
    sync_folder(folder)
    os.rename(folder, to)  # over an empty folder at most: nothing is replaced
    sync_folder(to.parent)
    return False


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _written(source: Source, contents: Contents, folder: Path, show: Show) -> Fields:
    """Write all files into a folder, and return the record of them."""
    parts = _spooled(contents, show)
    if TRAIN not in parts:
        raise BadInput("holds no rows to train on", where=source.path)
    shapes = {part.shape for part in parts.values()}
    if len(shapes) > 1:
        got = " and ".join("x".join(map(str, shape or ())) for shape in shapes)
        hint = "--fit 28x28 or --resize 28x28 makes one size of them"
        raise BadInput("its parts have images of different sizes", where=source.path, got=got, hint=hint)
    written: list[WrittenFile] = []
    for split in SPLITS:
        if split in parts:
            written += parts[split].write(folder, import_record.NAMES[split])
            show(f"compressing {split}", 0, 0)
    if not class_names.are_numbers(contents.class_names):
        _write(folder / class_names.FILE, class_names.text(contents.class_names).encode())
    return Fields(
        schema_version=import_record.VERSION,
        release=importlib.metadata.version("mnist-tfx"),
        source=address_of(source.path) or source.path.name,
        form=contents.form,
        options=dict(contents.options),
        class_names=list(contents.class_names),
        files=_sources(contents, show),
        written=written,
        rows={split: parts[split].runs for split in SPLITS if split in parts},
        skipped=list(contents.skipped),
    )


def _spooled(contents: Contents, show: Show) -> dict[str, _Part]:
    parts: dict[str, _Part] = {}
    # Files in a record begin with the archive, where there is one.
    shift = 0 if contents.archive is None else 1
    done, total = 0, sum(contents.parts.values())
    for block in contents.blocks():
        parts.setdefault(block.split, _Part()).add(block, shift)
        done += len(block.labels)
        show("reading", done, total)
    return parts


def _sources(contents: Contents, show: Show) -> list[SourceFile]:
    found: list[SourceFile] = []
    if contents.archive is not None:
        found.append(_source(contents.archive))
    for number, file in enumerate(contents.files, start=1):
        entry = _source(file)
        found.append(entry if contents.archive is None else SourceFile(**entry, archive=0))
        show("digesting", number, len(contents.files))
    return found


def _source(file: File) -> SourceFile:
    return SourceFile(name=file.name, sha256=sha256_file(file.path), bytes=file.path.stat().st_size)


class _Part:
    """The rows of one part on their way: pixels in a temporary file, as only the end tells how many there are.

    Attributes:
      shape: of the images.
      runs: where the rows came from.
    """

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None
        self.runs: list[Run] = []
        self._labels: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        self._pixels = tempfile.TemporaryFile(prefix="mnist-tfx-")  # noqa: SIM115  # closed with the part

    def add(self, block: Block, shift: int) -> None:
        """Take a block of rows.

        Raises:
          BadInput: if its images have another size than those before.
        """
        shape = block.images.shape[1:]
        if self.shape not in (None, shape):
            got = "x".join(map(str, shape))
            raise BadInput("images of different sizes", where=block.member, wanted=self.shape, got=got)
        self.shape = shape
        self._pixels.write(np.ascontiguousarray(block.images).data)
        self._labels.append(block.labels)
        run = Run(file=block.file + shift, first=block.first, rows=len(block.labels))
        if block.member is not None:
            run["member"] = block.member
        if self.runs and _goes_on(self.runs[-1], run):
            self.runs[-1]["rows"] += run["rows"]
        else:
            self.runs.append(run)

    def write(self, folder: Path, names: Sequence[str]) -> list[WrittenFile]:
        """Write images and labels as gzipped IDX; equal rows give equal bytes."""
        labels = np.concatenate(self._labels)
        wide = int(labels.max()) > _LARGEST_BYTE
        values = labels.astype(">i4" if wide else np.uint8).tobytes()
        self._pixels.seek(0)
        shape = (len(labels), *(self.shape or ()))
        with self._pixels as pixels:
            blocks = iter(lambda: pixels.read(CHUNK), b"")
            _write_gzip(folder / names[0], _header(_BYTES, shape), blocks)
        _write_gzip(folder / names[1], _header(_INTS if wide else _BYTES, (len(labels),)), iter([values]))
        return [_entry(folder / name, len(labels)) for name in names]


def _goes_on(last: Run, run: Run) -> bool:
    same = (last["file"], last.get("member")) == (run["file"], run.get("member"))
    return same and last["first"] + last["rows"] == run["first"]


def _entry(path: Path, rows: int) -> WrittenFile:
    found = payload_digest(path)
    return WrittenFile(name=path.name, rows=rows, sha256=found.container, payload_digest=found.payload)


def _header(kind: int, shape: tuple[int, ...]) -> bytes:
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def _write_gzip(path: Path, header: bytes, blocks: Iterator[bytes]) -> None:
    with path.open("xb") as file:
        # No time and no name in the gzip header: they would make equal payloads differ as files.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
            packed.write(header)
            for block in blocks:
                packed.write(block)
        _sync(file)


def _write(path: Path, text: bytes) -> None:
    with path.open("xb") as file:
        file.write(text)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
