"""Ink on each pixel of a grey photograph, whatever the paper, the light and the pen.

Light falls unevenly: a quadratic surface through the paper takes away the slope, a morphological opening with a window
wider than any stroke takes away shadows, hard edges included. What stands out of the noise that is left is ink.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FLAT: Final = 32
"""Shortest side, in pixels, below which paper is taken to be of one grey: strokes are as wide as shadows there."""

WINDOW: Final = 0.4
"""Of the opening, as a share of the longest side; no stroke is as wide, hardly a shadow is narrower."""

QUIET: Final = 1 / 60
"""Noise of single pixels, as a share of the picture's range of greys, that smoothing brings it down to, about."""

BLUNTEST: Final = 1 / 120
"""Standard deviation of the widest smoothing, as a share of the longest side: much less than the width of a stroke."""

NOISE_LIMIT: Final = 4.0
"""Standard deviations of the paper's grey below which nothing is ink."""

FAINTEST: Final = 0.05
"""Contrast, as a share of the range from black to white, below which nothing is ink."""

EVEN: Final = 0.02
"""Deviation of the paper from a smooth surface beyond which there is more on it than noise: a shadow with an edge."""

PAPER: Final = 0.75
"""Share of the border that lies on that surface, unless the light has an edge."""

_GRID: Final = 64
_COARSE, _COARSEST = 160, 32
_SETTLED: Final = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Ink:
    """What stands out of the paper.

    Attributes:
      height: float32 [H, W], difference from the paper in the direction of the ink, on the scale of the photograph.
      paper: its median where there is paper.
      noise: its robust standard deviation there.
      threshold: above it there is ink.
      dark: whether the ink is darker than the paper.
    """

    height: Floats
    paper: float
    noise: float
    threshold: float
    dark: bool

    @property
    def mask(self) -> Mask:
        """Where there is ink."""
        found: Mask = self.height > self.threshold
        return found

    def contrast(self, where: Mask) -> float:
        """Return how far nine tenths of the ink in `where` stay below, above the paper."""
        return float(np.percentile(self.height[where], 90)) - self.paper

    def strokes(self, share: float, faint: float, contrast: float) -> Mask:
        """Return where there is a share of the contrast, and what is joined to that and has the fainter share."""
        strong = self.height > max(self.threshold, self.paper + share * contrast)
        above_noise = self.paper + NOISE_LIMIT * max(self.noise, FAINTEST / 8)
        weak = strong | (self.height > max(above_noise, self.paper + faint * contrast))
        found: Mask = ndimage.binary_propagation(strong, structure=np.ones((3, 3)), mask=weak)
        return found

    def above(self, share: float, contrast: float) -> Ink:
        """Return the same with a threshold of at least a share of the contrast that the ink has."""
        return dataclasses.replace(self, threshold=max(self.threshold, self.paper + share * contrast))

    def amount(self, contrast: float) -> Floats:
        """Return float32 [H, W] from 0, paper, to 1, full ink: the grey levels of the edges stay."""
        floor = min(2 * self.noise, contrast / 4)
        found: Floats = np.clip((self.height - self.paper - floor) / (contrast - floor), 0, 1)
        return found


def find_ink(grey: Floats, *, dark: bool | None = None) -> Ink:
    """Tell ink from paper.

    Args:
      grey: float32 [H, W], 0 to 1.
      dark: whether the ink is darker than the paper; None looks at the border, which is paper.
    """
    smooth = _smoothed(grey)
    level, noise, border = _paper_level(smooth)
    fits = noise <= EVEN and border >= PAPER
    lifted = smooth - level
    if dark is None:
        dark = _is_dark(lifted, noise) if fits else _is_dark_locally(smooth)
    if dark and fits:
        # Paper gives back a share of the light, and so does ink: where there is less light, they differ by less.
        lifted = lifted * (level.mean() / np.maximum(level, level.mean() / 4))
    height = -lifted if dark else lifted
    if min(grey.shape) >= FLAT:
        height = height - _shadows(height)
    paper, deviation, threshold = _paper(height)
    return Ink(height.astype(np.float32), paper, deviation, threshold, dark)


def _smoothed(grey: Floats) -> Floats:
    """Average noise away, as far as the strokes allow; what has no noise stays as it is."""
    # The median of what a pixel differs by from the mean of its neighbours does not see the strokes.
    around = ndimage.uniform_filter(grey, 3)
    noise = 1.4826 * float(np.median(np.abs(grey - around)))
    wanted = noise / (QUIET * max(float(np.ptp(around)), FAINTEST))
    # A Gaussian divides the deviation of white noise by 2 * sqrt(pi) times its own.
    sigma = min(wanted / (2 * np.pi**0.5), BLUNTEST * max(grey.shape))
    smooth: Floats = ndimage.gaussian_filter(grey, sigma) if sigma > 0.3 else grey
    return smooth


