"""Strokes: which ink is one digit, how many digits there are, and which ink is dirt.

A digit may be in several pieces (the bar of a 5, a stroke with gaps); two digits lie side by side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.predict.ink import FLAT, Mask

Labels = npt.NDArray[np.int32]

SPECK: Final = 0.03
"""A piece with less than this share of the largest one's area is dirt."""

TINY, SMALLEST = 0.015, 4
"""A group that is smaller than this share of the photograph's longest side, or than as many pixels, is dirt.

A digit of four millimetres on a sheet of A4 that was photographed whole has 0.0135 of its longer side."""

BLOT: Final = 0.5
"""Width of the ink over its size from which on it is a blot or a shadow: of 4,000 of MNIST's digits none comes to 0.45,
of 2,000 of UCI's none to 0.48, and a disc has 0.67."""

HAIRLINE: Final = 0.04
"""A gap that is no wider than this share of both pieces' height is a flaw of the stroke, wherever it is."""

GAP: Final = 0.1
"""Widest gap between pieces of a digit that stays upright, and between pieces one above the other."""

LOOSE_GAP: Final = 0.25
"""Widest gap between a digit and a loose stroke of it, which is less than half as high and has less than half its ink:
the bar of a 5 or of a 7, the dot of an i. No digit is that much smaller than its neighbour."""

UPRIGHT, WIDEST = 1.1, 1.7
"""Width over height up to which one digit is more likely than two, and up to which a digit has a loose stroke."""

JOINED: Final = 0.98
"""Confidence in pieces that are parted by a hairline only; half of it is left at the widest gap."""

SMALLER, LIGHTER = 0.4, 0.15
"""A second digit has at least this share of the first one's size, and of its area."""

FINE: Final = 0.03
"""Width over length up to which what crosses the photograph from side to side is a rule, a fold or an edge of light."""

FRAME: Final = 0.08
"""Share of the photograph's sides within which a frame lies."""

MOST_PARTS, PART = 6, 0.005
"""Parts that a digit may divide the paper into, outside and inside, and how large they are as a share of the box: an 8
makes three, a 4 on a rule five; squares make more."""

_PIECES: Final = 400
_GRID: Final = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Pieces of ink that belong together.

    Attributes:
      labels: of the pieces.
      top, left, bottom, right: the box around them, end exclusive.
      area: in pixels.
      confidence: that its pieces are one digit's.
    """

    labels: tuple[int, ...]
    top: int
    left: int
    bottom: int
    right: int
    area: int
    confidence: float = 1.0

    @property
    def height(self) -> int:
        """The box's height."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The box's width."""
        return self.right - self.left

    @property
    def size(self) -> int:
        """The box's longer side."""
        return max(self.height, self.width)

    def touches_border(self, shape: tuple[int, ...]) -> bool:
        """Return whether it lies at the edge of the photograph."""
        return self.top == 0 or self.left == 0 or self.bottom == shape[0] or self.right == shape[1]

    def joined(self, other: Group, confidence: float = 1.0) -> Group:
        """Return both as one."""
        return Group(
            self.labels + other.labels,
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
            self.area + other.area,
            min(self.confidence, other.confidence, confidence),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Strokes:
    """The ink of one digit.

    Attributes:
      mask: where it is.
      confidence: that all of it is one digit's.
      largest: its largest piece alone.
    """

    mask: Mask
    confidence: float
    largest: Mask


def find_strokes(mask: Mask) -> list[Strokes]:
    """Return the strokes of each digit, the largest first; none where there is dirt alone."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    pieces = [piece for piece in _pieces(labels) if not (_is_line(piece, mask.shape) or _is_frame(piece, labels))]
    groups = _large(_groups(labels, pieces), mask.shape)
    digits = [
        Strokes(np.isin(labels, group.labels), group.confidence, labels == _largest(labels, group)) for group in groups
    ]
    return [digit for digit, group in zip(digits, groups, strict=True) if _is_digit(digit.mask, group)]


def _largest(labels: Labels, group: Group) -> int:
    return max(group.labels, key=lambda label: int(np.count_nonzero(labels == label)))


def stroke_width(digit: Mask) -> float:
    """Return the mean width of the strokes, in pixels: in a band of width w the mean distance to its edge is w / 4."""
    return 4 * float(ndimage.distance_transform_edt(digit)[digit].mean())


def _is_line(piece: Group, shape: tuple[int, ...]) -> bool:
    """Return whether it crosses the photograph, finer than anybody writes, and leaves room beside it.

    A digit that was cut out closely reaches the sides as well, but then it does so in both directions.
    """
    if min(shape) < FLAT:
        return False
    down, across = piece.top == 0 and piece.bottom == shape[0], piece.left == 0 and piece.right == shape[1]
    return down != across and piece.area <= FINE * piece.size**2


def _is_frame(piece: Group, labels: Labels) -> bool:
    """Return whether it goes around the photograph, all of it along the sides: a digit's corners are round."""
    rows, columns = labels.shape
    down, across = int(FRAME * rows), int(FRAME * columns)
    around = piece.top <= down and piece.bottom >= rows - down and piece.left <= across
    if min(labels.shape) < FLAT or not (around and piece.right >= columns - across):
        return False
    return not np.isin(labels[down : rows - down, across : columns - across], piece.labels).any()


def _is_digit(mask: Mask, group: Group) -> bool:
    """Return whether it has strokes, and is neither a blot nor the squares that paper is printed with."""
    own = mask[group.top : group.bottom, group.left : group.right]
    width = stroke_width(np.pad(own, 1))
    # Distances to the next pixel's middle make a stroke seem two pixels wider, which counts where there are only eight.
    if width - 2 >= BLOT * group.size:
        return False
    return width > FINE * group.size or _parts(own) <= MOST_PARTS


def _parts(mask: Mask) -> int:
    """Return how many parts it divides the paper of its box into, corners and holes alike, without the flaws."""
    labels, _ = ndimage.label(~mask)
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:] > PART * mask.size))


