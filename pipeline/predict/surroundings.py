"""Removal of a table or a scanner's lid along the sides of a photograph.

What lies along a side is taken for paper otherwise, and the paper for ink.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.predict.ink import FLAT, Floats

WIDEST: Final = 0.15
"""Of a strip, as a share of the photograph's side."""

CLEAR: Final = 0.15
"""Difference of grey between strip and paper; less is light."""

ALL: Final = 0.95
"""Share of each of its lines that is nearer to the strip's grey than to the paper's: a digit would interrupt them."""

CLEAN: Final = 0.97
"""Share of the line behind a strip that is paper."""

SHARP: Final = 0.5
"""Share of the difference that lies between two lines next but one to each other; light fades over more of them."""


Box = tuple[slice, slice]


def without_surroundings(grey: Floats) -> Floats:
    """Cut strips of another grey off the four sides: float32 [H, W], 0 to 1, or less of it."""
    return np.ascontiguousarray(grey[paper_box(grey)])


def paper_box(grey: Floats) -> Box:
    """Return the part of a photograph, float32 [H, W] from 0 to 1, that strips of another grey leave."""
    everything = slice(0, grey.shape[0]), slice(0, grey.shape[1])
    if min(grey.shape) < FLAT:
        return everything
    paper = float(np.median(grey))
    top, bottom = _strip(grey, paper), _strip(grey[::-1], paper)
    # The lines of the other two sides begin and end in the strips above and below.
    upright = grey[top : grey.shape[0] - bottom].T
    left, right = _strip(upright, paper), _strip(upright[::-1], paper)
    box = slice(top, grey.shape[0] - bottom), slice(left, grey.shape[1] - right)
    inner = grey[box]
    sides = (
        (top, grey[0], inner[0]),
        (bottom, grey[-1], inner[-1]),
        (left, grey[:, 0], inner[:, 0]),
        (right, grey[:, -1], inner[:, -1]),
    )
    cleanly = all(_is_paper(inside, paper, outside) for cut, outside, inside in sides if cut)
    return box if cleanly else everything


def _is_paper(inside: Floats, paper: float, outside: Floats) -> bool:
    """Return whether paper begins behind the strip, and not the stem of a 7 whose bar it was."""
    level = float(np.median(outside))
    return float((np.abs(inside - paper) < np.abs(inside - level)).mean()) >= CLEAN


def _strip(grey: Floats, paper: float) -> int:
    """Return how many of the first lines are a strip."""
    level = float(np.median(grey[0]))
    if abs(level - paper) < CLEAR:
        return 0
    most = int(WIDEST * grey.shape[0])
    near = (np.abs(grey[: most + 3] - level) < np.abs(grey[: most + 3] - paper)).mean(axis=1) >= ALL
    count = int(np.argmin(near))
    if near.all() or not 0 < count <= most:
        return 0
    step = np.median(grey[count + 1]) - np.median(grey[count - 1])
    # One line more: the edge itself is a mixture of both.
    return count + 1 if abs(step) >= SHARP * abs(level - paper) else 0
