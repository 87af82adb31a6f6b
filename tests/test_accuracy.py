"""The accuracy of a run's record and its interval."""

import pytest

from pipeline.provenance.accuracy import accuracy_of


def test_an_accuracy_has_the_interval_of_its_rows():
    found = accuracy_of({"accuracy": 0.9, "rows": 100})
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.8256, 0.9448)
    assert found.interval == "0.8256 to 0.9448 with 95 % confidence"


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        {},
        {"accuracy": None, "rows": 9},
        {"accuracy": 0.5},
        {"accuracy": 0.5, "rows": 0},
        {"accuracy": 7, "rows": 9},
    ],
)
def test_there_is_none_without_a_share_of_rows(metrics):
    assert accuracy_of(metrics) is None
