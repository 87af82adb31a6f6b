"""The map of classes in the plane of the latent codes' first two principal components."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.report import charts, mosaics
from pipeline.report.choices import SHOWN_CLASSES
from pipeline.report.model_answers import Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWN: Final = 1000
"""Rows that are drawn as points; more would be a blot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentMap:
    """The map of all classes, and one of each: {label: where its rows lie among all}."""

    latent: int
    rows: int
    together: Picture
    apart: tuple[tuple[int, Picture], ...]


def latent_map(answers: Arrays, labels: NDArray[np.int64], label_count: int) -> LatentMap:
    """Return the maps of test rows.

    Raises:
      NotThereError: if there are no latent codes.
    """
    if "places" not in answers:
        raise NotThereError("there is no autoencoder to take latent codes from")
    places, shown = answers["places"], range(min(label_count, SHOWN_CLASSES))
    return LatentMap(
        latent=int(answers["latent"]),
        rows=len(places),
        together=_together(answers, labels, label_count),
        apart=tuple((label, _apart(places, labels, label)) for label in shown if (labels == label).any()),
    )


def _together(answers: Arrays, labels: NDArray[np.int64], label_count: int) -> Picture:
    places, share = answers["places"], answers["places_share"]
    figure, axes = charts.chart(width=520, height=460)
    for label in range(min(label_count, SHOWN_CLASSES)):
        rows = np.flatnonzero(labels[:DRAWN] == label)
        kind = charts.KINDS[label % len(charts.KINDS)]
        axes.scatter(places[rows, 0], places[rows, 1], s=38, marker=f"${label}$", color=kind, linewidths=0)
    axes.set(xlabel=f"first component, {share[0]:.0%} of the variance", ylabel=f"second component, {share[1]:.0%}")
    text = (
        f"Latent codes of {min(DRAWN, len(places)):,} test rows in their first two principal components, which hold "
        f"{share.sum():.0%} of the variance; each row is the figure of its class. {_neighbours(places, labels)}"
    )
    return charts.drawn(figure, text)


def _neighbours(places: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> str:
    """Say which two classes have the nearest centres and which stands alone."""
    classes = np.unique(labels)
    if len(classes) < 3:
        return ""
    centres = np.stack([places[labels == label].mean(axis=0) for label in classes])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    alone = classes[int(apart.min(axis=1).argmax())]
    return f"Nearest centres: {classes[first]} and {classes[second]}; farthest from any other: {alone}."


def _apart(places: NDArray[np.floating[Any]], labels: NDArray[np.int64], label: int) -> Picture:
    chosen = labels == label
    x, y = places[chosen].mean(axis=0)
    text = f"Class {label}: {int(chosen.sum())} rows around {x:.1f}, {y:.1f}, in orange over all rows."
    return mosaics.density(places, chosen, text=text)