def _paper_level(grey: Floats) -> tuple[Floats, float, float]:
    """Fit a surface to the paper, beginning at the border, and return it, the noise, and the share of the border on it."""
    step = max(1, max(grey.shape) // _GRID)
    sparse = grey[step // 2 :: step, step // 2 :: step]
    degree = 0 if min(grey.shape) < FLAT else 2
    terms = _terms(sparse.shape, degree)
    values = sparse.ravel().astype(np.float64)
    border = _border(sparse.shape).ravel()
    chosen = border
    fitted = np.full(values.shape, np.median(values[chosen]))
    noise = 0.0
    for _ in range(_SETTLED):
        residual = values - fitted
        noise = 1.4826 * float(np.median(np.abs(residual[chosen])))
        chosen = np.abs(residual) <= max(3 * noise, FAINTEST / 2)
        if np.count_nonzero(chosen) <= terms.shape[1] or not degree:
            break
        weights = np.linalg.lstsq(terms[chosen], values[chosen], rcond=None)[0]
        fitted = terms @ weights
    if not degree:
        return np.full_like(grey, fitted[0]), noise, 1.0
    return (
        (_terms(grey.shape, degree) @ weights).reshape(grey.shape).astype(np.float32),
        noise,
        float(chosen[border].mean()),
    )


def _terms(shape: tuple[int, ...], degree: int) -> npt.NDArray[np.float64]:
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    one = np.ones_like(x)
    terms = [one] if degree == 0 else [one, x, y, x * x, x * y, y * y]
    return np.stack([term.ravel() for term in terms], axis=1)


def _border(shape: tuple[int, ...]) -> Mask:
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    return border


def _is_dark(lifted: Floats, noise: float) -> bool:
    limit = max(3 * noise, FAINTEST / 2)
    return bool(np.maximum(-lifted - limit, 0).sum() > np.maximum(lifted - limit, 0).sum())


def _is_dark_locally(grey: Floats) -> bool:
    """Return whether what differs from its surroundings is darker than they are.

    Most of a surrounding is paper, and beyond the border all is: so the median of it follows shadows with hard edges.
    """
    small = _coarse(grey, _COARSEST)
    half = max(1, int(WINDOW * max(small.shape) / 2))
    framed = np.pad(small, half, mode="edge")
    lifted = small - ndimage.median_filter(framed, size=2 * half + 1)[half:-half, half:-half]
    limit = max(3 * 1.4826 * float(np.median(np.abs(lifted))), FAINTEST / 2)
    return bool(np.maximum(-lifted - limit, 0).sum() > np.maximum(lifted - limit, 0).sum())


def _coarse(grey: Floats, longest: int) -> Floats:
    """Average down to `longest` pixels a side, or somewhat more."""
    step = max(1, max(grey.shape) // longest)
    averaged: Floats = ndimage.uniform_filter(grey, step)[step // 2 :: step, step // 2 :: step]
    return averaged


def _shadows(height: Floats) -> Floats:
    """Return all that is wider than the window."""
    coarse = _coarse(height, _COARSE)
    half = int(WINDOW * max(coarse.shape) / 2)
    framed = np.pad(coarse, half, mode="edge")
    opened = ndimage.grey_opening(framed, size=(2 * half + 1, 2 * half + 1))[half:-half, half:-half]
    if opened.shape == height.shape:
        return np.asarray(opened, np.float32)
    image = Image.fromarray(np.ascontiguousarray(opened, np.float32))
    rows, columns = height.shape
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))


def _paper(height: Floats) -> tuple[float, float, float]:
    """Return median and deviation of the paper, and the threshold above it.

    Otsu's threshold, unless the noise of the paper reaches beyond it: where there is hardly any ink, it divides the noise.
    """
    otsu = _otsu(height)
    threshold = otsu
    for _ in range(_SETTLED):
        below = height[height <= threshold]
        median = float(np.median(below))
        deviation = 1.4826 * float(np.median(np.abs(below - median)))
        last, threshold = threshold, max(otsu, median + NOISE_LIMIT * deviation)
        if threshold == last:
            break
    return median, deviation, threshold


def _otsu(values: Floats) -> float:
    """Return the threshold that separates two classes best (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    if np.ptp(values) < FAINTEST:
        return float(values.max())
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(edges[1:][np.nanargmax(np.nan_to_num(between))])
