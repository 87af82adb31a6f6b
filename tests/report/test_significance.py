"""McNemar's test: as SciPy computes it, in words, and the same from either side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.report.significance import mcnemar


def _rows(both, only_first, only_second, neither=0):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return np.array(first, dtype=bool), np.array(second, dtype=bool)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_p_value_is_that_of_the_two_sided_binomial_test(one, other):
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(*_rows(7, one, other, 3)).p_value == pytest.approx(expected)


def test_many_discordant_rows_come_near_the_chi_squared_value():
    one, other = 520, 430
    corrected = (abs(one - other) - 1) ** 2 / (one + other)
    assert mcnemar(*_rows(0, one, other)).p_value == pytest.approx(stats.chi2.sf(corrected, 1), rel=0.01)


def test_either_order_finds_the_same_chance_and_names_the_better_one():
    first, second = _rows(100, 2, 20)
    there, back = mcnemar(first, second), mcnemar(second, first)
    assert there.p_value == back.p_value
    assert there.sentence.startswith("the second is better by more than chance: 2 to 20")
    assert back.sentence.startswith("the first is better")


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ((0, 0), "both are right and wrong on the same rows: nothing tells them apart"),
        ((5, 5), "the difference means nothing: 5 to 5 of the rows that one of them alone gets right, as uneven by"),
        ((3, 9), "the difference means nothing: 3 to 9 "),
        ((0, 6), "the second is better by more than chance: 0 to 6 "),
    ],
)
def test_a_difference_is_called_nothing_unless_chance_explains_it_seldom(split, sentence):
    assert mcnemar(*_rows(20, *split)).sentence.startswith(sentence)


def test_answers_to_other_rows_are_not_compared():
    with pytest.raises(ValueError, match="rows of the one"):
        mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
