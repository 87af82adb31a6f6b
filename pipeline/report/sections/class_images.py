"""The mean image of each class, and the input that excites each class the most."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from components.settings import DataSettings
from pipeline.report import mosaics
from pipeline.report.choices import SHOWN_CLASSES
from pipeline.report.model_answers import PENALTY, STEPS, Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.example_rows import ImageRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassImages:
    """A mosaic to each kind, a class to each image; `absent` says why only means are there."""

    labels: tuple[str, ...]
    mean: Picture
    exciting: Picture | None
    exciting_l2: Picture | None
    absent: str


def class_images(answers: Arrays, rows: ImageRows, split: str, data: DataSettings) -> ClassImages:
    """Return means over `rows` of `split`, and what excites the model.

    Raises:
      NotThereError: if there are no rows.
    """
    labels = [k for k in range(min(data.label_count, SHOWN_CLASSES)) if (rows.labels == k).any()]
    if not labels:
        raise NotThereError("there are no rows")
    means = np.stack([rows.images[rows.labels == k].mean(axis=0) for k in labels])
    least = min(int((rows.labels == k).sum()) for k in labels)
    there = "exciting" in answers
    sure = answers["sure"][labels] if there else np.zeros(1)
    penalty = (
        f"The same with {PENALTY:g} times the squared length of the input against it: "
        f"the model gives its class {sure.min():.0%} or more there."
    )
    return ClassImages(
        labels=tuple(data.names[label] for label in labels),
        mean=_mosaic(means, data, data.pixel_max, f"Mean image of each class, over {least:,} or more rows of {split}."),
        exciting=_mosaic(answers["exciting"][labels], data, 1.0, _plain_text()) if there else None,
        exciting_l2=_mosaic(answers["exciting_l2"][labels], data, 1.0, penalty) if there else None,
        absent="" if there else "there is no served model to take gradients through",
    )


def _plain_text() -> str:
    return (
        f"The input whose score is the farthest ahead of those of all other classes, "
        f"after {STEPS} steps along the gradient through the served model."
    )


def _mosaic(images: NDArray[np.floating[Any]], data: DataSettings, peak: float, text: str) -> Picture:
    square = images.reshape(-1, *data.shape)
    return mosaics.ink(square, peak=peak, text=text, columns=10, scale=64 / max(data.shape))
