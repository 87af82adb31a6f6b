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
    from collections.abc import Sequence

    from numpy.typing import NDArray

LONGEST_SIGN: Final = 2
"""Characters of a name that can mark a point."""

DRAWN: Final = 1000
"""Rows that are drawn as points; more would be a blot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentMap:
    """The map of all classes, and one of each: {its name: where its rows lie among all}."""

    latent: int
    rows: int
    together: Picture
    apart: tuple[tuple[str, Picture], ...]


def latent_map(answers: Arrays, labels: NDArray[np.int64], names: Sequence[str]) -> LatentMap:
    """Return the maps of test rows, whose `labels` are numbers of `names`.

    Raises:
      NotThereError: if there are no latent codes.
    """
    if "places" not in answers:
        raise NotThereError("there is no autoencoder to take latent codes from")
    places, shown = answers["places"], range(min(len(names), SHOWN_CLASSES))
    return LatentMap(
        latent=int(answers["latent"]),
        rows=len(places),
        together=_together(answers, labels, names),
        apart=tuple(
            (names[label], _apart(places, labels == label, names[label])) for label in shown if (labels == label).any()
        ),
    )


def _together(answers: Arrays, labels: NDArray[np.int64], names: Sequence[str]) -> Picture:
    places, share = answers["places"], answers["places_share"]
    figure, axes = charts.chart(width=520, height=460)
    signs = _signs(names[:SHOWN_CLASSES])
    for label, sign in enumerate(signs):
        rows = np.flatnonzero(labels[:DRAWN] == label)
        kind = charts.KINDS[label % len(charts.KINDS)]
        axes.scatter(places[rows, 0], places[rows, 1], s=38, marker=rf"$\mathrm{{{sign}}}$", color=kind, linewidths=0)
    axes.set(xlabel=f"first component, {share[0]:.0%} of the variance", ylabel=f"second component, {share[1]:.0%}")
    text = (
        f"Latent codes of {min(DRAWN, len(places)):,} test rows in their first two principal components, which hold "
        f"{share.sum():.0%} of the variance; each row is {_legend(signs, names)}. {_neighbours(places, labels, names)}"
    )
    return charts.drawn(figure, text)


def _signs(names: Sequence[str]) -> tuple[str, ...]:
    """Return what marks the rows of each class: its name where all are short, and else its number."""
    short = all(len(name) <= LONGEST_SIGN and name.isascii() and name.isalnum() for name in names)
    return tuple(names) if short else tuple(map(str, range(len(names))))


def _legend(signs: Sequence[str], names: Sequence[str]) -> str:
    if signs == tuple(names[: len(signs)]):
        return "the figure of its class"
    listed = ", ".join(f"{sign} {name}" for sign, name in zip(signs, names, strict=False))
    return f"the number of its class: {listed}"


def _neighbours(places: NDArray[np.floating[Any]], labels: NDArray[np.int64], names: Sequence[str]) -> str:
    """Say which two classes have the nearest centres and which stands alone."""
    classes = np.unique(labels)
    if len(classes) < 3:
        return ""
    centres = np.stack([places[labels == label].mean(axis=0) for label in classes])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    alone = classes[int(apart.min(axis=1).argmax())]
    near, other = names[classes[first]], names[classes[second]]
    return f"Nearest centres: {near} and {other}; farthest from any other: {names[alone]}."


def _apart(places: NDArray[np.floating[Any]], chosen: NDArray[np.bool_], name: str) -> Picture:
    x, y = places[chosen].mean(axis=0)
    text = f"Class {name}: {int(chosen.sum())} rows around {x:.1f}, {y:.1f}, in orange over all rows."
    return mosaics.density(places, chosen, text=text)
