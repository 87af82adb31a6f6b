"""A network of the user's own on the digits: digested, kept, compared, audited, and run again without the user's files.

The digits are Parquet here, in shards below a folder as the Hugging Face hub has them, and are gone afterwards as well.
"""

import os
import shutil

import numpy as np
import pytest
from command_line import in_process, mnist_tfx
from data_forms import write_parquet
from sklearn.datasets import load_digits

from pipeline.provenance.own_code import PREFIX

pytestmark = pytest.mark.e2e

NETS = """
import keras
from keras import layers

from .blocks import block

def build(data, settings):
    inputs = keras.Input((*data.shape, 1))
    return keras.Model(inputs, layers.Dense(data.label_count)(layers.Flatten()(block(inputs))))
"""
BLOCKS = """
from keras import layers

FILTERS = {filters}

def block(inputs):
    return layers.MaxPooling2D()(layers.Conv2D(FILTERS, 3, padding="same", activation="relu")(inputs))
"""
RECIPE = """
extends: digits
name: own
deterministic: true
autoencoder: null
classifier: {build: 'my_package.nets:build', epochs: 3}
evaluation: {reconstruction_mse: null, accuracy: 0.2, class_accuracy: 0.0, loss: null, baseline_margin: 0.9}
"""


def write(project, filters):
    (project / "my_package").mkdir(parents=True, exist_ok=True)
    (project / "my_package" / "nets.py").write_text(NETS)
    (project / "my_package" / "blocks.py").write_text(BLOCKS.format(filters=filters))
    (project / "own.yaml").write_text(RECIPE)


DIGITS = load_digits()


def write_shards(folder):
    """Writes the digits as two shards and returns the second, whose first row is row 900 of the train part."""
    images, labels = DIGITS.images.astype(np.uint8), DIGITS.target
    write_parquet(folder / "digits" / "train-00000-of-00002.parquet", images[:900], labels[:900])
    return write_parquet(folder / "digits" / "train-00001-of-00002.parquet", images[900:], labels[900:])


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory):
    """A root with two versions, whose networks differ by a constant in a module that the named one imports.

    The user's files are gone afterwards.
    """
    folder = tmp_path_factory.mktemp("own")
    project, root, data = folder / "project", folder / "root", folder / "data"
    write_shards(data)
    for filters in (4, 6):
        write(project, filters)
        answer = mnist_tfx("run", "--data", data, "--root", root, "--recipe", project / "own.yaml", "--json")
        assert answer.code == 0, answer.err
    assert answer.states()["Transform"] == "cached"
    assert answer.states()["Classifier"] == "executed"
    assert (
        next(n["why"] for n in answer.json["nodes"] if n["id"] == "Classifier") == "code changed: my_package/blocks.py"
    )
    shutil.rmtree(project)
    shutil.rmtree(data)
    return root


@pytest.fixture
def copy(two_versions, tmp_path):
    shutil.copytree(two_versions, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_a_shard_is_found_by_its_bytes_and_by_its_rows_and_a_row_is_proven(two_versions, tmp_path):
    shard = write_shards(tmp_path)
    for path, match in ((shard, "payload"), (shard.parents[1], "rows")):
        found = in_process("lineage", "impact", path, "--root", two_versions, "--json").json
        assert (found["answer"], {model["match"] for model in found["models"]}) == ("yes", {match})
    found = in_process(
        "lineage", "prove", "--index", 5, "--root", two_versions, "-o", tmp_path / "p.json", "--json"
    ).json
    names = [file["name"] for file in in_process("lineage", "trace", "--root", two_versions, "--json").json["data"]]
    assert (found["proof"]["claim"], sorted(names)) == (
        "included",
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
    )


def test_a_diff_shows_the_lines_that_changed(two_versions):
    found = mnist_tfx("lineage", "diff", 1, 2, "--root", two_versions, "--json").json
    assert found["verdict"] == "code (1)"
    (section,) = [section for section in found["sections"] if section["kind"] == "code"]
    (change,) = section["changes"]
    assert (change["key"], change["nodes"]) == ("my_package/blocks.py", ["Classifier"])
    assert [line for line in change["lines"] if line[0] in "+-"] == ["-FILTERS = 4", "+FILTERS = 6"]


def test_a_version_comes_out_bit_for_bit_without_the_users_files(two_versions):
    answer = mnist_tfx("lineage", "reproduce", 1, "--root", two_versions, "--json")
    assert answer.code == 0, answer.out + answer.err
    assert (answer.json["verdict"], answer.json["bits_promised"], answer.json["notes"]) == ("bit for bit", True, [])


def test_an_audit_says_whose_code_it_was_and_checks_the_copy(copy):
    audit = mnist_tfx("lineage", "audit", "1", "--root", copy, "--json").json["audits"][0]
    assert audit["own_code"] == {f"my_package/{name}.py": ["Classifier"] for name in ("blocks", "nets")}
    assert audit["verdicts"]["INTEGRITY"] == "PASS"
    for folder in (copy / "inputs").glob(f"{PREFIX}*"):
        (folder / "my_package" / "blocks.py").write_text(BLOCKS.format(filters=5))
    answer = mnist_tfx("lineage", "audit", "1", "--root", copy, "--json")
    (finding,) = [one for one in answer.json["audits"][0]["findings"] if one["verdict"] == "INTEGRITY"]
    assert (finding["link"], finding["what"]) == ("code copy", "was changed")


def test_a_collection_of_garbage_keeps_the_code_of_what_is_served(copy):
    before = sorted(os.listdir(copy / "inputs"))
    answer = mnist_tfx("lineage", "gc", "--root", copy, "--keep-runs", 1, "--json")
    assert answer.code == 0, answer.err
    assert sorted(os.listdir(copy / "inputs")) == before


def test_a_network_that_gives_other_outputs_is_refused_in_one_line_and_nothing_is_served(
    tmp_path, digits_folder, two_versions
):
    del two_versions  # before the others wait for a machine
    write(tmp_path, 4)
    (tmp_path / "my_package" / "nets.py").write_text(NETS.replace("data.label_count", "7"))
    arguments = ("--data", digits_folder, "--root", tmp_path / "root", "--recipe", tmp_path / "own.yaml")
    answer = mnist_tfx("run", *arguments)
    assert answer.code == 2
    assert "classifier.build: my_package.nets:build: gives other outputs: wanted [N, 10], got [N, 7]" in answer.err
    assert not (tmp_path / "root" / "serving" / "1").exists()
