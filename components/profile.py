"""The profile of a split: how many rows, how many of each class, and the sum image.

Also the reviewed reference of a geometry: the profile that splits are held against, and how far they may be from it.

A profile is what drift and skew are judged by. It holds integer sums alone, so the same rows give the same bytes in
any order and on any machine, and the profile of a whole is the sum of the profiles of its parts. Means by image row,
by image column, by pixel and by class are read off it; the distance between two profiles is the largest absolute
difference of such means:

    d(a, b) = max over i of |a_i - b_i|

with intensities as fractions of the pixel maximum and classes as fractions of all rows. It is a metric, and every value
of it can be named by a place ("image row 3"). Rows and columns see shifts and rotations, pixels see flips too, all three
see an inversion; none of them looks at labels, and classes look at nothing else.

Being a metric, d(split, reference) <= d(split, its source) + d(source, reference). The first term is chance and falls
with the square root of the number of rows, the second is how far clean sources differ and does not: so a threshold is a
floor plus a scale over that root (`Threshold`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from typing_extensions import TypedDict

from components.errors import BadInput
from components.shapes import Shape
from components.untrusted import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from components.settings import DataSettings

VERSION: Final = 1
ASPECTS: Final = ("rows", "columns", "pixels", "classes")
"""The four means that are compared, each with a threshold of its own."""

CHUNK: Final = 4096
"""Images per partial sum: keeps the working copy small whatever the number of rows."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far two profiles are apart in one aspect, and where the most.

    Attributes:
      value: the largest absolute difference of means, 0 to 1.
      place: the number of the row, column, pixel or class with that difference, from 0.
      seen: the mean at that place in the first profile.
      expected: the mean at that place in the second.
    """

    value: float
    place: int
    seen: float
    expected: float


def profile(pixels: NDArray[np.uint8], labels: NDArray[np.int64], data: DataSettings) -> dict[str, Any]:
    """Return the profile of a split as JSON values.

    Args:
      pixels: uint8 [N, H*W], rows of an image one after the other.
      labels: int64 [N].
      data: geometry of the images; nothing in the profile depends on its other settings.

    Raises:
      ValueError: when the arrays do not have these shapes.
    """
    if pixels.ndim != 2 or pixels.shape[1] != data.pixels or labels.shape != pixels.shape[:1]:
        raise ValueError(f"wanted [N, {data.pixels}] and [N], got {pixels.shape} and {labels.shape}")
    known = labels[(labels >= 0) & (labels < data.label_count)]
    return {
        "version": VERSION,
        "shape": list(data.shape),
        "pixel_max": data.pixel_max,
        "rows": len(labels),
        "classes": np.bincount(known, minlength=data.label_count).tolist(),
        "other_labels": len(labels) - len(known),
        "image": _sum_image(pixels).tolist(),
    }


def _sum_image(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    total = np.zeros(pixels.shape[1], dtype=np.int64)
    for start in range(0, len(pixels), CHUNK):
        # 4096 * 255 fits 32 bits, and 32-bit sums over bytes take half as long as 64-bit ones.
        total += pixels[start : start + CHUNK].sum(axis=0, dtype=np.uint32)
    return total


def merged(profiles: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the profile of all rows of `profiles` together: what one pass over them all would give.

    Raises:
      ValueError: on no profiles, or on profiles of different geometries.
    """
    parts = list(profiles)
    found = sorted({geometry(part) for part in parts})
    if len(found) != 1:
        raise ValueError(f"wanted profiles of one geometry, got {found}")
    sums = {key: np.sum([part[key] for part in parts], axis=0).tolist() for key in ("classes", "image")}
    counts = {key: sum(part[key] for part in parts) for key in ("rows", "other_labels")}
    return {**parts[0], **counts, **sums}


def geometry(profile: Mapping[str, Any]) -> str:
    """Return the name of the profile's geometry, as `DataSettings.geometry` spells it."""
    height, width = profile["shape"]
    return f"{height}x{width}-max{profile['pixel_max']}-labels{len(profile['classes'])}"


