"""A second model on the same root: compared with the first, served after it, and a step back when asked for."""

import shutil

import pytest
from command_line import mnist_tfx

from components.digest import tree_digest
from pipeline.provenance.ledger import Event, read_ledger

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_second_model_is_compared_with_the_served_one_and_gets_the_next_version(root, digits_folder):
    first = tree_digest(root / "serving" / "1")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--seed", 1, "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["baseline"], answer.json["version"]) == ("version 1", 2)
    assert answer.states()["Transform"] == "cached"
    assert tree_digest(root / "serving" / "1") == first
    back = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert (back.json["baseline"], back.json["version"]) == ("version 2", 3)
    assert back.states()["Classifier"] == "cached"
    assert tree_digest(root / "serving" / "3") == first
    pushes = [
        line.details["version"] for line in read_ledger(root / "ledger.jsonl").lines if line.event == Event.PUSHED
    ]
    assert pushes == [1, 2, 3]


def test_a_model_that_is_clearly_worse_than_the_served_one_is_not_served(root, digits_folder):
    weak = ("--set", "classifier.epochs=1", "--set", "evaluation={accuracy: 0.1, class_accuracy: 0.0, loss: 9}")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, *weak, "--json")
    assert answer.code == 3
    assert "accuracy less that of version 1" in answer.error
    assert [path.name for path in (root / "serving").iterdir() if path.name.isdecimal()] == ["1"]


def test_a_version_that_was_removed_by_hand_is_served_again_under_a_new_number(root, digits_folder):
    shutil.rmtree(root / "serving" / "1")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.json["version"] == 2
    assert [node for node, state in answer.states().items() if state == "executed"] == ["Pusher"]
