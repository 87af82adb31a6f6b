"""Runs side by side: figures, settings, and whether the difference means anything."""

import html
import re
import threading

import numpy as np
import pytest
from server import many_runs

from components.errors import BadInput
from pipeline.lineage.history import HistoryReader
from pipeline.predict.server.pages import comparison
from pipeline.predict.server.pages.background import Background
from pipeline.provenance.runs import runs
from pipeline.report import example_rows, run_data


@pytest.fixture(scope="module")
def root(first_run, tmp_path_factory):
    """A root with three runs on the same data, the second with another seed, the third of other settings still."""
    root = many_runs.history_only(first_run[0], tmp_path_factory.mktemp("compared"))
    (root / "artifacts").symlink_to(first_run[0] / "artifacts")
    (first,) = runs(root)
    worse = {**first.metrics, "accuracy": 0.5}
    many_runs.add_run(root, 2, push=True, settings={**first.settings, "seed": 99}, metrics=worse)
    many_runs.add_run(root, 3, settings={**first.settings, "seed": 98, "<b>": "<i>"})
    return root


def words(page):
    return html.unescape(" ".join(re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", " ", page.text, flags=re.DOTALL).split()))


def address(root, *places):
    known = runs(root)
    return "/compare?" + "&".join(f"run={known[place].run_id}" for place in places)


def test_figures_and_settings_are_side_by_side_and_the_kept_answers_are_compared(root):
    page = many_runs.pages(root).get(address(root, 0, 1, 2))
    shown = words(page)
    assert "3 runs side by side 2 settings apart, on the same data" in shown
    assert re.search(r"accuracy 0\.98\d\d 0\.9[67]\d\d to 0\.99\d\d 0\.5000", shown)
    assert re.search(r"seed \d+ 99 98", shown)
    # The copies of a run have its model.
    assert shown.count("both are right and wrong on the same rows: nothing tells them apart") == 2
    assert "<b>" in shown
    assert '<th scope="row"><b>' not in page.text


def known_answers(root, hashes, wrong):
    """Return answers of which the first run has none wrong, and the second so many."""
    first = run_data.gather(root, runs(root)[0].run_id)
    labels = example_rows.read(first.artifact("ExampleGen", "examples"), "test", first.settings.data.pixels).labels
    right = np.eye(10)[labels]
    worse = right.copy()
    worse[:wrong] = np.roll(right[:wrong], 1, axis=1)
    answers = Background({hashes[0]: {"probabilities": right}, hashes[1]: {"probabilities": worse}}.__getitem__)
    for one in hashes:
        answers.start(one).result()
    return answers


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(3, "the difference means nothing: 3 to 0"), (40, "the first is better by more than chance: 40 to 0")],
)
def test_it_says_whether_a_difference_means_anything(root, wrong, said):
    reader = HistoryReader(root)
    hashes = comparison.require(reader.read(), [run.run_id for run in runs(root)[:2]])
    shown = comparison.comparison(reader, root, hashes, known_answers(root, hashes, wrong))
    (contest,) = shown.contests
    assert contest.significance is not None
    assert contest.significance.sentence.startswith(said)


def test_models_that_are_still_being_asked_are_waited_for_and_no_longer(root):
    asked = threading.Event()

    def ask(_):
        assert asked.wait(30)
        return {}

    answers = Background(ask)
    reader = HistoryReader(root)
    hashes = comparison.require(reader.read(), [run.run_id for run in runs(root)[:2]])
    futures = [answers.start(one) for one in hashes]
    assert answers.start(hashes[0]) is futures[0]
    assert comparison.comparison(reader, root, hashes, answers).contests[0].waits
    asked.set()
    for future in futures:
        assert future.result(30) == {}
    (contest,) = comparison.comparison(reader, root, hashes, answers).contests
    assert contest.why_not == "one of the runs has no model"


@pytest.mark.parametrize(
    "query", ["", "?run=a", "?run=a&run=a", "?run=a&run=b", "?" + "&".join(f"run={n}" for n in range(9))]
)
def test_what_cannot_be_compared_is_said_in_a_page(root, query):
    page = many_runs.pages(root).get(f"/compare{query}")
    assert page.status_code == 404
    assert 'role="alert"' in page.text


def test_a_run_without_a_record_is_not_compared(root):
    history = HistoryReader(root).read()
    with pytest.raises(BadInput, match="no such run"):
        comparison.require(history, ["one", "two"])
