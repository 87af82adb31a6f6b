"""`recipe list|show|check|new`: what comes along, what is wrong with a file, and a first recipe for a data set."""

import json

import numpy as np
import pytest
import yaml
from command_line import in_process
from sklearn.datasets import load_digits

from components.errors import BadInput
from components.features import TEST, TRAIN
from components.ingest import idx
from components.intervals import wilson
from pipeline.config import recipe_draft
from pipeline.config.recipe import load_recipe, profile_names
from pipeline.config.recipe_draft import Floors, recipe_name
from pipeline.config.recipe_file import recipe_names
from pipeline.datasets.inspection import inspect

DIGITS = load_digits()


@pytest.fixture
def folder(tmp_path):
    """A folder of IDX files: the UCI digits, the last 400 of them as test part."""
    images, labels = DIGITS.images.astype(np.uint8), DIGITS.target.astype(np.int64)
    for split, rows in (("train", slice(0, -400)), ("test", slice(-400, None))):
        idx.write_images(tmp_path / f"{split}-images-idx3-ubyte", np.ascontiguousarray(images[rows]))
        idx.write_labels(tmp_path / f"{split}-labels-idx1-ubyte", labels[rows])
    return tmp_path


def data_of(*arguments):
    answer = in_process(*arguments, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["data"]


def test_every_recipe_that_comes_along_has_a_line():
    lines = in_process("recipe", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert lines[1] == (
        "cnn                     28x28  no autoencoder, classifier 5x5x32-5x5x64-1024; profiles fast, paper"
    )


@pytest.mark.parametrize(("name", "profile"), [("mnist", None), ("cnn", "paper"), ("dnn", None)])
def test_what_is_shown_is_a_recipe_that_resolves_to_the_same(tmp_path, name, profile):
    arguments = [] if profile is None else ["--profile", profile]
    (tmp_path / "shown.yaml").write_text(in_process("recipe", "show", name, *arguments).out)
    assert load_recipe(str(tmp_path / "shown.yaml")) == load_recipe(name, profile=profile)


def test_a_recipe_is_shown_with_what_it_extends_and_its_profile(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: cnn\nname: mine\n")
    shown = data_of("recipe", "show", str(tmp_path / "mine.yaml"), "--set", "classifier.epochs=2")
    assert (shown["chain"], shown["profile"]) == ([str(tmp_path / "mine.yaml"), "cnn"], "fast")
    assert shown["recipe"]["classifier"]["epochs"] == 2
    assert shown["profiles"] == profile_names("cnn")


def test_a_check_says_all_that_is_wrong_in_any_profile_at_once(tmp_path):
    values = {"extends": "cnn", "name": "mine", "profiles": {"fast": {"classifer": {}}, "slow": {"seed": -1}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    answer = in_process("recipe", "check", str(tmp_path / "mine.yaml"))
    assert answer.code == 2
    assert "mine.yaml, which extends cnn: unknown key classifer" in answer.err
    assert "seed: wanted a whole number from 0 to 4294967295, got -1" in answer.err


def test_a_check_looks_for_the_users_own_code(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nname: mine\nclassifier: {build: 'own_nets:build'}\n")
    answer = in_process("recipe", "check", str(tmp_path / "mine.yaml"))
    assert (answer.code, "classifier.build: own_nets:build: no such module" in answer.err) == (2, True)
    (tmp_path / "own_nets.py").write_text("def build(data, settings): ...")
    answer = in_process("recipe", "check", str(tmp_path / "mine.yaml"))
    assert (answer.code, "classifier own_nets:build" in answer.out) == (0, True)


def test_a_check_of_a_right_recipe_says_what_it_is(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nname: mine\n")
    checked = data_of("recipe", "check", str(tmp_path / "mine.yaml"))
    assert (checked["geometry"], checked["profiles"]) == ("8x8-max16-labels10", [])
    assert checked["schema"].endswith("8x8-max16-labels10.pbtxt")


def test_a_new_recipe_is_what_was_seen_and_the_next_command_runs_it(folder):
    file = folder / "mine.yaml"
    answer = data_of("recipe", "new", "--from", str(folder), "-o", str(file))
    settings = load_recipe(str(file))
    assert (settings.name, settings.data.geometry, settings.autoencoder) == ("mine", "8x8-max16-labels10", None)
    assert settings.evaluation.accuracy == 0.5
    assert answer["commands"] == [f"mnist-tfx run --data {folder} --recipe {file}"]
    assert "# A first recipe for" in file.read_text()


def test_a_recipe_that_is_there_is_not_overwritten(folder):
    (folder / "mine.yaml").write_text("mine")
    answer = in_process("recipe", "new", "--from", str(folder), "-o", str(folder / "mine.yaml"))
    assert (answer.code, (folder / "mine.yaml").read_text()) == (2, "mine")
    assert "is there already, and nothing was written" in answer.err
    with pytest.raises(BadInput, match="is there already"):  # another process may be faster
        recipe_draft.write(inspect(folder), folder / "mine.yaml")
    assert (folder / "mine.yaml").read_text() == "mine"


def test_data_that_no_schema_fits_wants_one_before_the_run(folder):
    for split in ("train", "test"):
        file = folder / f"{split}-images-idx3-ubyte"
        idx.write_images(file, 16 - DIGITS.images.astype(np.uint8)[: 1397 if split == "train" else 400])
    commands = data_of("recipe", "new", "--from", str(folder), "-o", str(folder / "dark.yaml"))["commands"]
    assert [command.split()[1:3] for command in commands] == [
        ["schema", "propose"],
        ["schema", "approve"],
        ["run", "--data"],
    ]


def test_data_that_nothing_can_be_learnt_from_gets_no_recipe(folder):
    for split, rows in (("train", 1397), ("test", 400)):
        idx.write_labels(folder / f"{split}-labels-idx1-ubyte", np.zeros(rows, np.int64))
    answer = in_process("recipe", "new", "--from", str(folder), "-o", str(folder / "mine.yaml"))
    assert (answer.code, (folder / "mine.yaml").exists()) == (2, False)
    assert "one class alone" in answer.err


def test_floors_are_lower_where_chance_takes_more():
    few, many = Floors.of((5,) * 10), Floors.of((1000,) * 10)
    assert few.accuracy < many.accuracy < 0.55
    assert few.class_accuracy < many.class_accuracy < 0.275
    assert few.margin > many.margin


@pytest.mark.parametrize("counts", [(5,) * 10, (90, 5, 5), (1000, 10), (20, 20), (1, 1)])
def test_a_model_that_always_answers_the_commonest_class_is_under_the_floor(counts):
    floors = Floors.of(counts)
    assert floors.commonest < floors.accuracy < 1
    skilled = wilson((1 + floors.commonest) / 2 * sum(counts), sum(counts))[0]
    assert floors.accuracy == pytest.approx(max(skilled, floors.commonest), abs=0.26 if sum(counts) == 2 else 0.02)


@pytest.mark.parametrize(
    ("file", "name"),
    [("Letters 2.yaml", "letters-2"), ("2024.yml", "data-2024"), ("ü.yaml", "data"), ("a" * 60, "a" * 41)],
)
def test_a_recipe_is_named_after_its_file(tmp_path, file, name):
    assert recipe_name(tmp_path / file) == name


def test_without_a_test_part_the_floors_are_for_the_rows_that_become_one(folder):
    (folder / "test-images-idx3-ubyte").unlink()
    (folder / "test-labels-idx1-ubyte").unlink()
    found = inspect(folder)
    assert TEST not in found.counts
    expected = sum(int(0.2 * rows) for rows in found.counts[TRAIN])
    assert recipe_draft.floors_for(found).rows == expected
