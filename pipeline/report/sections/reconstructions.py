"""The best, the median and the worst reconstruction of each class, with what went wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from components.settings import DataSettings
from pipeline.report import charts, mosaics
from pipeline.report.choices import SHOWN_CLASSES
from pipeline.report.model_answers import Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.example_rows import ImageRows

RANKS = ("best", "median", "worst")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rank:
    """The classes side by side: originals, reconstructions and differences of one rank, and what they say."""

    name: str
    labels: tuple[str, ...]
    errors: tuple[float, ...]
    original: Picture
    rebuilt: Picture
    difference: Picture
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstructions:
    """All ranks, and how the errors are distributed over the test rows."""

    ranks: tuple[Rank, ...]
    errors: Picture


def reconstructions(answers: Arrays, test: ImageRows, data: DataSettings) -> Reconstructions:
    """Return the reconstructions of test rows.

    Raises:
      NotThereError: if the model reconstructs nothing.
    """
    if "reconstructions" not in answers:
        raise NotThereError("the served model has no autoencoder, or there is no model")
    labels = [k for k in range(min(data.label_count, SHOWN_CLASSES)) if answers["chosen"][k, 0] >= 0]
    ranks = [_rank(number, labels, answers, test, data) for number in range(len(RANKS))]
    return Reconstructions(ranks=tuple(ranks), errors=_errors(answers["errors"], test))


def _rank(number: int, labels: list[int], answers: Arrays, test: ImageRows, data: DataSettings) -> Rank:
    rows = answers["chosen"][labels, number]
    original = test.images[rows].astype(np.float32)
    rebuilt = answers["reconstructions"][labels, number]
    errors = tuple(float(error) for error in answers["errors"][rows])
    name, square = RANKS[number], (-1, *data.shape)
    options: dict[str, Any] = {"columns": len(labels), "scale": 48 / max(data.shape)}
    names = tuple(data.names[label] for label in labels)
    listing = ", ".join(f"{label}: {error:.4f}" for label, error in zip(names, errors, strict=True))
    difference = "Reconstruction less original: orange is too bright, blue too dark."
    return Rank(
        name=name,
        labels=names,
        errors=errors,
        original=mosaics.ink(original.reshape(square), peak=data.pixel_max, text="Originals.", **options),
        rebuilt=mosaics.ink(rebuilt.reshape(square), peak=data.pixel_max, text="Reconstructions.", **options),
        difference=mosaics.signed(
            (rebuilt - original).reshape(square), peak=data.pixel_max / 2, text=difference, **options
        ),
        text=f"The {name} reconstruction of each class, and its mean squared error. {listing}.",
    )


def _errors(errors: NDArray[np.float32], test: ImageRows) -> Picture:
    figure, axes = charts.chart(width=460, height=220)
    axes.hist(errors, bins=40, color=charts.FIRST)
    axes.set(xlabel="reconstruction MSE of a test row, pixels from 0 to 1", ylabel="rows")
    axes.grid(visible=False, axis="x")
    low, middle, high = np.quantile(errors, (0.05, 0.5, 0.95))
    text = f"Reconstruction error of {len(test):,} test rows: mean {errors.mean():.4f}, median {middle:.4f}"
    return charts.drawn(figure, f"{text}, nine in ten between {low:.4f} and {high:.4f}, worst {errors.max():.4f}.")
