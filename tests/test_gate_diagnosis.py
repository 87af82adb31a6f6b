"""What a refusal of the gate says: the cause in the words of people who have the data, and the commands that mend it."""

import numpy as np
import pytest
from gate_artifacts import DIGITS, MNIST, Artifacts, cut, digits

from components.errors import AGAIN, Refused
from components.schema_gate.check import Check
from components.schema_gate.diagnosis import refusal
from components.settings import DataSettings


def refused(folder, splits, data=DIGITS, **gates):
    with pytest.raises(Refused) as error:
        Artifacts(folder, splits, data).run(**gates)
    return error.value


def kept(rows, where):
    pixels, labels = rows
    return pixels[where(labels)], labels[where(labels)]


def sent(error):
    """The commands without their remarks."""
    return [command.partition(" # ")[0] for command in error.commands]


def test_emnist_digits_transposed_images_are_called_so_first_and_the_flag_is_named(tmp_path):
    pixels, labels = digits()
    turned = pixels.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(pixels.shape)
    error = refused(tmp_path, cut(turned, labels))
    assert error.what == "the images look transposed (columns written as rows)"
    assert sent(error) == [f"{AGAIN} --transpose"]


def test_fashion_other_data_of_a_known_geometry_are_said_to_be_so_with_the_commands_of_a_schema_of_their_own(tmp_path):
    pixels, labels = digits()
    noise = np.random.default_rng(0).permuted(pixels, axis=1)
    error = refused(tmp_path, cut(noise, labels))
    assert error.what == "images of the geometry 8x8-max16-labels10, but unlike the UCI digits: they are other data"
    assert sent(error) == [
        "mnist-tfx schema propose ... --shape 8 8 --pixel-max 16 --labels 10",
        "mnist-tfx schema approve schema-drafts/8x8-max16-labels10.pbtxt",
        f"{AGAIN} --schema schemas",
    ]


def test_tiny20_too_few_rows_are_refused_before_training_by_their_number(tmp_path):
    pixels, labels = digits()
    error = refused(tmp_path, cut(pixels[:20], labels[:20]))
    assert error.what == "only 20 rows in all: too few to train, validate and test a model"
    assert error.hint.endswith("nothing was trained")


def test_one_row_of_a_class_in_train_is_refused_and_fewer_than_ten_are_a_warning(tmp_path):
    splits = cut(*digits())
    for kept_rows, (stops, warns) in {1: (1, 1), 2: (0, 1), 9: (0, 1), 10: (0, 0)}.items():
        pixels, labels = splits["train"]
        where = np.flatnonzero(labels != 3).tolist() + np.flatnonzero(labels == 3)[:kept_rows].tolist()
        train = (pixels[where], labels[where])
        folder = tmp_path / str(kept_rows)
        folder.mkdir()
        found = Artifacts(folder, {**splits, "train": train}, DIGITS).judge(drift="off", skew="off")
        few = [check for check in found if check.rule == "few rows"]
        assert (sum(c.stops for c in few), sum(c.warns for c in few)) == (stops, warns)


def test_fewer_than_fifty_rows_in_all_are_a_warning(tmp_path):
    pixels, labels = digits()
    splits = {"train": (pixels[:30], labels[:30]), "test": (pixels[30:49], labels[30:49])}
    few = [check for check in Artifacts(tmp_path, splits, DIGITS).judge() if check.rule == "few rows"]
    assert next(check.detail for check in few if check.warns).startswith("only 49 rows in all")


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_class_of_a_split_is_refused_whatever_the_policy_of_drift(tmp_path, split):
    splits = cut(*digits())
    changed = {**splits, split: kept(splits[split], lambda labels: labels != 7)}
    error = refused(tmp_path, changed, drift="off", skew="off")
    assert error.what == f"no rows of class 7 in {split}"
    assert sent(error)[-1] == f"{AGAIN} --set 'data.empty_classes=[7]'"


def test_onebased_labels_are_called_so_and_the_offset_is_named():
    data = DataSettings(shape=(8, 8), pixel_max=16, label_count=11)
    missing = {"rule": "empty class", "feature": "label", "value": 1, "detail": "no rows of class 0", "classes": (0,)}
    checks = [Check(split=split, **missing) for split in ("train", "test")]
    error = refusal(checks, data)
    assert error.what == "no rows of class 0 in any split: the labels look one-based"
    assert sent(error)[0] == f"{AGAIN} --label-offset 1 --set data.label_count=10"


def test_oneclass_is_said_by_the_class_that_there_is(tmp_path):
    error = refused(tmp_path, {s: kept(rows, lambda labels: labels == 3) for s, rows in cut(*digits()).items()})
    assert error.what == "no rows of any class but 3 in train and test"


def test_imbalanced_shares_are_said_to_differ_and_not_blamed_on_the_images(tmp_path):
    pixels, labels = digits()
    where = np.flatnonzero((labels == 1) | (np.arange(len(labels)) % 4 == 0))
    error = refused(tmp_path, cut(pixels[where], labels[where]))
    assert error.what.startswith("the classes are not as frequent as in the UCI digits")
    assert sent(error)[-1] == f"{AGAIN} --set gates.drift=warn"


def test_a_reference_of_ones_own_is_not_called_mnists():
    checks = [Check(rule="drift", split="train", feature="image", value=1, detail="row 1", aspect="rows")]
    assert "unlike MNIST:" in refusal(checks, MNIST).what
    assert "its reviewed reference" in refusal(checks, MNIST, built_in=False).what


@pytest.mark.parametrize("rule", ["leaks", "conflicts", "duplicates"])
def test_a_policy_that_refused_is_named_by_its_key(rule):
    checks = [Check(rule=rule, split="train/test", feature="image", value=3, detail="3 test images are in train too")]
    assert sent(refusal(checks, DIGITS)) == [f"{AGAIN} --set gates.{rule}=warn"]
