"""Images and labels in NumPy's `.npz` and `.npy` files: Keras', MedMNIST's, KMNIST's names, and those that people give.

Nothing in them is ever unpickled (`components.arrays`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.arrays import read_npy, read_npz
from components.errors import BadInput
from components.features import SPLITS, TEST, TRAIN
from components.ingest import pair_names, part_names
from components.ingest import pairs as pair_files
from pipeline.datasets import class_names
from pipeline.datasets.imports import placing
from pipeline.datasets.imports.contents import Block, Contents, File

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.datasets.imports.contents import Bytes, Fit, Options

_AT_ONCE: Final = 4096
_BYTE: Final = 255
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and `predict` have it
_NEAR: Final = 0.01  # how far v * 255 may be from a whole number, where bytes were divided by 255 in 32 bits
_MOST_LABEL: Final = 999
_CHANNELS: Final = (1, 3)
_CLASSES: Final = frozenset(("classes", "names"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Named:
    """An array, by the name that says what it is: its own, or its file's where its own is NumPy's `arr_0`."""

    name: str
    member: str | None
    file: int
    values: NDArray[Any]


def read_arrays(files: Sequence[File]) -> list[Named]:
    """Return the arrays in `.npz` and `.npy` files, and in CSV files of pixels or labels alone.

    Raises:
      BadInput: if one of them cannot be read, or holds Python objects.
    """
    found: list[Named] = []
    for number, file in enumerate(files):
        stem = file.path.name.partition(".")[0]
        if pair_names.is_table(file.path):
            found.append(Named(name=stem, member=None, file=number, values=pair_files.read_table(file.path)))
            continue
        if file.path.suffix.lower() == ".npy":
            found.append(Named(name=stem, member=None, file=number, values=read_npy(file.path)))
            continue
        for member, values in read_npz(file.path).items():
            own = stem if member.startswith("arr_") else member
            found.append(Named(name=own, member=member, file=number, values=values))
    return found


def contents(files: Sequence[File], options: Options, *, fit: Fit | None, where: Path) -> Contents:
    """Return the contents of arrays.

    Args:
      files: the `.npz`, `.npy` or CSV files, together one data set.
      options: sizes and polarity.
      fit: finds the digit on an image.
      where: the source, for messages.

    Raises:
      BadInput: if names or shapes do not say which arrays are images and which their labels.
    """
    return of_named(read_arrays(files), files, options, fit=fit, where=where, form="npz")


def of_named(  # noqa: PLR0913  # arrays, their files, and what to make of them
    arrays: Sequence[Named], files: Sequence[File], options: Options, *, fit: Fit | None, where: Path, form: str
) -> Contents:
    """Return the contents of arrays that are read already, as `contents` does."""
    arrays, listed = _without_lists(arrays)
    pairs = _pairs(arrays, where)
    to, notes = part_names.assigned(part for part, _, _ in pairs)
    if set(to.values()) == {TEST}:
        to = dict.fromkeys(to, TRAIN)
    pairs = sorted(pairs, key=lambda pair: SPLITS.index(to[pair[0]]))
    images = [_Images(one, options, fit, where) for _, one, _ in pairs]
    labels, names = _labels([one for _, _, one in pairs], where)
    names = names or _names_for(listed, labels)
    for (_, one, _), here in zip(pairs, labels, strict=True):
        if len(here) != len(one.values):
            what = f"{len(here)} labels for {len(one.values)} images"
            raise BadInput(what, where=where, got=f"{one.name} and its labels")

    def blocks() -> Iterator[Block]:
        for (part, one, _), pixels, here in zip(pairs, images, labels, strict=True):
            for start in range(0, len(here), _AT_ONCE):
                block = slice(start, start + _AT_ONCE)
                made = pixels.of(block)
                fields: dict[str, Any] = {"file": one.file, "first": start, "member": one.member}
                yield Block(split=to[part], images=made, labels=here[block], **fields)

    counts: dict[str, int] = {}
    for (part, _, _), here in zip(pairs, labels, strict=True):
        counts[to[part]] = counts.get(to[part], 0) + len(here)
    return Contents(
        form=form,
        files=tuple(files),
        parts=counts,
        class_names=names,
        blocks=blocks,
        notes=(*notes, *dict.fromkeys(note for one in images for note in one.notes)),
        options={**options.to_dict(), "inverted": bool(options.invert)},
    )


def _without_lists(arrays: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Return arrays without lists of the classes' names, and these: `classes`, `class_names`, far shorter than the rows."""
    rows = max((len(one.values) for one in arrays if one.values.ndim), default=0)
    lists = [
        one
        for one in arrays
        if _CLASSES & set(part_names.words(one.name)) and one.values.ndim == 1 and len(one.values) < rows
    ]
    # An array of labels that is alone in being called so stays one.
    others = [one for one in arrays if one not in lists]
    has_labels = any(part_names.role_of(one.name) == "labels" for one in others)
    return (others, lists) if has_labels else (list(arrays), [])


