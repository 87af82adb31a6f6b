"""Photographs among the files and folders that the user named, their true digits, and what was left out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Problems
from pipeline.predict import rows
from pipeline.predict.photograph import KINDS, is_image, require_image
from pipeline.predict.rows import Table

Labels = Literal["names", "folders"]
NAMES: Final = "names"
FOLDERS: Final = "folders"
"""Where the true class of a photograph is written: the first character of its name, or the name of its folder."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes:
      path: of it.
      named: whether the user named it, and did not only name its folder: then it has to be an image.
      truth: the class that its name, or its folder's, says; None where names say nothing.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gathered:
    """What the user named, sorted.

    Attributes:
      sources: photographs.
      tables: data files with rows.
      ignored: what is neither.
    """

    sources: list[Source]
    tables: list[Table]
    ignored: list[Ignored]


def gather(named: Sequence[Path], *, labels: Labels | None, besides: Sequence[Path] = ()) -> Gathered:
    """Return the photographs, in the order in which they were named, those of a folder by name, and what is none.

    Args:
      named: files and folders.
      labels: where the true class of a photograph is written; None where it is not.
      besides: files that are no photographs even if they lie in one of the folders.

    Raises:
      BadInput: if a file is not there, no file can be read, or a folder has no image.
      EnvironmentProblem: if a folder cannot be read.
    """
    sources: list[Source] = []
    ignored: list[Ignored] = []
    tables: list[tuple[Path, str]] = []
    _require_there(named)
    unreadable = Problems()
    for path in named:
        before = len(unreadable.found)
        with unreadable.noted():
            if not path.is_dir() and not is_image(path) and (kind := rows.kind_of(path)) is not None:
                tables.append((path, kind))
                continue
            images, others = _in_folder(path, labels, besides) if path.is_dir() else (_as_image(path), [])
            sources += images
            ignored += others
        ignored += [Ignored(path, reason(err), named=True) for err in unreadable.found[before:]]
    if not sources and not tables:
        unreadable.raise_any()
    first: dict[Path, Source] = {}
    for source in sources:
        first.setdefault(source.path.resolve(), source)
    sources = list(first.values())
    return Gathered(sources=sources, tables=rows.in_pairs(tables), ignored=ignored)


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


def _in_folder(folder: Path, labels: Labels | None, besides: Sequence[Path]) -> tuple[list[Source], list[Ignored]]:
    places = [folder]
    if labels == FOLDERS:
        # One folder to a class, or the folder of one class: both are meant by those who say that folders are labels.
        places += [child for child in _children(folder, besides) if child.is_dir()]
    children = {child: is_image(child) for place in places for child in _children(place, besides)}
    if not any(children.values()):
        raise BadInput(f"no {KINDS} image in this folder", where=folder)
    images = [Source(child, named=False) for child, is_one in children.items() if is_one]
    return images, [
        Ignored(child, _kind(child)) for child, is_one in children.items() if not is_one and child not in places
    ]


def _children(folder: Path, besides: Sequence[Path]) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as err:
        raise EnvironmentProblem("cannot be read", where=folder, got=err.strerror) from err
    for name in names:
        if not name.startswith(".") and (not besides or (folder / name).resolve() not in besides):
            yield folder / name


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "no image" if rows.kind_of(path) is None else "rows of data, which are answered where the file is named"


def labelled(sources: Sequence[Source], labels: Labels, names: Sequence[str]) -> tuple[list[Source], list[Ignored]]:
    """Return the photographs with their true class, and those whose name does not say one.

    Args:
      sources: photographs.
      labels: where the class is written.
      names: of the classes, as the user knows them.

    Raises:
      BadInput: if no name says one.
    """
    found: list[Source] = []
    others: list[Ignored] = []
    problems = Problems()
    for source in sources:
        before = len(problems.found)
        with problems.noted():
            found.append(dataclasses.replace(source, truth=_truth(source.path, labels, names)))
        others += [Ignored(source.path, err.what, named=source.named) for err in problems.found[before:]]
    if sources and not found:
        problems.raise_any()
    return found, others


def _truth(path: Path, labels: Labels, names: Sequence[str]) -> int:
    said = path.absolute().parent.name if labels == FOLDERS else path.name[:1]
    if said not in names:
        what = "its folder's name is no class" if labels == FOLDERS else "its name does not begin with a class"
        hint = f"--labels-from-{labels} needs that"
        raise BadInput(what, where=path, wanted=_listed(names), got=said or None, hint=hint)
    return names.index(said)


def _listed(names: Sequence[str]) -> str:
    shown = 12
    return ", ".join(names[:shown]) + (f" ... {names[-1]}" if len(names) > shown else "")
