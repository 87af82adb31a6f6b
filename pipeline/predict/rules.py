"""Removal of printed rules: the frame of a form's cell, the lines of ruled paper.

A rule is straight, runs along the rows or columns, and ends at the photograph's border or at another rule. The stem of a
1 that was cut out closely does so as well: which of them are left out is a choice, and it has a confidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

from pipeline.predict.ink import Floats, Mask
from pipeline.predict.surroundings import Box

SMALLEST: Final = 48
"""Shortest side, in pixels, of a photograph on which a rule can be told from a stroke."""

STEP: Final = 0.1
"""Difference of grey between a rule and the paper around it; less is light."""

RUN: Final = 0.12
"""Straight run, as a share of the side, that a rule is put together from: one that is tilted by two degrees has it."""

LONGEST_GAP: Final = 0.05
"""Gap in a rule, as a share of the side."""

LENGTH: Final = 0.5
"""Shortest rule, as a share of the side."""

THICKEST: Final = 0.05
"""Thickest rule, as a share of the shorter side."""

STEEPEST: Final = 0.05
"""How far a rule strays from the rows or columns, as a share of its length."""

MARGIN: Final = 0.25
"""Share of the photograph's side, at each of its ends, in which the rules of a frame lie."""

REACH: Final = 0.04
"""How near to the border, or to another rule, a rule ends, as a share of the side."""

SURE, LIKELY, DOUBTFUL = 0.98, 0.9, 0.5
"""Confidence in rules that touch nothing, in those of a frame that the digit touches, and in one that is part of the ink.

On distorted rows of MNIST: see `python tests/handwriting.py`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """A straight line along the rows or the columns.

    Attributes:
      mask: its pixels, those of a horizontal one; of a vertical one they are transposed.
      across: whether it is horizontal.
      at: where its middle lies, from 0 to 1 of the other side.
      start, end: of it, in pixels.
      anchored: how many of its ends lie at the border or at another rule.
    """

    mask: Mask
    across: bool
    at: float
    start: int
    end: int
    anchored: int = 0

    @property
    def outer(self) -> bool:
        """Return whether it lies where a frame's would."""
        return not MARGIN < self.at < 1 - MARGIN

    @property
    def placed(self) -> Mask:
        """Return its pixels as the photograph has them."""
        return self.mask if self.across else self.mask.T


@dataclasses.dataclass(frozen=True, eq=False)
class Cleared:
    """A photograph without its rules.

    Attributes:
      grey: float32 [H, W].
      box: the part of it that lies inside of a frame.
      confidence: that what was left out is no part of a digit; 1 where nothing was.
      count: number of rules that were left out.
    """

    grey: Floats
    box: Box
    confidence: float = 1.0
    count: int = 0


def without_rules(grey: Floats) -> Cleared:
    """Leave out printed rules: paper goes where they were, and ink that crosses them stays."""
    everything = slice(0, grey.shape[0]), slice(0, grey.shape[1])
    if min(grey.shape) < SMALLEST:
        return Cleared(grey, everything)
    paper = _paper(grey)
    for lifted in (paper - grey, grey - paper):
        ink = lifted > max(STEP, 0.25 * float(np.percentile(lifted, 99.5)))
        rules = _anchored([*_rules(ink, across=True), *_rules(ink, across=False)], grey.shape)
        chosen, confidence = _chosen(rules, ink)
        if chosen:
            return Cleared(_filled(grey, paper, ink, chosen), _inside(grey.shape, chosen), confidence, len(chosen))
    return Cleared(grey, everything)