def _pieces(labels: Labels) -> list[Group]:
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    boxes = ndimage.find_objects(labels)
    found = []
    for label in np.argsort(-areas, kind="stable")[:_PIECES]:
        if areas[label] > SPECK * areas.max():
            rows, columns = boxes[label - 1]
            found.append(Group((int(label),), rows.start, columns.start, rows.stop, columns.stop, int(areas[label])))
    return found


def _groups(labels: Labels, pieces: Sequence[Group]) -> list[Group]:
    """Join pieces, largest first, until none belongs to another."""
    if len(pieces) < 2:
        return list(pieces)
    step = max(1, max(labels.shape) // _GRID)
    sparse = labels[::step, ::step]
    groups: list[Group] = []
    for piece in pieces:
        away = (ndimage.distance_transform_edt(~np.isin(sparse, piece.labels)) - 1) * step
        near = {}
        for index, group in enumerate(groups):
            confidence = _belong(piece, group, _nearest(away, sparse, group))
            if confidence:
                near[index] = confidence
        for index, confidence in near.items():
            piece = groups[index].joined(piece, confidence)  # noqa: PLW2901  # the piece grows by what it touches
        groups = [group for index, group in enumerate(groups) if index not in near]
        groups.append(piece)
    return groups


def _nearest(away: npt.NDArray[np.float64], sparse: Labels, group: Group) -> float:
    there = np.isin(sparse, group.labels)
    return float(away[there].min()) if there.any() else float("inf")


def _belong(piece: Group, group: Group, gap: float) -> float:
    """Return the confidence that both are one digit's; 0 where they are not."""
    both = piece.joined(group)
    shared = min(piece.right, group.right) - max(piece.left, group.left)
    above = shared >= min(piece.width, group.width) / 2
    limit = GAP if above or both.width <= UPRIGHT * both.height else HAIRLINE
    if _is_loose(piece, group) and both.width <= WIDEST * both.height:
        limit = LOOSE_GAP
    limit = max(limit * both.height, 1)
    if gap > limit:
        return 0.0
    beyond = max(0.0, gap - max(HAIRLINE * both.height, 1)) / limit
    return JOINED * (1 - beyond / 2)


def _is_loose(piece: Group, group: Group) -> bool:
    small, large = sorted((piece, group), key=lambda one: one.height)
    is_bar = small.width >= 2 * small.height
    return small.height < large.height / 2 and small.area < large.area * (1 if is_bar else 0.5)


def _large(groups: Sequence[Group], shape: tuple[int, ...]) -> list[Group]:
    """Drop dirt, and what reaches in from outside where there is something else."""
    kept = [group for group in groups if group.size >= max(SMALLEST, TINY * max(shape))]
    inner = [group for group in kept if not group.touches_border(shape)]
    largest = max((group.size for group in kept), default=0)
    if any(group.size >= max(shape) / 10 or group.size >= SMALLER * largest for group in inner):
        kept = inner
    kept.sort(key=lambda group: -group.area)
    return [g for g in kept if g.size >= SMALLER * kept[0].size and g.area >= LIGHTER * kept[0].area]
