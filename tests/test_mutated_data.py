"""Damaged data files end in words of ours, and soon; `python tests/mutated_data.py 20000` tries many more."""

from collections import Counter

import pytest
from mutated_data import outcome

FILES = 400


@pytest.mark.parametrize("form", ["csv", "idx"])
def test_a_damaged_file_is_read_or_refused_in_one_line_within_a_second(tmp_path, form):
    found = Counter(outcome(form, seed, tmp_path) for seed in range(FILES))
    assert set(found) == {"read", "refused"}, found
    assert found["read"] > FILES // 20