def _names_for(lists: Sequence[Named], labels: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    """Return the names in a list of text that has one for each label, from 0 on; none otherwise."""
    last = max((int(one.max()) for one in labels if len(one)), default=-1)
    for one in lists:
        if one.values.dtype.kind in "US" and len(one.values) > last:
            return tuple(_text(value) for value in one.values.tolist())
    return ()


def square_of_at_least(values: int) -> tuple[int, int]:
    """Return the smallest square image of so many pixels or more."""
    side = math.isqrt(max(0, values - 1)) + 1
    return side, side


def _pairs(arrays: Sequence[Named], where: Path) -> list[tuple[str, Named, Named]]:
    """Return (part, images, labels), by what the arrays' names say."""
    roles: dict[tuple[str, str], list[Named]] = {}
    for one in arrays:
        if (role := part_names.role_of(one.name)) is not None:
            roles.setdefault((part_names.part_of(one.name) or TRAIN, role), []).append(one)
    parts = list(dict.fromkeys(part for part, _ in roles))
    complete = [part for part in parts if all(len(roles.get((part, role), ())) == 1 for role in ("images", "labels"))]
    if not complete or len(complete) < len(parts):
        listed = ", ".join(f"{one.name} {'x'.join(map(str, one.values.shape))}" for one in arrays)
        raise BadInput(
            "its arrays' names do not say which are images and which their labels",
            where=where,
            wanted="x_train, y_train, x_test and y_test, or train_images, train_labels and so on, or X and y",
            got=listed or "no array",
        )
    return [(part, roles[part, "images"][0], roles[part, "labels"][0]) for part in complete]


class _Images:
    """The images in one array, as bytes of one size, a block at a time."""

    def __init__(self, named: Named, options: Options, fit: Fit | None, where: Path) -> None:
        self._place = f"{where}: {named.name}"
        self._options, self._fit = options, fit
        self.notes: list[str] = []
        self._values = self._shaped(named.values)
        self._scale = self._scaling()

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return [n, H, W] or [n, H, W, 3] of whatever order the axes have."""
        if values.dtype.kind not in "uifb":
            raise BadInput("its images are no numbers", where=self._place, got=values.dtype)
        if values.ndim == 2:
            height, width = self._options.shape or _square(values.shape[1], self._place)
            if height * width != values.shape[1]:
                got = f"{values.shape[1]} values"
                raise BadInput(
                    "its rows are no images of that size", where=self._place, wanted=f"{height}x{width}", got=got
                )
            return values.reshape(len(values), height, width)
        if values.ndim == 4 and values.shape[1] in _CHANNELS and values.shape[3] not in _CHANNELS:
            values = np.moveaxis(values, 1, -1)  # PyTorch puts channels first
        if values.ndim == 4 and values.shape[3] == 1:
            values = values[..., 0]
        if values.ndim == 4 and values.shape[3] == len(_LUMA):
            self.notes.append("the images are in colour: their luminance is taken")
            return values
        if values.ndim != 3 or not values.size:
            wanted = "[n, height, width], with one or three channels, or rows of pixels"
            raise BadInput("its images have a shape that is none", where=self._place, wanted=wanted, got=values.shape)
        return values

    def _scaling(self) -> float:
        """Return what pixels are multiplied by: 255 where bytes were divided by it."""
        low, high = float(self._values.min()), float(self._values.max())
        if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > _BYTE:
            hint = "save the pixels as they were before they were centred or scaled"
            raise BadInput(
                "its pixels are no bytes", where=self._place, wanted="0 to 255", got=f"{low:g} to {high:g}", hint=hint
            )
        if self._values.dtype.kind == "f" and high <= 1:
            self.notes.append("pixels from 0 to 1 are multiplied by 255")
            return float(_BYTE)
        return 1.0

    def of(self, block: slice) -> Bytes:
        """Return uint8 [n, H, W] of a run of images.

        Raises:
          BadInput: if values are no whole numbers even once they are scaled back.
        """
        values = self._values[block]
        colour = values.ndim == 4
        if values.dtype != np.uint8 or colour:
            exact = values.astype(np.float64) * self._scale
            if colour:
                exact = exact @ np.array(_LUMA)
            elif (np.abs(exact - np.rint(exact)) > _NEAR).any():
                hint = "save the pixels as they were before they were scaled"
                raise BadInput("its pixels are no whole numbers", where=self._place, wanted="0 to 255", hint=hint)
            values = np.rint(exact).astype(np.uint8)
        return self._placed(np.bitwise_not(values) if self._options.invert and not self._options.fit else values)

    def _placed(self, images: Bytes) -> Bytes:
        size = self._options.fit or self._options.resize
        if size is None:
            return np.ascontiguousarray(images)
        return np.stack([self._one(image, size) for image in images])

    def _one(self, image: Bytes, size: tuple[int, int]) -> Bytes:
        grey = image.astype(np.float32) / _BYTE
        if self._options.fit is None or self._fit is None:
            return placing.as_bytes(placing.resized(grey, size))
        found = self._fit(grey, size, self._options.invert)
        if found is None:
            raise BadInput("an image shows no single digit to fit", where=self._place, hint="--resize takes all of it")
        return found


def _square(values: int, where: str) -> tuple[int, int]:
    side = math.isqrt(values)
    if side * side != values:
        raise BadInput("its rows are no square images", where=where, got=f"{values} values", hint="say --shape HxW")
    return side, side


def _labels(arrays: Sequence[Named], where: Path) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Return the labels of each part as whole numbers, and the classes' names where the labels are text."""
    flat = [pair_files.flat_labels(one.values, f"{where}: {one.name}") for one in arrays]
    if any(values.dtype.kind in "US" for values in flat):
        texts = [[_text(value) for value in values.tolist()] for values in flat]
        names = class_names.in_order(name for values in texts for name in values)
        numbers = {name: number for number, name in enumerate(names)}
        return [np.array([numbers[name] for name in values], np.int64) for values in texts], names
    return [_whole(values, where) for values in flat], ()


def _text(value: str | bytes | float) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _whole(values: NDArray[Any], where: Path) -> NDArray[np.int64]:
    if values.dtype.kind not in "uifb":
        raise BadInput("its labels are neither numbers nor text", where=where, got=values.dtype)
    numbers = np.asarray(values, np.float64)
    if not len(numbers) or not bool((np.isfinite(numbers) & (numbers == np.rint(numbers))).all()):
        raise BadInput("its labels are no whole numbers", where=where, got=values[:5].tolist())
    if numbers.min() < 0 or numbers.max() > _MOST_LABEL:
        got = f"{numbers.min():g} to {numbers.max():g}"
        raise BadInput("a label is out of range", where=where, wanted=f"0 to {_MOST_LABEL}", got=got)
    return numbers.astype(np.int64)


def as_contents(  # noqa: PLR0913  # a table, and what to make of it
    file: File, images: NDArray[Any], labels: NDArray[Any], options: Options, *, fit: Fit | None, form: str
) -> Contents:
    """Return the contents of one table of pixels with a column of labels, read from a file of another form."""
    image = Named(name="images", member=None, file=0, values=images)
    pixels = _Images(image, options, fit, file.path)
    (here,), names = _labels([Named(name="labels", member=None, file=0, values=labels)], file.path)

    def blocks() -> Iterator[Block]:
        for start in range(0, len(here), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            yield Block(split=TRAIN, images=pixels.of(block), labels=here[block], file=0, first=start)

    counts: Mapping[str, int] = {TRAIN: len(here)}
    choices = {**options.to_dict(), "inverted": bool(options.invert)}
    notes = tuple(pixels.notes)
    if class_names.are_numbers(names):
        names = ()
    return Contents(
        form=form, files=(file,), parts=counts, class_names=names, blocks=blocks, notes=notes, options=choices
    )
