"""Two runs side by side: what differs, what is better, what they disagree on, and what cannot be compared."""

import dataclasses

import numpy as np
import pytest

from components.errors import BadInput
from pipeline.report import compare
from pipeline.report import run_data as gathering
from pipeline.report.page import rendered


@pytest.fixture
def second(evidence):
    settings = {**evidence.run.settings, "seed": 7}
    metrics = {**evidence.run.metrics, "accuracy": 0.95, "loss": 0.4}
    run = dataclasses.replace(evidence.run, run_id="run-2", settings=settings, metrics=metrics)
    return dataclasses.replace(evidence, run=run)


def test_only_settings_that_differ_are_named_and_one_that_is_missing_is_a_dash():
    first = {"seed": 0, "classifier": {"epochs": 3, "layers": [8]}}
    second = {"seed": 0, "classifier": {"epochs": 5, "layers": [8], "jit": True}}
    found = {setting.name: setting.values for setting in compare.differing(first, second)}
    assert found == {"classifier.epochs": ("3", "5"), "classifier.jit": ("\N{EN DASH}", "true")}


def test_the_better_figure_is_marked_whichever_way_better_is(evidence, second, answers):
    figures = {one.name: one for one in compare.comparison((evidence, second), (answers, answers)).figures}
    assert figures["accuracy"].better == 1
    assert figures["loss"].better == 0
    assert figures["reconstruction mse"].better is None
    assert figures["accuracy"].change == pytest.approx(0.05)


def test_rows_that_are_taken_for_different_classes_come_surest_first():
    first = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    second = np.array([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    assert compare.disagreeing(first, second).tolist() == [1, 2]


def test_the_disagreement_and_the_change_of_the_confusion_are_shown(evidence, second, answers):
    better = {**answers, "probabilities": answers["probabilities"].copy()}
    better["probabilities"][0] = (0.98, 0.01, 0.01)
    found = compare.comparison((evidence, second), (answers, better))
    (one,) = found.disagreements
    assert (one.label, one.said) == ("0", ("1", "0"))
    assert (found.confusion[0][0].points, found.confusion[0][0].shade) == (pytest.approx(10), "up5")
    assert (found.confusion[0][1].points, found.confusion[0][1].shade) == (pytest.approx(-10), "up5")
    assert "0.9800" not in rendered("compare.html.j2", it=found, unanswered="")


def test_a_run_without_a_model_is_compared_in_what_it_has(evidence, second, answers):
    found = compare.comparison((evidence, second), (answers, {}))
    assert found.absent == "one of the runs has no model"
    assert found.settings
    assert "Left out: one of the runs has no model" in rendered("compare.html.j2", it=found, unanswered="")


def test_other_test_rows_are_not_compared(evidence, second, answers, monkeypatch):
    monkeypatch.setattr(type(second), "digest", lambda self, *_: self.run.run_id)
    assert (
        compare.comparison((evidence, second), (answers, answers)).absent
        == "the runs have different data, so rows are not set side by side"
    )


def test_a_run_is_not_compared_with_itself(evidence, monkeypatch):
    monkeypatch.setattr(gathering, "gather", lambda _root, _run_id: evidence)
    with pytest.raises(BadInput, match="the same run twice"):
        compare.write(evidence.paths.root, ("run-1", "run"))


def test_both_pages_of_a_comparison_are_one_file(evidence, second, answers, monkeypatch):
    both = {"run-1": evidence, "run-2": second}
    monkeypatch.setattr(gathering, "gather", lambda _root, run_id: both[run_id])
    monkeypatch.setattr(compare, "answered", lambda *_: answers)
    made = compare.write(evidence.paths.root, ("run-1", "run-2"))
    assert made.path.name == "run-1--run-2.html"
    assert made.run_ids == ["run-1", "run-2"]


def test_the_page_says_when_a_difference_means_nothing(evidence, second, answers):
    found = compare.comparison((evidence, second), (answers, answers))
    assert found.significance is not None
    assert found.significance.discordant == 0
    page = rendered("compare.html.j2", it=found, unanswered="")
    assert "both are right and wrong on the same rows: nothing tells them apart" in page
