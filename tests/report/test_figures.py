"""Intervals, choices and calibration, against values worked out elsewhere."""

import numpy as np
import pytest

from components.intervals import wilson
from pipeline.lineage.export.html import figure
from pipeline.report.choices import NONE, by_error, confident_mistakes, of_each_class
from pipeline.report.sections.classification import class_figures, confusion, reliability


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962), (1, 1, 0.2065, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson_gives_the_known_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_best_median_and_worst_are_taken_class_by_class():
    errors = np.array([5.0, 1.0, 3.0, 2.0, 9.0])
    labels = np.array([0, 0, 0, 2, 2])
    assert by_error(errors, labels, 3).tolist() == [[1, 2, 0], [NONE] * 3, [3, 4, 4]]


def test_the_first_rows_of_each_class_are_taken():
    assert of_each_class(np.array([1, 0, 1, 1, 0]), 2, 2).tolist() == [1, 4, 0, 2]


def test_mistakes_come_surest_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    assert confident_mistakes(probabilities, np.array([1, 0, 1])).tolist() == [1, 0]
    assert confident_mistakes(probabilities, np.array([1, 0, 1]), count=1).tolist() == [1]


def test_precision_and_recall_are_those_of_the_confusion_matrix():
    probabilities = np.eye(3)[[0, 0, 1, 1, 1]]
    counts = confusion(probabilities, np.array([0, 0, 1, 0, 1]), 3)
    first, second, third = class_figures(counts, ("0", "1", "2"))
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert (first.precision.rate, first.recall.rate) == (1.0, 2 / 3)
    assert (second.precision.rate, second.recall.rate) == (2 / 3, 1.0)
    assert (third.precision.rate, third.recall.rate) == (None, None)


def test_the_calibration_error_is_the_weighted_distance():
    probabilities = np.array([[0.75, 0.25]] * 4 + [[0.95, 0.05]] * 4)
    labels = np.array([0, 0, 1, 1, 0, 0, 0, 0])
    rows, confidence, accuracy, error = reliability(probabilities, labels)
    assert rows[[7, 9]].tolist() == [4, 4]
    assert confidence[[7, 9]] == pytest.approx([0.75, 0.95])
    assert accuracy[[7, 9]] == pytest.approx([0.5, 1.0])
    assert error == pytest.approx((0.25 + 0.05) / 2)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0.98507, "0.9851"),
        (0.00012, "1.20e-04"),
        (10.0, "10"),
        (0.0, "0.0000"),
        (54000, "54,000"),
        ("x", "x"),
    ],
)
def test_figures_have_four_places(value, shown):
    assert figure(value) == shown
