"""Values of recipe sections that no run could use are refused with the reason."""

import pytest
from pydantic import ValidationError

from components.settings import DataSettings, HashSplit, parse_split


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        pytest.param(0.0, 0.2, "greater than 0", id="no validation"),
        pytest.param(0.5, 0.5, r"validation 0.5 and test 0.5 leave no rows to train on", id="nothing left"),
        pytest.param(0.9, 0.3, r"validation 0.9 and test 0.3 leave no rows to train on", id="more than all"),
        pytest.param(1.0, 0.0, "less than 1", id="validation alone"),
        pytest.param(0.1, -0.1, "greater than or equal to 0", id="less than nothing"),
    ],
)
def test_shares_that_leave_a_split_empty_are_refused(validation, test, message):
    with pytest.raises(ValidationError, match=message):
        DataSettings(shape=(2, 2), pixel_max=1, split={"validation": validation, "test": test})


def test_shares_may_leave_a_sliver_to_train_on():
    assert HashSplit(validation=0.5, test=0.49).validation == 0.5
    assert HashSplit(validation=0.999, test=0.0).test == 0.0


@pytest.mark.parametrize(
    ("text", "parsed"), [("tail:10000", ("tail", (10_000,))), ("rows:7500,2500", ("rows", (7_500, 2_500)))]
)
def test_a_split_by_number_is_parsed(text, parsed):
    assert parse_split(text) == parsed
    assert DataSettings(shape=(2, 2), pixel_max=1, split=text).split == text


@pytest.mark.parametrize("text", ["tail:0", "rows:5", "rows:5,0", "head:5", "tail:5,5"])
def test_a_split_that_says_nothing_usable_is_refused(text):
    with pytest.raises(ValidationError):
        DataSettings(shape=(2, 2), pixel_max=1, split=text)
