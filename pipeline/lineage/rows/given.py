"""What a question about lineage is about: files, folders, pictures or a digest, recognised by content."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components.digest import sha256_bytes, tree_digest, tree_files
from components.errors import BadInput, CannotTell, EnvironmentProblem, printable
from pipeline.lineage.rows import given_rows, images
from pipeline.lineage.rows.given_kinds import Kind, recognise
from pipeline.lineage.rows.given_rows import Gathering, GivenRows, Show
from pipeline.lineage.rows.images import Decoded, Picture

if TYPE_CHECKING:
    from components.settings import DataSettings

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_MOST_FILES: Final = 20_000
"""In a folder whose digest is asked for: ten times what any artifact or served version has."""

_DATA: Final = (Kind.IMAGES, Kind.LABELS, Kind.TABLE, Kind.PARQUET)
_NOT_DATA: Final = (Kind.CODE, Kind.SCHEMA, Kind.OTHER, Kind.EMPTY)
_HINTS: Final = {
    Kind.ARCHIVE: "unpack it, and name the files that were in it",
    Kind.STORE: "save its images and labels with numpy.savez, and name that file",
    Kind.PICKLE: "save its images and labels with numpy.savez, and name that file",
    Kind.OTHER_IDX: "save the images as unsigned bytes in three dimensions: count, height, width",
    Kind.OTHER: "name the data file, picture, code or schema file that is meant",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """Something that somebody holds.

    Attributes:
      name: what it is called in sentences.
      kind: what it is, in words.
      digests: by which records may know it; the first is its own.
      readings: its rows, once for each way in which they can be read; None if it is nothing that has rows.
      by_digest_alone: whether a digest is all that it can be known by, as code is.
      doubts: why it need not be what it would be compared as.
      hint: what to ask instead, where that leaves the question open.
      notes: what else is worth knowing of it, in words.
    """

    name: str
    kind: str
    digests: tuple[str, ...] = ()
    readings: Callable[[], Iterator[GivenRows]] | None = None
    by_digest_alone: bool = False
    doubts: tuple[str, ...] = ()
    hint: str | None = None
    notes: tuple[str, ...] = ()


def look_at(given: Sequence[str], settings: Sequence[DataSettings], show: Show = given_rows.in_silence) -> Given:
    """Return what the command line names.

    Args:
      given: a digest; or one file or folder; or an IDX images file and its labels file; or several data files or
        pictures, as one collection of rows.
      settings: settings under which data was ever read here.
      show: called with the progress.

    Raises:
      BadInput: if it is neither a file nor 64 hex digits, is damaged, or is of several kinds.
    """
    paths = [Path(text) for text in given]
    if len(paths) == 1 and not _exists(paths[0]) and (match := _DIGEST.fullmatch(given[0])) is not None:
        return _digest(match[1].lower())
    if missing := [path for path in paths if not _exists(path)]:
        where = ", ".join(map(str, missing))
        raise BadInput("no such file, and not a digest", where=where, wanted="a file, a folder, or 64 hex digits")
    if len(paths) == 1 and paths[0].is_dir():
        return _folder(paths[0], settings, show)
    return _files(paths, settings, show)


def _digest(text: str) -> Given:
    if text == sha256_bytes(b""):
        return Given(name="digest", kind="the digest of nothing", doubts=("every empty file has it",))
    hint = "name the file itself: its rows are compared, whatever its form"
    return Given(name="digest", kind="a digest", digests=(text,), hint=hint)


def of_picture(picture: Picture, name: str) -> Given:
    """Return the question about one image that is at hand already."""
    return Given(name=name, kind=Kind.PICTURE.value, readings=lambda: iter([_rows_of([picture])]))


def _files(paths: Sequence[Path], settings: Sequence[DataSettings], show: Show) -> Given:
    digests = tuple(dict.fromkeys(text for path in paths for text in _digests(path, show)))
    kinds = [recognise(path) for path in paths]
    name = printable(" and ".join(path.name for path in paths) if len(paths) < 3 else f"{len(paths)} files")
    start = Given(name=name, kind=", ".join(dict.fromkeys(what for _, what in kinds)), digests=digests)
    present = {kind for kind, _ in kinds}
    if present == {Kind.PICTURE}:
        return _pictures(start, paths)
    if present <= set(_DATA) or _are_pairs(paths):
        return _data_files(start, paths, settings, show)
    if len(paths) > 1:
        raise BadInput("of several kinds", where=name, got=start.kind, hint="ask about one after the other")
    return _one_file(start, paths[0], kinds[0][0], settings, show)


def _are_pairs(paths: Sequence[Path]) -> bool:
    """Return whether files are pixels and their labels by their names: a column of labels alone is no table."""
    from components.ingest import pair_names

    return len(paths) > 1 and bool(pair_names.pairs_among(paths))


def _data_files(start: Given, paths: Sequence[Path], settings: Sequence[DataSettings], show: Show) -> Given:
    from components.ingest.discovery import discover

    kinds = [recognise(path)[0] for path in paths]
    if kinds == [Kind.LABELS]:
        doubt = "labels without their images are like those of any other data"
        return dataclasses.replace(start, doubts=(doubt,), hint="name the images file as well")
    if kinds == [Kind.IMAGES]:
        return dataclasses.replace(start, readings=lambda: given_rows.read_images(paths[0], settings, show))
    parts: list[Sequence[Path]] = [tuple(paths)]
    if sorted(kinds, key=lambda kind: kind is Kind.LABELS) == [Kind.IMAGES, Kind.LABELS]:
        parts = [given_rows.in_pairs(paths)]
    elif len(paths) > 1:
        parts = [part.files for part in discover(paths).parts]
    return dataclasses.replace(start, readings=lambda: given_rows.read_parts(parts, settings, show))


def _one_file(start: Given, path: Path, kind: Kind, settings: Sequence[DataSettings], show: Show) -> Given:
    if kind is Kind.ARRAYS:
        from pipeline.lineage.rows.given_arrays import read_arrays

        shapes = list(dict.fromkeys(data.shape for data in settings))
        return dataclasses.replace(start, readings=lambda: iter([read_arrays(path, shapes, show)]))
    if kind in (Kind.CODE, Kind.SCHEMA):
        return dataclasses.replace(start, by_digest_alone=True)
    if kind is Kind.EMPTY:
        # Its digest is that of every empty file, and artifacts have some.
        return dataclasses.replace(start, digests=(), doubts=("it is empty",))
    doubt = f"it is {start.kind}, and what is in it was not compared"
    return dataclasses.replace(start, doubts=(doubt,), hint=_HINTS.get(kind))


def _pictures(start: Given, paths: Sequence[Path]) -> Given:
    decoded = [images.decode(path) for path in paths]
    doubts = tuple(_doubts(paths, decoded))
    exact = [one.picture for one in decoded if one.picture is not None and one.doubt is None]
    seen = exact or [one.picture for one in decoded if one.picture is not None]
    readings = (lambda: iter([_rows_of(seen)])) if seen else None
    return dataclasses.replace(start, readings=readings, doubts=doubts, hint=images.PREDICT if doubts else None)


def _doubts(paths: Sequence[Path], decoded: Sequence[Decoded]) -> Iterator[str]:
    for path, one in zip(paths, decoded, strict=True):
        if one.doubt is not None:
            yield one.doubt if len(paths) == 1 else f"{printable(path.name)}: {one.doubt}"


def _rows_of(pictures: Sequence[Picture]) -> GivenRows:
    gathering = Gathering()
    for picture in pictures:
        gathering.add((picture.height, picture.width), picture.values().reshape(1, -1), None)
    return gathering.rows()


def _folder(path: Path, settings: Sequence[DataSettings], show: Show) -> Given:
    from components.ingest.discovery import discover

    start = Given(name=printable(f"folder {path.name}"), kind="a folder", digests=(_tree(path),))
    try:
        files = discover([path])
    except BadInput:
        return _folder_of_pictures(start, path)
    parts = [part.files for part in files.parts]
    return dataclasses.replace(
        start,
        kind="a folder of data files",
        readings=lambda: given_rows.read_parts(parts, settings, show),
        doubts=tuple(_left_out(files.ignored)),
        hint="name those files themselves",
    )


def _folder_of_pictures(start: Given, path: Path) -> Given:
    files = sorted(child for child in path.iterdir() if child.is_file() and not child.name.startswith("."))
    pictures = [file for file in files if recognise(file)[0] is Kind.PICTURE]
    if not pictures:
        doubt = "it is no artifact or version on record, and holds neither a set of data files nor pictures"
        return dataclasses.replace(start, doubts=(doubt,), hint="name the files in it that are meant")
    question = _pictures(dataclasses.replace(start, kind="a folder of pictures"), pictures)
    left = tuple(_left_out([file for file in files if file not in pictures]))
    return dataclasses.replace(question, doubts=(*question.doubts, *left))


def _left_out(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        kind, what = recognise(file)
        if kind not in _NOT_DATA:
            yield f"{printable(file.name)} in it, {what}, was not compared"


def _tree(path: Path) -> str:
    try:
        if (count := len(tree_files(path))) > _MOST_FILES:
            raise CannotTell("too many files for an artifact, a version or a data set", where=path, got=count)
        return tree_digest(path)
    except OSError as err:
        raise EnvironmentProblem("cannot be read", where=err.filename or path, got=err.strerror) from err


def _digests(path: Path, show: Show) -> tuple[str, str]:
    from components.ingest.payload import payload_digest, payload_size_bound

    # What a gzip file becomes is not known before it is read.
    size = path.stat().st_size
    done, total = 0, size if payload_size_bound(path) == size else 0

    def watch(block: bytes) -> None:
        nonlocal done
        done += len(block)
        show(f"reading {printable(path.name)}", done, total)

    digest = payload_digest(path, watch=watch)
    return digest.payload, digest.container


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL byte
        return False