def _paper(grey: Floats) -> Floats:
    """Return the grey of the paper around each pixel: a median over more of it than any rule covers."""
    step = max(1, max(grey.shape) // 64)
    small = grey[step // 2 :: step, step // 2 :: step]
    median = ndimage.median_filter(small, size=max(3, int(0.3 * max(small.shape)) | 1), mode="mirror")
    image = Image.fromarray(np.ascontiguousarray(median, np.float32))
    return np.asarray(image.resize((grey.shape[1], grey.shape[0]), Image.Resampling.BILINEAR))


def _rules(ink: Mask, *, across: bool) -> list[Rule]:
    lines = ink if across else ink.T
    height, width = lines.shape
    slack = max(1, min(lines.shape) // 120)
    thick = ndimage.maximum_filter1d(lines.view(np.uint8), 2 * slack + 1, axis=0)
    run = max(8, int(RUN * width))
    # Opened along the rows: only straight runs stay. Then gaps are closed, which a worn print has.
    opened = ndimage.maximum_filter1d(ndimage.minimum_filter1d(thick, run, axis=1), run, axis=1)
    gap = 2 * int(LONGEST_GAP * width) + 1
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(opened, gap, axis=1), gap, axis=1)
    labels, _ = ndimage.label(closed, structure=np.ones((3, 3)))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        length = columns.stop - columns.start
        if length < LENGTH * width:
            continue
        mask = labels == number
        thickness = np.count_nonzero(mask) / length - 2 * slack
        if thickness > THICKEST * min(lines.shape) or not _is_straight(mask[rows, columns], thickness + 2 * slack):
            continue
        found.append(Rule(mask, across, (rows.start + rows.stop) / 2 / height, columns.start, columns.stop))
    return found


def _is_straight(mask: Mask, thickness: float) -> bool:
    """Return whether the middles of its columns lie on one line that hardly rises."""
    columns = np.flatnonzero(mask.any(axis=0))
    middles = (mask * np.arange(mask.shape[0])[:, None]).sum(axis=0)[columns] / mask.sum(axis=0)[columns]
    slope, start = np.polyfit(columns, middles, 1)
    off = np.abs(middles - slope * columns - start)
    return abs(slope) <= STEEPEST and float(np.percentile(off, 90)) <= max(2.0, thickness / 2)


def _anchored(rules: Sequence[Rule], shape: tuple[int, ...]) -> list[Rule]:
    """Return the rules with the number of their ends that lie at the border or at a rule of the other direction."""
    found = []
    for rule in rules:
        side, other = (shape[1], shape[0]) if rule.across else shape
        reach = REACH * side
        ends = [rule.start <= reach, rule.end >= side - reach]
        for crossing in rules:
            if crossing.across != rule.across and crossing.start - reach <= rule.at * other <= crossing.end + reach:
                place = crossing.at * side
                ends[0] |= abs(place - rule.start) <= 2 * reach
                ends[1] |= abs(place - rule.end) <= 2 * reach
        found.append(dataclasses.replace(rule, anchored=sum(ends)))
    return found


def _chosen(rules: Sequence[Rule], ink: Mask) -> tuple[list[Rule], float]:
    """Return the rules to leave out, and the confidence that they are no strokes."""
    ended = [rule for rule in rules if rule.anchored == 2]  # both ends
    framing = [rule for rule in rules if rule.outer and rule.anchored]
    if {rule.across for rule in framing} == {True, False}:
        chosen = [*framing, *(rule for rule in ended if not rule.outer and not _touches(rule, ink, framing))]
        loose = not any(_touches(rule, ink, rules) for rule in chosen)
        return chosen, SURE if loose else LIKELY
    free = [rule for rule in rules if rule.anchored and not _touches(rule, ink, rules)]
    if free:
        return free, SURE
    for across in (True, False):
        parallel = [rule for rule in ended if rule.across == across]
        if len(parallel) > 1:
            return parallel, LIKELY if len(parallel) > 2 else DOUBTFUL  # two may be a 2's or a 5's
    return [], 1.0


def _touches(rule: Rule, ink: Mask, rules: Sequence[Rule]) -> bool:
    """Return whether ink that is no rule's touches it."""
    near = ndimage.binary_dilation(rule.placed, iterations=2)
    rest = ink & near & ~rule.placed
    for other in rules:
        rest &= ~ndimage.binary_dilation(other.placed, iterations=2) if other is not rule else True
    return np.count_nonzero(rest) > max(4, 0.01 * (rule.end - rule.start))


def _filled(grey: Floats, paper: Floats, ink: Mask, rules: Sequence[Rule]) -> Floats:
    found = grey.copy()
    every = np.logical_or.reduce([rule.placed for rule in rules])
    for rule in rules:
        soft = ndimage.binary_dilation(rule.mask, iterations=2)
        strokes = ink & ~every if rule.across else (ink & ~every).T
        crossed = _crossed(rule.mask, strokes)
        away = (soft & ~crossed) if rule.across else (soft & ~crossed).T
        found[away] = paper[away]
    return found


def _crossed(mask: Mask, strokes: Mask) -> Mask:
    """Return the part of a horizontal rule that lies between ink above and ink below it."""
    found = np.zeros_like(mask)
    for column in np.flatnonzero(mask.any(axis=0)):
        lines = np.flatnonzero(mask[:, column])
        top, after = int(lines[0]), int(lines[-1]) + 1
        if strokes[max(0, top - 3) : top, column].any() and strokes[after : after + 3, column].any():
            found[top:after, max(0, column - 1) : column + 2] = True
    return found


def _inside(shape: tuple[int, ...], rules: Sequence[Rule]) -> Box:
    """Return what lies inside of the rules of a frame."""
    top, left, bottom, right = 0, 0, *shape
    for rule in rules:
        lines = np.flatnonzero(rule.mask.any(axis=1))
        first, after = int(lines[0]), int(lines[-1]) + 1
        if not rule.outer:
            continue
        if rule.across and rule.at < MARGIN:
            top = max(top, after)
        elif rule.across:
            bottom = min(bottom, first)
        elif rule.at < MARGIN:
            left = max(left, after)
        else:
            right = min(right, first)
    return slice(top, bottom), slice(left, right)
