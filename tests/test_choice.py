"""The choice that a model came out of: told of the run that pushed it, and of no other."""

from types import SimpleNamespace

import pytest

from pipeline.provenance import choice

SWEEP = {
    "id": "sweep-1",
    "role": "chosen",
    "by": choice.BY,
    "values": {"seed": 1},
    "candidates": [
        {"run_id": "run-0", "values": {"seed": 0}, "status": "failed", "validation_accuracy": None, "validation_loss": None},
        {"run_id": "run-1", "values": {"seed": 1}, "status": "candidate", "validation_accuracy": 0.98765, "validation_loss": 0.1},
    ],
}  # fmt: skip


def of(sweep):
    return choice.of_run(SimpleNamespace(run_id="run-2", sweep=sweep))


def test_a_chosen_run_names_its_candidates_and_what_they_were_judged_by():
    found = of(SWEEP)
    assert found.sentence == "chosen among 2 candidates by validation accuracy (0.9877)"
    assert (found.chosen.run_id, [one.run_id for one in found.candidates]) == ("run-1", ["run-0", "run-1"])
    assert found.to_dict()["candidates"][0] == {"run_id": "run-0", "values": {"seed": 0}, "validation_accuracy": None}


@pytest.mark.parametrize(
    "sweep",
    [None, {"id": "sweep-1", "role": "candidate", "values": {}}, {**SWEEP, "candidates": [{"run_id": 3}]}, {"role": "chosen"}],
)  # fmt: skip
def test_a_run_of_its_own_a_candidate_and_what_nobody_of_ours_wrote_have_no_choice(sweep):
    assert of(sweep) is None


def test_a_run_that_left_no_record_has_none():
    assert choice.of_run(None) is None
