"""Sweeps: which combinations there are, which are refused, and which of them is chosen."""

from types import SimpleNamespace

import pytest

from components.errors import BadInput, EnvironmentProblem, Refused
from pipeline.config.request import Request
from pipeline.config.sweep import Point, check_points, parse, points
from pipeline.process.signals import Interrupted
from pipeline.runner.sweep import Candidate, choose

TWO = ("classifier.layers=[[64],[128,64]]", "seed=[0,1,2]")


def test_the_product_of_all_values_is_run_and_the_last_key_varies_fastest():
    found = points(Request(), TWO)
    assert [str(point) for point in found[:4]] == [
        "classifier.layers=[64] seed=0",
        "classifier.layers=[64] seed=1",
        "classifier.layers=[64] seed=2",
        "classifier.layers=[128,64] seed=0",
    ]
    assert (len(found), found[3].request.overrides, found[3].request.seed) == (6, ("classifier.layers=[128, 64]",), 0)


def test_text_and_null_are_values_as_in_a_recipe():
    key, values = parse("classifier.activation=[relu, tanh, null]")
    assert (key, values) == ("classifier.activation", ("relu", "tanh", None))
    assert points(Request(), ["classifier.activation=[relu]"])[0].request.overrides == ('classifier.activation="relu"',)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed", "not a sweep"),
        ("seed=3", "not a list of values"),
        ("seed=[]", "not a list of values"),
        ("seed=[1,1]", "has a value twice"),
        ("data.shape=[[8,8]]", "not in data"),
        ("evaluation.accuracy=[0.1,0.2]", "not in evaluation"),
        ("name=[a,b]", "not in name"),
    ],
)
def test_what_is_no_sweep_is_refused(text, says):
    with pytest.raises(BadInput, match=says):
        parse(text)


def test_a_key_that_is_given_one_value_as_well_is_refused():
    with pytest.raises(BadInput, match=r"leave out --set classifier\.epochs"):
        points(Request(overrides=("classifier.epochs=3",)), ["classifier.epochs=[1,2]"])
    with pytest.raises(BadInput, match="leave out --seed"):
        points(Request(seed=3), ["seed=[1,2]"])


def test_more_combinations_than_the_limit_are_refused_with_the_flag_that_allows_them():
    sweeps = ["seed=[0,1,2,3,4,5,6,7,8,9,10]", "classifier.epochs=[1,2,3,4,5,6,7,8,9,10]"]
    with pytest.raises(BadInput, match="wanted at most 100, got 110: --sweep-limit 110"):
        points(Request(), sweeps)
    assert len(points(Request(), sweeps, 110)) == 110


def test_an_unknown_key_and_a_wrong_value_of_any_combination_are_refused_at_once():
    with pytest.raises(BadInput, match=r"unknown key classifier\.layerz"):
        check_points(points(Request(), ["classifier.layerz=[[64],[32]]"]))
    with pytest.raises(BadInput, match=r"classifier\.epochs: wanted .*, got 0"):
        check_points(points(Request(), ["classifier.epochs=[3,0]"]))


def candidate(validation, error=None):
    return Candidate(
        point=Point(values={}, request=Request()),
        outcome=SimpleNamespace(error=error),
        validation=validation,
        seconds=1.0,
    )


def test_the_best_is_chosen_by_validation_and_of_equals_the_one_with_the_lower_loss():
    found = [candidate((0.9, 0.3)), candidate((0.95, 0.4)), candidate((0.95, 0.2)), candidate((0.95, 0.2))]
    assert choose(found) == (found[2], None)


def test_a_candidate_that_failed_does_not_lose_the_others_and_one_that_missed_its_floors_takes_part():
    found = [candidate(None, EnvironmentProblem("diverged")), candidate((0.9, 0.3), Refused("a floor"))]
    assert choose(found) == (found[1], None)


def test_nothing_is_chosen_where_nothing_was_trained_or_somebody_interrupted():
    error, stop = Refused("the gate"), Interrupted(2)
    assert choose([candidate(None, error)]) == (None, error)
    assert choose([candidate((0.9, 0.3)), candidate(None, stop)]) == (None, stop)
