"""Pictures in folders by class, of any size, with or without a folder for each part."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from components.errors import BadInput, MnistTfxError
from components.features import SPLITS, TEST, TRAIN
from components.ingest import part_names
from pipeline.datasets import class_names
from pipeline.datasets.imports import placing
from pipeline.datasets.imports.contents import Block, Contents, File

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.datasets.imports.contents import Bytes, Fit, Floats, Options, ReadPicture

SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".pbm", ".ppm"))
MOST: Final = 5_000_000
"""Files that are looked at below a folder; ImageNet has 1.3 million pictures."""

_LOOKED_AT: Final = 200  # pictures that say what is ink and what is paper
_SAID: Final = 10
_NOT_OURS: Final = "__MACOSX"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file: the part and the class that its folders say, None where they say none."""

    file: File
    part: str | None
    name: str | None


def below(folder: Path) -> Iterator[Path]:
    """Yield the picture files below a folder, in no order; hidden ones and what macOS leaves beside files are none."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != _NOT_OURS]
        yield from (Path(place, name) for name in files if is_picture(name))


def is_picture(name: str) -> bool:
    """Return whether a file is a picture by its name, the folders before it included."""
    path = PurePosixPath(name)
    return not path.name.startswith(".") and path.suffix.lower() in SUFFIXES and path.parts[0] != _NOT_OURS


def found_in(folder: Path, prefix: str = "") -> list[Picture]:
    """Return the pictures below a folder in the order of their names, numbers in these counted as numbers.

    Raises:
      BadInput: if there are more than `MOST`.
    """
    found: list[tuple[str, Path]] = []
    for path in below(folder):
        found.append((path.relative_to(folder).as_posix(), path))
        if len(found) > MOST:
            raise BadInput("too many pictures for one import", where=folder, wanted=f"at most {MOST}")
    common = _common(PurePosixPath(name).parts[:-1] for name, _ in found)
    # A folder that is named itself counts as one that they all lie in: `training/` says what it is.
    above = (folder.name, *common)
    outer = next((part for name in reversed(above) if (part := part_names.part_of(name)) is not None), None)
    pictures = [_picture(File(name=f"{prefix}{name}", path=path), name, len(common), outer) for name, path in found]
    return sorted(pictures, key=lambda picture: _natural(picture.file.name))


def _common(folders: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folders that all pictures lie in, the class itself left out."""
    shared: tuple[str, ...] | None = None
    for one in folders:
        same = zip(shared, one, strict=False) if shared is not None else ()
        shared = (
            one if shared is None else tuple(a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], same))
        )
    return shared or ()


def _picture(file: File, name: str, skipped: int, outer: str | None) -> Picture:
    folders = PurePosixPath(name).parts[skipped:-1]
    part = next((found for one in folders[:-1] if (found := part_names.part_of(one)) is not None), None)
    return Picture(file=file, part=part or outer, name=folders[-1] if folders else None)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    pieces = "".join(letter if letter.isascii() and letter.isdigit() else f"\0{letter}\0" for letter in name).split(
        "\0"
    )
    return tuple(
        (0, int(piece[:18]), "") if piece[:1].isdigit() and piece.isascii() else (1, 0, piece) for piece in pieces
    )


def contents(
    found: Sequence[Picture], options: Options, *, read: ReadPicture, fit: Fit | None, where: Path
) -> Contents:
    """Return the contents of pictures.

    Args:
      found: the pictures.
      options: sizes and polarity.
      read: reads one.
      fit: finds the digit on one.
      where: the source, for messages.

    Raises:
      BadInput: if their folders are no classes, or their sizes differ and nothing says what to make of them.
    """
    labelled = [one for one in found if one.name is not None and part_names.part_of(one.name) is None]
    if not labelled:
        raise BadInput(
            "its pictures lie in no folders by class",
            where=where,
            wanted="a folder for each class, such as 0/ to 9/, below one for each part or without",
            got=f"{len(found)} pictures beside one another",
        )
    to, notes = part_names.assigned(one.part or TRAIN for one in labelled)
    if set(to.values()) == {TEST}:
        to, notes = dict.fromkeys(to, TRAIN), ("a test part alone is taken as the training part",)
    names = class_names.in_order(one.name for one in labelled if one.name is not None)
    labelled.sort(key=lambda one: (SPLITS.index(to[one.part or TRAIN]), names.index(one.name or "")))
    counts = Counter(to[one.part or TRAIN] for one in labelled)
    reader = _Reader(labelled, options, read, fit, where)
    taken = {one.file.path for one in labelled}
    ignored = [one.file.name for one in found if one.file.path not in taken]
    if ignored:
        notes = (*notes, f"{len(ignored)} pictures lie in no class's folder, and are left out: {ignored[0]}")
    dark = options.invert if options.invert is not None or options.fit else reader.is_dark()
    if dark and options.invert is None:
        notes = (*notes, "dark ink on light paper: inverted, so that ink is light as MNIST's is")
    labels = {name: label for label, name in enumerate(names)}
    skipped: list[str] = []

    def blocks() -> Iterator[Block]:
        for number, one in enumerate(labelled):
            if (image := reader.image(one.file, dark=dark, skipped=skipped)) is not None:
                label = np.array([labels[one.name or ""]], np.int64)
                yield Block(split=to[one.part or TRAIN], images=image[None], labels=label, file=number)
        reader.raise_if_any()

    return Contents(
        form="pictures",
        files=tuple(one.file for one in labelled),
        parts=dict(counts),
        class_names=names,
        blocks=blocks,
        notes=notes,
        options={**options.to_dict(), "inverted": dark},
        ignored=tuple(ignored),
        skipped=skipped,
    )


