"""Doubtful answers: which ones, and why, by a version's own data.

A model gives probabilities for whatever it is shown. How much they mean is known of rows like those it was trained on,
so each threshold is a quantile of rows held out from training. An answer is doubted for one of three reasons: it is less
sure than nearly all of those; rows of another class are nearer, compared with its own class, than for nearly all of
those (the trust score of Jiang et al., "To Trust Or Not To Trust A Classifier", 2018); or no training row is anywhere
near. Distances are Euclidean, over pixels from 0 to 1, to the three nearest training rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.settings import DataSettings
from pipeline.predict.answer import Answer
from pipeline.predict.training_data import TrainingData
from pipeline.report.example_rows import ImageRows

Floats = npt.NDArray[np.float32]

QUANTILE: Final = 0.98
"""Share of the held-out rows that pass the first test, and of those that pass the second."""

NEAR: Final = 0.99
"""Share of the held-out rows that are nearer to the training rows than a picture that is said to be unlike them all.

With MNIST that says it of two thirds of letters, stars and scribbles; beyond the furthest held-out row, of hardly one."""

NEAREST: Final = 3
FEWEST: Final = 50
"""Held-out rows without which there are no quantiles to speak of."""

UNSURE: Final = "unsure"
OTHER_CLASS: Final = "near another class"
UNLIKE: Final = "unlike the training data"

_BLOCK: Final = 512
_NOWHERE: Final = 1e6  # further than any two images are


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the held-out rows of a version say of its answers.

    Attributes:
      rows: how many were asked about.
      doubted: share of them that is doubted.
      unlike: share that is said to be unlike the training data.
      wrong: how many the version reads wrongly.
      wrong_doubted: how many of those are doubted.
    """

    rows: int
    doubted: float
    unlike: float
    wrong: int
    wrong_doubted: int


class Judge:
    """Tells answers to be doubted from others.

    Args:
      data: the version's own rows.
      settings: the geometry of its images.
      ask: answers images, uint8 [H, W] each.

    Attributes:
      calibration: how often it doubts the held-out rows.

    Raises:
      ValueError: if there are too few rows.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: DataSettings,
        ask: Callable[[Sequence[npt.NDArray[np.uint8]]], list[Answer]],
    ) -> None:
        if len(data.held_out) < FEWEST or len(np.unique(data.train.labels)) < 2:
            raise ValueError(f"only {len(data.held_out)} rows were held out, and {FEWEST} are needed")
        self._settings = settings
        self._train = _scaled(data.train.images, settings.pixel_max)
        self._labels = data.train.labels
        held_out = data.held_out
        answers = ask(list(held_out.images.reshape(-1, *settings.shape)))
        sure, ratio, near = self._measured(held_out.images, answers)
        self._least_sure = float(np.quantile(sure, 1 - QUANTILE))
        self._largest_ratio = float(np.quantile(ratio, QUANTILE))
        self._furthest = float(np.quantile(near, NEAR))
        self.calibration = self._calibrated(held_out, answers)

    def doubts(self, images: npt.NDArray[np.uint8], answers: Sequence[Answer]) -> list[tuple[str, ...]]:
        """Return the reasons to doubt each answer; none for an answer like most.

        Args:
          images: uint8 [N, ...], as the model saw them.
          answers: one to each.
        """
        if not len(images):
            return []
        sure, ratio, near = self._measured(images, answers)
        found = {
            UNSURE: sure < self._least_sure,
            OTHER_CLASS: ratio > self._largest_ratio,
            UNLIKE: near > self._furthest,
        }
        return [tuple(reason for reason, holds in found.items() if holds[i]) for i in range(len(images))]

    def _calibrated(self, rows: ImageRows, answers: Sequence[Answer]) -> Calibration:
        reasons = self.doubts(rows.images, answers)
        doubted = np.array([bool(own) for own in reasons])
        wrong = np.array([answer.label for answer in answers]) != rows.labels
        return Calibration(
            rows=len(rows),
            doubted=round(float(doubted.mean()), 4),
            unlike=round(sum(UNLIKE in own for own in reasons) / len(reasons), 4),
            wrong=int(wrong.sum()),
            wrong_doubted=int((wrong & doubted).sum()),
        )

    def _measured(self, images: npt.NDArray[Any], answers: Sequence[Answer]) -> tuple[Floats, Floats, Floats]:
        """Return probability, distance to the own class over that to the nearest other, and distance to any row."""
        scaled = _scaled(images, self._settings.pixel_max)
        parts = [self._distances(scaled[at : at + _BLOCK]) for at in range(0, len(scaled), _BLOCK)]
        by_class = np.concatenate([part for part, _ in parts])
        near = np.concatenate([part for _, part in parts])
        rows, own = np.arange(len(scaled)), np.array([answer.label for answer in answers])
        to_own = by_class[rows, own]
        by_class[rows, own] = np.inf
        ratio = to_own / np.maximum(by_class.min(axis=1), 1e-6)
        return np.array([answer.probability for answer in answers], np.float32), ratio, near

    def _distances(self, images: Floats) -> tuple[Floats, Floats]:
        squares = (images**2).sum(1)[:, None] + (self._train**2).sum(1)[None] - 2 * images @ self._train.T
        distances = np.sqrt(np.maximum(squares, 0))
        labels = range(self._settings.label_count)
        by_class = np.stack([_nearest(distances[:, self._labels == label]) for label in labels], axis=1)
        return by_class, _nearest(distances)


def _nearest(distances: Floats) -> Floats:
    """Return the mean of the smallest few in each row; further than anything where there is none."""
    count = min(NEAREST, distances.shape[1])
    if not count:
        return np.full(len(distances), _NOWHERE, np.float32)
    means: Floats = np.partition(distances, count - 1, axis=1)[:, :count].mean(axis=1)
    return means


def _scaled(images: npt.NDArray[Any], pixel_max: int) -> Floats:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(pixel_max)
