"""Contents of an importable source: its parts, its classes, and its rows with where each comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    ReadPicture = Callable[[Path], Floats]
    """Reads a picture file: float32 [H, W], 0 (black) to 1 (white)."""
    Fit = Callable[[Floats, tuple[int, int], "bool | None"], "Bytes | None"]
    """Finds the one digit and puts it into an image of a size, light on dark; None where there is not just one."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that rows come from.

    Attributes:
      name: as the record has it: relative to the source, and below the archive's name where it came out of one.
      path: where it can be read.
    """

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Neighbouring rows of one file.

    Attributes:
      split: the part that they belong to.
      images: uint8 [n, H, W].
      labels: int64 [n].
      file: number of the file in `Contents.files`.
      first: the first row's number in the file, or in its member.
      member: the array in the file, where it has several.
    """

    split: str
    images: Bytes
    labels: NDArray[np.int64]
    file: int
    first: int = 0
    member: str | None = None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a source holds.

    Attributes:
      form: `pictures`, `npz`, `arff`, `parquet`, or that of the data files in an archive.
      files: that rows come from.
      archive: that the files came out of, if one was unpacked.
      parts: {split: rows}; 0 where that shows only once they are read.
      class_names: of labels 0, 1, 2, ...; none where labels are numbers of the source's own.
      blocks: gives the rows, train before test.
      notes: how it was understood, where there was a choice, a sentence each.
      options: what the choices were, for the record.
      ignored: what is left aside, by name.
      skipped: pictures that could not be read and were to be skipped; filled as they are read.
    """

    form: str
    files: tuple[File, ...]
    parts: Mapping[str, int]
    class_names: tuple[str, ...]
    blocks: Callable[[], Iterator[Block]]
    archive: File | None = None
    notes: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an import is to make images of what it finds.

    Attributes:
      fit: size into which the digit on each picture is put, as `predict` does.
      resize: size to which each picture is stretched.
      shape: size of images that come as rows of numbers.
      invert: whether ink is dark; None looks at the pictures.
      skip_unreadable: whether pictures that cannot be read, or hold no single digit to fit, are left out.
    """

    fit: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    shape: tuple[int, int] | None = None
    invert: bool | None = None
    skip_unreadable: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the size options as JSON values."""
        sizes = {name: getattr(self, name) for name in ("fit", "resize", "shape")}
        return {name: None if size is None else list(size) for name, size in sizes.items()}
