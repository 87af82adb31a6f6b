"""The classifier's first-layer weights as images at several moments of training, where they were kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from components.arrays import read_npz
from components.errors import BadInput
from components.settings import DataSettings, Settings
from pipeline.report import mosaics
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import CLASSIFIER

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS: Final = "weights.npz"
PREFIX: Final = "step_"
UNITS: Final = 20
MOMENTS: Final = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moment:
    """The weights after so many steps."""

    step: int
    picture: Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstLayer:
    """Moments of training, earliest first; `shown` of `units` units or filters."""

    units: int
    shown: int
    moments: tuple[Moment, ...]


def first_layer(evidence: RunData) -> FirstLayer:
    """Return the weights that the classifier's training kept.

    Raises:
      NotThereError: if it kept none.
    """
    kept = read(evidence.artifact(CLASSIFIER, "model_run") / WEIGHTS)
    return of_weights(kept, evidence.settings.data, _width(evidence.settings))


def read(file: Path) -> dict[int, NDArray[np.float32]]:
    """Return {step: kernel}, [pixels, units] or [height, width, channels, filters].

    Raises:
      NotThereError: if there is no such file, or nothing in it.
    """
    try:
        arrays = read_npz(file)
        kept = {int(name.removeprefix(PREFIX)): arrays[name] for name in arrays if name.startswith(PREFIX)}
    except (BadInput, ValueError) as err:
        raise NotThereError("the training kept no weights along the way") from err
    if not kept:
        raise NotThereError("the training kept no weights along the way")
    return dict(sorted(kept.items()))


def of_weights(kept: Mapping[int, NDArray[np.float32]], data: DataSettings, units: int) -> FirstLayer:
    """Return pictures of the units whose weights are largest in the end, the same units at every moment.

    Args:
      kept: as `read`; of a wide layer the first units alone.
      data: gives the shape of an image.
      units: of the layer.
    """
    images = {step: _images(kernel, data) for step, kernel in kept.items()}
    steps = sorted(images)
    steps = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, min(MOMENTS, len(steps)))]
    last = images[steps[-1]]
    # Where the layer has a unit to each class, their order is the classes'.
    largest = np.argsort(-np.abs(last).sum(axis=(1, 2)), kind="stable")
    chosen = np.arange(len(last)) if len(last) <= UNITS else np.sort(largest[:UNITS])
    moments = tuple(Moment(step=step, picture=_picture(step, images[step][chosen], units)) for step in steps)
    return FirstLayer(units=units, shown=len(chosen), moments=moments)


def _width(settings: Settings) -> int:
    """Return the units or filters of the classifier's first layer."""
    classifier = settings.classifier
    widths = [*(convolution.filters for convolution in classifier.convolutions), *classifier.layers]
    return widths[0] if widths else settings.data.label_count


def _images(kernel: NDArray[np.float32], data: DataSettings) -> NDArray[np.float32]:
    """Return [units, H, W]."""
    if kernel.ndim == 2 and kernel.shape[0] == data.pixels:
        return kernel.T.reshape(-1, *data.shape)
    if kernel.ndim == 4:
        return np.moveaxis(kernel.mean(axis=2), -1, 0)
    raise NotThereError(f"the first layer's weights are no images: their shape is {kernel.shape}")


def _picture(step: int, images: NDArray[np.float32], units: int) -> Picture:
    peak = float(np.abs(images).max())
    text = (
        f"First-layer weights after {step:,} steps, {len(images)} of {units} units: "
        f"between {images.min():.3f} (blue) and {images.max():.3f} (orange)."
    )
    return mosaics.signed(images, text=text, columns=10, scale=40 / max(images.shape[1:]), peak=peak)
