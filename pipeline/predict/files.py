"""Photographs among the files and folders that the user named, their true digits, and what was left out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Problems
from pipeline.predict.photograph import is_image, require_image

DIGITS: Final = "0123456789"


@dataclasses.dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes:
      path: of it.
      named: whether the user named it, and did not only name its folder: then it has to be an image.
      truth: the digit that its name begins with; None where names say nothing.
    """

    path: Path
    named: bool
    truth: int | None = None


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Something that is no photograph, and why.

    Attributes:
      path: of it.
      why: in words.
      named: whether the user named it, and did not only name its folder.
    """

    path: Path
    why: str
    named: bool = False


def gather(named: Sequence[Path], *, labelled: bool, besides: Path | None) -> tuple[list[Source], list[Ignored]]:
    """Return the photographs, in the order in which they were named, those of a folder by name, and what is none.

    Args:
      named: files and folders.
      labelled: whether the first character of a file's name is its digit.
      besides: a file that is no photograph even if it lies in one of the folders.

    Raises:
      BadInput: if a file is not there, no file is an image, a folder has none, or a name does not begin with a digit.
      EnvironmentProblem: if a folder cannot be read.
    """
    sources: list[Source] = []
    ignored: list[Ignored] = []
    _require_there(named)
    unreadable = Problems()
    for path in named:
        before = len(unreadable.found)
        with unreadable.noted():
            images, others = _in_folder(path, besides) if path.is_dir() else (_as_image(path), [])
            sources += images
            ignored += others
        ignored += [Ignored(path, reason(err), named=True) for err in unreadable.found[before:]]
    if not sources:
        unreadable.raise_any()
    first: dict[Path, Source] = {}
    for source in sources:
        first.setdefault(source.path.resolve(), source)
    sources = list(first.values())
    return _labelled(sources) if labelled else sources, ignored


def reason(err: MnistTfxError) -> str:
    """Return an error without the file's name."""
    return err.what if err.got is None else f"{err.what}: {err.got}"


def _require_there(named: Sequence[Path]) -> None:
    """Refuse names of nothing, all of them together, before any photograph is read."""
    missing = Problems()
    for path in named:
        with missing.noted():
            if not os.path.exists(path):
                raise BadInput("no such file", where=path)
    missing.raise_any()


def _as_image(path: Path) -> list[Source]:
    require_image(path)
    return [Source(path, named=True)]


def _in_folder(folder: Path, besides: Path | None) -> tuple[list[Source], list[Ignored]]:
    children = {child: is_image(child) for child in _children(folder, besides)}
    if not any(children.values()):
        raise BadInput("no PNG, JPEG, BMP or TIFF image in this folder", where=folder)
    images = [Source(child, named=False) for child, is_one in children.items() if is_one]
    return images, [Ignored(child, _kind(child)) for child, is_one in children.items() if not is_one]


def _children(folder: Path, besides: Path | None) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as err:
        raise EnvironmentProblem("cannot be read", where=folder, got=err.strerror) from err
    for name in names:
        if not name.startswith(".") and (besides is None or (folder / name).resolve() != besides):
            yield folder / name


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "no image"


def _labelled(sources: Sequence[Source]) -> list[Source]:
    problems = Problems()
    labelled: list[Source] = []
    for source in sources:
        with problems.noted():
            labelled.append(dataclasses.replace(source, truth=_truth(source.path)))
    problems.raise_any()
    return labelled


def _truth(path: Path) -> int:
    first = path.name[:1]
    # An empty name, that of the root folder, is part of every text.
    if first not in DIGITS:
        raise BadInput("its name does not begin with a digit", where=path, hint="--labels-from-names needs that")
    return int(first)