def means(profile: Mapping[str, Any], aspect: str) -> NDArray[np.float64]:
    """Return float64 means of one of `ASPECTS`, each 0 to 1: [H], [W], [H*W] or [label_count].

    Raises:
      ValueError: for a profile without rows, which has no means.
    """
    if not profile["rows"]:
        raise ValueError("a profile without rows has no means")
    if aspect == "classes":
        return np.array(profile["classes"], dtype=np.float64) / float(profile["rows"])
    image = np.array(profile["image"], dtype=np.float64) / float(profile["rows"] * profile["pixel_max"])
    if aspect == "pixels":
        return image
    sums: NDArray[np.float64] = image.reshape(profile["shape"]).mean(axis={"rows": 1, "columns": 0}[aspect])
    return sums


def distance(seen: Mapping[str, Any], expected: Mapping[str, Any], aspect: str) -> Distance:
    """Return how far `seen` is from `expected` in one of `ASPECTS`; see the module's formula.

    Raises:
      ValueError: when the geometries differ, or one of the profiles has no rows.
    """
    if geometry(seen) != geometry(expected):
        raise ValueError(f"a profile of {geometry(seen)} cannot be compared with one of {geometry(expected)}")
    a, b = means(seen, aspect), means(expected, aspect)
    place = int(np.argmax(np.abs(a - b)))
    return Distance(value=float(abs(a[place] - b[place])), place=place, seen=float(a[place]), expected=float(b[place]))


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """How large a distance may be, by chance and by honest differences between sources.

    Attributes:
      floor: allowed between clean sources, however many rows they have.
      scale: what chance adds for one row; it falls with the root of the number of rows.
    """

    floor: float
    scale: float

    def drift(self, rows: int) -> float:
        """Return the largest distance allowed between a split of `rows` rows and the reference."""
        return self.floor + self.scale / math.sqrt(rows)

    def skew(self, rows: int, others: int) -> float:
        """Return the largest distance allowed between two splits of so many rows each."""
        return self.floor + self.scale * math.sqrt(1 / rows + 1 / others)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What was reviewed beside a schema: a profile, thresholds for each of `ASPECTS`, and how they were found.

    Attributes:
      profile: of the reviewed rows, as `profile` returns it.
      thresholds: {aspect: `Threshold`}.
      calibration: sources, bootstraps, seeds and the false-alarm rate measured; for readers, nothing depends on it.
    """

    profile: Mapping[str, Any]
    thresholds: Mapping[str, Threshold]
    calibration: Mapping[str, Any]

    @property
    def geometry(self) -> str:
        """The name that the schema beside it goes by."""
        return geometry(self.profile)

    def to_json(self) -> str:
        """Return the text of a `.profile.json`, a line to a part; `from_json` restores an equal value."""
        parts = {
            "version": VERSION,
            "profile": self.profile,
            "thresholds": {aspect: asdict(self.thresholds[aspect]) for aspect in ASPECTS},
            "calibration": self.calibration,
        }
        lines = [f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in parts.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Reference:
        """Restore a reference from `to_json`'s text.

        Raises:
          ValueError: when the text is no JSON, of another version, or lacks a part.
        """
        try:
            parts = parse_object(text, where="profile")
            if parts.pop("version", None) != VERSION:
                raise ValueError(f"wanted a reference profile of version {VERSION}")
            found = _REFERENCE.read(parts, what="not a reference profile", where="profile")
        except BadInput as err:
            raise ValueError(f"{err.what} {err.got or ''}") from err
        if lost := [aspect for aspect in ASPECTS if aspect not in found.thresholds]:
            raise ValueError(f"a reference profile lacks {lost[0]}")
        require_profile(found.profile)
        return found


def require_profile(found: Mapping[str, Any]) -> None:
    """Check that a profile is one: counts for each class, and sums for each pixel of its shape.

    Raises:
      ValueError: if it is not.
    """
    try:
        told = _PROFILE.read(dict(found), what="not a profile", where="profile")
    except BadInput as err:
        raise ValueError(f"{err.what} {err.got}") from err
    sizes = told["shape"]
    if len(sizes) != 2 or min(sizes) < 1 or sizes[0] * sizes[1] != len(told["image"]):
        raise ValueError(f"a profile of {len(told['image'])} pixels for the shape {sizes}")
    if told["rows"] < 0 or told["pixel_max"] < 1 or not told["classes"]:
        raise ValueError("a profile without rows, pixel_max or classes")


class _Profile(TypedDict):
    shape: list[int]
    pixel_max: int
    rows: int
    classes: list[int]
    image: list[int]


_PROFILE: Final = Shape(_Profile)
_REFERENCE: Final = Shape(Reference)
