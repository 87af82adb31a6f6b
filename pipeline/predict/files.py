"""What the user named, files and folders -> the photographs to read, their true digits, and what was left out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from components.errors import BadInput, EnvironmentProblem
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
    """Something in a folder that is no photograph, and why."""

    path: Path
    why: str


def gather(named: Sequence[Path], *, labelled: bool, besides: Path | None) -> tuple[list[Source], list[Ignored]]:
    """Returns the photographs, in the order in which they were named, those of a folder by name.

    Args:
      named: files and folders.
      labelled: whether the first character of a file's name is its digit.
      besides: a file that is no photograph even if it lies in one of the folders.

    Raises:
      BadInput: if a file is no image, a folder has none, or a name does not begin with a digit.
      EnvironmentProblem: if a folder cannot be read.
    """
    sources: list[Source] = []
    ignored: list[Ignored] = []
    for path in named:
        if not path.is_dir():
            require_image(path)
            sources.append(Source(path, named=True))
            continue
        children = list(_children(path, besides))
        images = [child for child in children if is_image(child)]
        if not images:
            raise BadInput("no PNG, JPEG, BMP or TIFF image in this folder", where=path)
        sources += [Source(image, named=False) for image in images]
        ignored += [Ignored(child, _kind(child)) for child in children if child not in images]
    first: dict[Path, Source] = {}
    for source in sources:
        first.setdefault(source.path.resolve(), source)
    sources = list(first.values())
    return [_labelled(source) for source in sources] if labelled else sources, ignored


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


def _labelled(source: Source) -> Source:
    first = source.path.name[:1]
    if first not in DIGITS:
        raise BadInput("its name does not begin with a digit", where=source.path, hint="--labels-from-names needs that")
    return dataclasses.replace(source, truth=int(first))
