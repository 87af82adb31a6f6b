"""Confusion matrix, precision and recall, reliability and mistakes on test rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.intervals import wilson
from components.settings import DataSettings
from pipeline.report import charts, mosaics
from pipeline.report.choices import SHOWN_CLASSES, confident_mistakes
from pipeline.report.model_answers import Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.report.example_rows import ImageRows

BINS: Final = 10
SHADES: Final = 10
"""Steps of a cell's shade; the page has a class for each."""

MISTAKES: Final = 10
"""Of the surest ones, shown one by one."""

MISCLASSIFIED: Final = 200
"""Shown at most, small."""

LONGEST_TICK: Final = 40
"""Characters of a class's name beside its interval."""

TABLE_LABELS: Final = 20
"""More classes than this make a picture instead of a table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the confusion matrix: rows, their share of the label's, and its shade."""

    rows: int
    share: float
    shade: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A rate with the ends of its 95 % confidence interval; None where it is not defined."""

    rate: float | None
    low: float = 0.0
    high: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class: its name, test rows, precision and recall."""

    label: str
    rows: int
    precision: Interval
    recall: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mistake:
    """A misclassified row: what it is, what the model said, and how sure it was of that and of the truth."""

    label: str
    said: str
    sure: float
    truth: float
    picture: Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
    """How the model classifies the test split.

    Attributes:
      rows: looked at.
      correct: of them.
      matrix: [label][predicted]; empty where there are too many classes for a table.
      matrix_picture: the same as a picture, for many classes.
      worst_pair: the most frequent confusion in words.
      classes: by label.
      intervals: the same drawn.
      reliability: confidence against accuracy.
      mistakes: the surest ones.
      misclassified: all of them, or the surest `MISCLASSIFIED`; None if there are none.
    """

    rows: int
    correct: int
    matrix: tuple[tuple[Cell, ...], ...]
    matrix_picture: Picture | None
    worst_pair: str
    classes: tuple[ClassFigures, ...]
    intervals: Picture
    reliability: Picture
    mistakes: tuple[Mistake, ...]
    misclassified: Picture | None


def classification(answers: Arrays, test: ImageRows, data: DataSettings) -> Classification:
    """Return how the served model classifies test rows.

    Raises:
      NotThereError: if there is no model.
    """
    if "probabilities" not in answers:
        raise NotThereError("no classifier was trained")
    probabilities = answers["probabilities"]
    counts = confusion(probabilities, test.labels, data.label_count)
    classes = class_figures(counts, data.names)
    small = data.label_count <= TABLE_LABELS
    return Classification(
        rows=len(test),
        correct=int(np.trace(counts)),
        matrix=_cells(counts) if small else (),
        matrix_picture=None if small else _matrix_picture(counts, data.names),
        worst_pair=_worst_pair(counts, data.names),
        classes=classes,
        intervals=_intervals(classes),
        reliability=_reliability(probabilities, test.labels),
        mistakes=_mistakes(probabilities, test, data),
        misclassified=_misclassified(probabilities, test, data),
    )


def confusion(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], label_count: int
) -> NDArray[np.int64]:
    """Return rows by label and predicted class: [label_count, label_count]."""
    counts = np.zeros((label_count, label_count), np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def class_figures(counts: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Return precision and recall of each class of a confusion matrix."""
    result = []
    for label, right in enumerate(np.diag(counts).tolist()):
        rows, said = int(counts[label].sum()), int(counts[:, label].sum())
        result.append(
            ClassFigures(label=names[label], rows=rows, precision=_rate(right, said), recall=_rate(right, rows))
        )
    return tuple(result)


def reliability(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return, by bin of confidence, rows, mean confidence and accuracy (NaN if empty), and the calibration error.

    The error is the mean distance of the two, weighted by rows (Naeini, Cooper and Hauskrecht, 2015).
    """
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, sure, BINS) / rows
        accuracy = np.bincount(bins, right, BINS) / rows
    error = float(np.nansum(np.abs(confidence - accuracy) * rows) / max(1, len(labels)))
    return rows, confidence, accuracy, error


def _rate(right: int, of: int) -> Interval:
    if not of:
        return Interval(rate=None)
    low, high = wilson(right, of)
    return Interval(rate=right / of, low=low, high=high)


def _cells(counts: NDArray[np.int64]) -> tuple[tuple[Cell, ...], ...]:
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    # By the root: a confusion of one in a hundred is what one looks for, and it has to be seen.
    shades = np.ceil(np.sqrt(shares) * SHADES).astype(int)
    return tuple(
        tuple(Cell(rows=int(n), share=float(s), shade=int(d)) for n, s, d in zip(*row, strict=True))
        for row in zip(counts, shares, shades, strict=True)
    )


def _matrix_picture(counts: NDArray[np.int64], names: Sequence[str]) -> Picture:
    shares = np.sqrt(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)))
    text = f"Confusion matrix of {len(counts)} classes, a row to each label. {_worst_pair(counts, names)}"
    return mosaics.ink(shares[None], peak=1.0, text=text, columns=1, scale=max(1.0, 480 / len(counts)))


