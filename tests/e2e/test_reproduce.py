"""A deterministic training on the digits comes out bit for bit; what was tampered with does not."""

import shutil

import pytest
from command_line import mnist_tfx

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT = (
    "deterministic=true",
    "autoencoder.epochs=3",
    "classifier.epochs=3",
    "evaluation.accuracy=0.1",
    "evaluation.class_accuracy=0",
    "evaluation.loss=10",
    "evaluation.reconstruction_mse=1",
    "evaluation.baseline_margin=0.5",
)
OVERRIDES = [argument for setting in SHORT for argument in ("--set", setting)]


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory, digits_folder):
    """A root with two versions that differ by their seed."""
    root = tmp_path_factory.mktemp("deterministic") / "root"
    for seed in (0, 1):
        answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--seed", seed, *OVERRIDES)
        assert answer.code == 0, answer.err
    return root


@pytest.fixture
def copy(two_versions, tmp_path):
    shutil.copytree(two_versions, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_two_runs_with_another_seed_differ_by_nothing_but_the_seed(two_versions):
    answer = mnist_tfx("lineage", "diff", 1, 2, "--root", two_versions, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["verdict"] == "nothing but the seed"
    assert answer.json["weights"]["differing"] > 0
    assert answer.json["unknown"] == []


def test_a_version_made_with_an_older_baseline_comes_out_bit_for_bit(two_versions, tmp_path):
    answer = mnist_tfx("lineage", "reproduce", 2, "--root", two_versions, "--to", tmp_path / "again", "--json")
    assert answer.code == 0, answer.out + answer.err
    assert (answer.json["verdict"], answer.json["bits_promised"]) == ("bit for bit", True)
    assert answer.json["differing_tensors"] == []
    assert all(figure["equal"] for figure in answer.json["metrics"])
    assert "Classifier" in answer.err
    assert (tmp_path / "again" / "serving" / "1" / "saved_model.pb").is_file()


def test_a_served_weight_that_was_changed_is_not_reproduced_and_named(copy):
    data = copy / "serving" / "1" / "variables" / "variables.data-00000-of-00001"
    changed = bytearray(data.read_bytes())
    changed[2] ^= 1
    data.write_bytes(changed)
    answer = mnist_tfx("lineage", "reproduce", 1, "--root", copy, "--json")
    assert answer.code == 1
    assert answer.json["verdict"] == "not reproduced"
    assert len(answer.json["differing_tensors"]) == 1
    assert "serving/1: not the bytes that were recorded" in answer.json["findings"][0]


def without_last_rows(file, target, *, header, row, left_out):
    """Writes an IDX file with fewer rows: magic, count, further dimensions, rows of so many bytes."""
    data = file.read_bytes()
    count = int.from_bytes(data[4:8], "big") - left_out
    target.write_bytes(data[:4] + count.to_bytes(4, "big") + data[8 : header + count * row])


def test_fewer_rows_in_place_of_the_copies_are_said(copy, tmp_path):
    inputs = next(copy.glob("inputs/*/train-images")).parent
    other = tmp_path / "other"
    other.mkdir()
    without_last_rows(inputs / "train-images", other / "train-images-idx3-ubyte", header=16, row=64, left_out=100)
    without_last_rows(inputs / "train-labels", other / "train-labels-idx1-ubyte", header=8, row=1, left_out=100)
    answer = mnist_tfx("lineage", "reproduce", 1, "--root", copy, "--data", other)
    assert "data could not be pinned (100)" in answer.out
    assert "removed" in answer.out


def test_a_missing_copy_of_the_data_is_one_line_and_exit_code_4(copy):
    next(copy.glob("inputs/*/train-labels")).unlink()
    answer = mnist_tfx("lineage", "reproduce", 1, "--root", copy)
    assert answer.code == 4
    assert answer.err.count("\n") == 1
    assert "--data" in answer.err
