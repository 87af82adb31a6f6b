"""Images and labels in NumPy's `.npy` and `.npz` files, such as Keras' `mnist.npz`; nothing in them is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.arrays import read_npy, read_npz
from components.errors import CannotTell
from pipeline.lineage.rows.given_rows import Gathering, GivenRows, Show, of_another_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAIRS: Final = (
    ("x_train", "y_train"),
    ("x_test", "y_test"),
    ("x_val", "y_val"),
    ("train_images", "train_labels"),
    ("test_images", "test_labels"),
    ("val_images", "val_labels"),
    ("images", "labels"),
    ("images", "target"),
    ("data", "target"),
    ("x", "y"),
    ("X", "y"),
)
"""Names that go together, images first: of Keras, of MedMNIST, of scikit-learn, and those that people give."""

_BLOCK: Final = 4096
_LABEL_NAMES: Final = frozenset(label for _, label in PAIRS)
_BYTE: Final = 255

Arrays = Mapping[str, "NDArray[Any]"]


def read_arrays(path: Path, shapes: Sequence[tuple[int, int]], show: Show) -> GivenRows:
    """Return the rows in a file of arrays.

    Args:
      path: `.npy` or `.npz`, by content.
      shapes: sizes of images that flat rows can have.
      show: called with the progress.

    Raises:
      BadInput: if the images have another size than any data here.
      CannotTell: if it cannot be said with certainty which arrays hold the images, or what their values mean.
    """
    try:
        return _gathered(path, _arrays(path), shapes, show)
    except CannotTell as err:
        raise CannotTell(err.what, where=err.where or path, wanted=err.wanted, got=err.got, hint=err.hint) from err


def _arrays(path: Path) -> Arrays:
    if zipfile.is_zipfile(path):
        return read_npz(path, error=CannotTell)
    return {"images": read_npy(path, error=CannotTell)}


def _gathered(path: Path, arrays: Arrays, shapes: Sequence[tuple[int, int]], show: Show) -> GivenRows:
    parts = list(_parts(arrays))
    others = arrays.keys() - {name for part in parts for name in part if name}
    if not parts or any(arrays[name].ndim > 1 for name in others):
        names = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items())
        wanted = "x_train, y_train, x_test and y_test, or images and labels"
        raise CannotTell("which of its arrays hold the images is not said", wanted=wanted, got=names or "none")
    gathering = Gathering(show, sum(len(arrays[images]) for images, _ in parts))
    for images, labels in parts:
        _gather(gathering, path, arrays[images], None if labels is None else arrays[labels], shapes)
    return gathering.rows()


def _parts(arrays: Arrays) -> Iterator[tuple[str, str | None]]:
    taken: set[str] = set()
    for images, labels in PAIRS:
        if images in arrays and images not in taken and arrays[images].ndim > 1:
            taken.add(images)
            yield images, labels if labels in arrays else None
    alone = [name for name, array in arrays.items() if array.ndim > 2 and name not in _LABEL_NAMES]
    if not taken and len(alone) == 1:
        yield alone[0], None


def _gather(
    gathering: Gathering,
    path: Path,
    images: NDArray[Any],
    labels: NDArray[Any] | None,
    shapes: Sequence[tuple[int, int]],
) -> None:
    shape, flat = _flat(path, images, shapes)
    row_labels = None if labels is None else _labels(labels, len(flat))
    for start in range(0, len(flat), _BLOCK):
        block = slice(start, start + _BLOCK)
        gathering.add(shape, _bytes(flat[block]), None if row_labels is None else row_labels[block])


def _flat(path: Path, images: NDArray[Any], shapes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], NDArray[Any]]:
    """Return size of the images and the array as [n, height * width]."""
    sides = images.shape[1:]
    if len(sides) == 3 and 1 in (sides[0], sides[-1]):
        sides = sides[:2] if sides[-1] == 1 else sides[1:]
    if len(sides) == 1:
        fitting = [shape for shape in shapes if math.prod(shape) == sides[0]]
        if not fitting and images.shape in shapes:  # one image, not a row for each of its lines
            return (images.shape[0], images.shape[1]), images.reshape(1, -1)
        square = math.isqrt(sides[0])
        if not fitting and square * square == sides[0]:
            raise of_another_size(path.name, shapes, (square, square))
        if len(fitting) != 1:
            raise CannotTell("what size its flat images have is not said", got=f"{sides[0]} values")
        sides = fitting[0]
    if len(sides) != 2:
        raise CannotTell("its images are not grey", wanted="[n, height, width]", got=list(images.shape))
    height, width = (int(side) for side in sides)
    return (height, width), images.reshape(len(images), height * width)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    whole = values.dtype.kind in "iuf" and bool(((values >= 0) & (values <= _BYTE) & (values == np.rint(values))).all())
    if not whole or (values.dtype.kind == "f" and values.max(initial=0) <= 1):
        got = f"{values.dtype}" + (f", {values.min()} to {values.max()}" if values.dtype.kind in "iuf" else "")
        hint = "save the values as they were before they were scaled"
        raise CannotTell("its values are no raw pixels", wanted="whole numbers from 0 to 255", got=got, hint=hint)
    return values.astype(np.uint8)


def _labels(labels: NDArray[Any], count: int) -> NDArray[np.int64] | None:
    """Return labels int64 [n]; None if they are of another kind, so that the images are known by their pixels."""
    import numpy as np

    flat = labels.reshape(-1)
    return flat.astype(np.int64) if len(flat) == count and labels.dtype.kind in "iu" else None