def _worst_pair(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    if not wrong.any():
        return "No row is misclassified."
    label, said = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
    share = wrong[label, said] / counts[label].sum()
    pair = f"{names[label]} taken for {names[said]}"
    return f"Most frequent: {pair}, {wrong[label, said]} of {counts[label].sum()} rows ({share:.1%})."


def _intervals(classes: tuple[ClassFigures, ...]) -> Picture:
    rated = sorted((one for one in classes if one.recall.rate is not None), key=lambda one: one.recall.rate or 0.0)
    drawn = [one for one in classes if one in rated[:SHOWN_CLASSES]]
    figure, axes = charts.chart(width=460, height=max(180, 26 * len(drawn) + 80), above=28)
    for kind, shift, colour in (("precision", -0.16, charts.FIRST), ("recall", 0.16, charts.SECOND)):
        for number, one in enumerate(drawn):
            interval: Interval = getattr(one, kind)
            if interval.rate is not None:
                axes.plot([interval.low, interval.high], [number + shift] * 2, color=colour, linewidth=1.4)
                axes.plot([interval.rate], [number + shift], "o", color=colour, markersize=4)
        axes.plot([], [], "o-", color=colour, markersize=4, linewidth=1.4, label=kind)
    axes.set_yticks(range(len(drawn)), [charts.plain(one.label, LONGEST_TICK) for one in drawn])
    axes.invert_yaxis()
    axes.set(xlabel="rate, with its 95 % Wilson interval", ylabel="class")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    worst, which = rated[0], "" if len(drawn) == len(rated) else f" of {len(rated)}, those of lowest recall"
    text = f"Precision and recall of {len(drawn)} classes{which}; lowest recall {worst.recall.rate:.4f} of class {worst.label}"
    return charts.drawn(figure, f"{text}, {worst.recall.low:.4f} to {worst.recall.high:.4f}.")


def _reliability(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> Picture:
    rows, confidence, accuracy, error = reliability(probabilities, labels)
    figure, axes = charts.chart(width=460, height=360)
    axes.plot([0, 1], [0, 1], color=charts.SOFT, linestyle=(0, (4, 3)), linewidth=1)
    for number in np.flatnonzero(rows):
        low, high = wilson(round(accuracy[number] * rows[number]), int(rows[number]))
        axes.plot([confidence[number]] * 2, [low, high], color=charts.FIRST, linewidth=1.2)
    sizes = 24 + 160 * rows / max(1, rows.max())
    axes.scatter(confidence, accuracy, s=sizes, color=charts.FIRST, zorder=3, linewidths=0)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set(xlabel="mean confidence of a bin", ylabel="accuracy in it")
    sure = probabilities.max(axis=1).mean()
    right = (probabilities.argmax(axis=1) == labels).mean()
    text = (
        f"Reliability over {len(labels):,} rows in {int((rows > 0).sum())} bins: mean confidence {sure:.4f}, accuracy "
        f"{right:.4f}, expected calibration error {error:.4f}. Below the dashed line the model is too sure of itself."
    )
    return charts.drawn(figure, text)


def _mistakes(probabilities: NDArray[np.floating[Any]], test: ImageRows, data: DataSettings) -> tuple[Mistake, ...]:
    result = []
    for row in confident_mistakes(probabilities, test.labels, MISTAKES).tolist():
        label, said = int(test.labels[row]), int(probabilities[row].argmax())
        sure, truth = float(probabilities[row, said]), float(probabilities[row, label])
        image = test.images[row].reshape(1, *data.shape)
        name, other = data.names[label], data.names[said]
        text = f"A {name} taken for a {other} with {sure:.1%}; {truth:.1%} for {name}."
        picture = mosaics.ink(image, peak=data.pixel_max, text=text, columns=1, scale=84 / max(data.shape))
        result.append(Mistake(label=name, said=other, sure=sure, truth=truth, picture=picture))
    return tuple(result)


def _misclassified(probabilities: NDArray[np.floating[Any]], test: ImageRows, data: DataSettings) -> Picture | None:
    rows = confident_mistakes(probabilities, test.labels)
    if not len(rows):
        return None
    shown = rows[:MISCLASSIFIED]
    images = test.images[shown].reshape(-1, *data.shape)
    which = f"all {len(rows)}" if len(shown) == len(rows) else f"the surest {len(shown)} of {len(rows)}"
    text = f"Misclassified rows, {which} of {len(test):,} ({len(rows) / len(test):.2%}), the surest mistake first."
    return mosaics.ink(images, peak=data.pixel_max, text=text, columns=20, scale=36 / max(data.shape))
