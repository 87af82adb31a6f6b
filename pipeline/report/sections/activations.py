"""Hidden activations of test rows, class by class: each class's fingerprint."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.report import mosaics
from pipeline.report.choices import SHOWN_CLASSES
from pipeline.report.model_answers import Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNITS: Final = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """One class: a line of the picture to each row, a column to each unit."""

    label: str
    picture: Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Activations:
    """All classes; `units` are those shown, of `all_units`, in the order of the class that excites them the most."""

    units: int
    all_units: int
    classes: tuple[Fingerprint, ...]


def activations(answers: Arrays, names: Sequence[str]) -> Activations:
    """Return the activations that the classifier's last layer reads.

    Args:
      answers: of the models.
      names: of the classes, in their order.

    Raises:
      NotThereError: if there are none.
    """
    if "hidden" not in answers:
        raise NotThereError("there is no classifier with a hidden layer whose graph could be cut open")
    hidden, labels = answers["hidden"].astype(np.float32), answers["hidden_labels"]
    order = by_class(hidden, labels)[:UNITS]
    peak = float(np.quantile(hidden[:, order], 0.99)) or 1.0
    shown = [label for label in np.unique(labels).tolist() if label < SHOWN_CLASSES]
    return Activations(
        units=len(order),
        all_units=hidden.shape[1],
        classes=tuple(_fingerprint(names[label], hidden[labels == label][:, order], peak) for label in shown),
    )


def by_class(hidden: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the units in the order of the class that excites each the most; silent ones are left out."""
    means = np.stack([hidden[labels == label].mean(axis=0) for label in np.unique(labels)])
    alive = np.flatnonzero(np.abs(hidden).max(axis=0) > 0)
    if not len(alive):
        return np.arange(hidden.shape[1])
    favourite = means.argmax(axis=0)
    chosen = alive
    if len(alive) > UNITS:  # those that tell the classes apart
        chosen = np.sort(alive[np.argsort(-means.std(axis=0)[alive], kind="stable")[:UNITS]])
    order: NDArray[np.int64] = chosen[np.lexsort((-means.max(axis=0)[chosen], favourite[chosen]))]
    return order


def _fingerprint(label: str, rows: NDArray[np.float32], peak: float) -> Fingerprint:
    active = float((rows > 0).mean())
    text = f"Class {label}: {len(rows)} rows, {active:.0%} of the units active, mean activation {rows.mean():.2f}."
    picture = mosaics.ink(np.maximum(rows, 0)[None], peak=peak, text=text, columns=1, scale=2.0)
    return Fingerprint(label=label, picture=picture)
