"""Data files that a run reads: parts, and what is left aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from components.errors import BadInput
from components.features import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from components.ingest.forms import Form
    from components.ingest.spans import Span

NONE_FOUND: Final = "no data files found"
"""What the error says about a folder without any; callers may look further then."""

PartName = Literal["train", "test"]
NamedPart = Literal["train", "test", "validation"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file, or pair of files, that is parsed in one go.

    Attributes:
      split: "train", or "test" for an official test part.
      files: images and labels, or the one file with both; `components.ingest.forms` says which.
      span: the span that it is part of, where the data was named by a pattern.
    """

    split: PartName
    files: tuple[Path, ...]
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The data that a run reads.

    Attributes:
      form: of the files.
      parts: train before test; a split has several parts where several were given by name.
      ignored: files in the folder that are not read, in the order of their names.
      why: {one of these that looks like data: why it is not read}.
      says: what was recognised about them, a sentence to each; see `components.ingest.recognition`.
    """

    form: Form
    parts: tuple[Part, ...]
    ignored: tuple[Path, ...] = ()
    why: Mapping[Path, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans that the parts come from, oldest first."""
        found = {part.span.number: part.span for part in self.parts if part.span is not None}
        return tuple(span for _, span in sorted(found.items()))


def part_of_split(name: str) -> PartName:
    """Return the part that rows of a split are read as."""
    return "test" if name == TEST else "train"


def named_part(name: str | None) -> NamedPart | None:
    """Return the part that a name says; None where it says none."""
    if name == VALIDATION:
        return "validation"
    return None if name is None else part_of_split(name)


def train_first(parts: Sequence[Part], *, where: Path) -> tuple[Part, ...]:
    """Return parts with those to train on first.

    Raises:
      BadInput: if there are none to train on.
    """
    if all(part.split == "test" for part in parts):
        raise BadInput("no train part", where=where, got="test files alone")
    return tuple(sorted(parts, key=lambda part: part.split == "test"))


def require_one_of_each(folder: Path, named: Sequence[tuple[str, Path]]) -> None:
    """Refuse several files of one part, where none of them says that they belong together."""
    for split in (TRAIN, TEST, VALIDATION):
        files = [path.name for part, path in named if part == split]
        if len(files) > 1:
            raise BadInput(
                f"more than one {split} part",
                where=folder,
                got=", ".join(files),
                hint="give the files one by one with --data",
            )