class _Reader:
    """Makes an image of each picture, and keeps what is wrong with those of which it cannot."""

    def __init__(
        self, pictures: Sequence[Picture], options: Options, read: ReadPicture, fit: Fit | None, where: Path
    ) -> None:
        self._pictures, self._options, self._read, self._fit, self._where = pictures, options, read, fit, where
        self._size = options.fit or options.resize
        self._problems: list[MnistTfxError] = []
        self._wrong = 0

    def is_dark(self) -> bool:
        """Return whether the pictures show dark ink on light paper.

        Raises:
          BadInput: if some do and some do not.
        """
        step = max(1, len(self._pictures) // _LOOKED_AT)
        seen: list[Floats] = []
        for one in self._pictures[::step]:
            with contextlib.suppress(BadInput):  # said when its turn comes
                seen.append(self._read(one.file.path))
        share = placing.light_borders(seen)
        if placing.MIXED < share < placing.DARK:
            raise BadInput(
                "some pictures seem to be dark on light, and some light on dark",
                where=self._where,
                got=f"a light border on {share:.0%} of {len(seen)}",
                hint="say --invert or --no-invert, or --fit 28x28, which looks at each of them",
            )
        return share >= placing.DARK

    def image(self, file: File, *, dark: bool | None, skipped: list[str]) -> Bytes | None:
        """Return the image of a picture; None where there is none."""
        try:
            return self._image(file, dark=dark)
        except BadInput as err:
            if self._options.skip_unreadable:
                skipped.append(f"{file.name}: {err.what}")
            else:
                self._wrong += 1
                self._problems += [err] if len(self._problems) < _SAID else []
            return None

    def _image(self, file: File, *, dark: bool | None) -> Bytes:
        grey = self._read(file.path)
        if self._options.fit is not None and self._fit is not None:
            image = self._fit(grey, self._options.fit, dark)
            if image is None:
                raise BadInput("shows no single digit to fit", where=file.name)
            return image
        if self._options.resize is not None:
            grey = placing.resized(grey, self._options.resize)
        height, width = grey.shape
        self._size = self._size or (height, width)
        if self._size != (height, width):
            raise BadInput(
                "pictures of different sizes",
                where=file.name,
                wanted="x".join(map(str, self._size)),
                got=f"{height}x{width}",
                hint="--fit 28x28 fits the digit as predict does, --resize 28x28 stretches the whole picture",
            )
        values = placing.as_bytes(grey)
        return np.bitwise_not(values) if dark else values

    def raise_if_any(self) -> None:
        """Raise what was wrong with pictures.

        Raises:
          BadInput: naming the first few, and how many there are.
        """
        if not self._problems:
            return
        different = [one for one in self._problems if one.what == "pictures of different sizes"]
        if different:
            raise different[0]
        more = f", and {self._wrong - len(self._problems)} more" if self._wrong > len(self._problems) else ""
        if self._wrong == 1:
            error = self._problems[0]
            raise BadInput(error.what, where=error.where, wanted=error.wanted, got=error.got, hint=_SKIP)
        listed = "; ".join(f"{Path(str(one.where)).name}: {one.what}" for one in self._problems)
        raise BadInput(f"{self._wrong} pictures cannot be taken", where=self._where, got=f"{listed}{more}", hint=_SKIP)


_SKIP: Final = "mend or remove them, or leave them out with --skip-unreadable"
