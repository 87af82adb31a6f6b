"""Artifacts as they are recorded, and how a difference on disk is named."""

import os

import pytest

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance.artifacts import ArtifactEntry, checked_path, difference, measure


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "artifacts" / "Classifier" / "model" / "7"
    (folder / "Format-Serving" / "variables").mkdir(parents=True)
    (folder / "Format-Serving" / "saved_model.pb").write_bytes(b"graph")
    (folder / "Format-Serving" / "variables" / "variables.data").write_bytes(b"weights")
    (folder / "training.json").write_bytes(b"{}")
    return measure(tmp_path, "artifacts/Classifier/model/7", type_name="Model", properties={"epochs": 3})


def test_a_model_has_the_digest_of_its_savedmodel_alone(model, tmp_path):
    assert model.sha256 == tree_digest(tmp_path / model.path / "Format-Serving")


def test_a_model_is_recorded_with_all_its_files(model):
    assert set(model.files) == {
        "Format-Serving/saved_model.pb",
        "Format-Serving/variables/variables.data",
        "training.json",
    }
    assert model.bytes == len("graph" + "weights" + "{}")


def test_any_other_artifact_has_the_digest_of_its_whole_tree(model, tmp_path):
    whole = measure(tmp_path, model.path, type_name="Examples")
    assert whole.sha256 == tree_digest(tmp_path / model.path) != model.sha256


def test_what_is_still_there_does_not_differ(model, tmp_path):
    found = difference(tmp_path, model)
    assert not found
    assert str(found) == "no difference"


def flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def replace_by_symlink(path):
    copy = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(copy)


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (flip, "changed"),
        (lambda path: os.truncate(path, 2), "changed"),
        (lambda path: path.unlink(), "missing"),
        (replace_by_symlink, "changed"),
    ],
)
def test_a_changed_file_is_named(model, tmp_path, tamper, kind):
    tamper(tmp_path / model.path / "Format-Serving" / "variables" / "variables.data")
    assert getattr(difference(tmp_path, model), kind) == ("Format-Serving/variables/variables.data",)


def test_an_added_file_is_named(model, tmp_path):
    (tmp_path / model.path / "Format-Serving" / "variables" / "more").write_bytes(b"")
    assert difference(tmp_path, model).extra == ("Format-Serving/variables/more",)


def test_an_artifact_that_is_gone_misses_every_file(model, tmp_path):
    (tmp_path / "artifacts").rename(tmp_path / "away")
    assert difference(tmp_path, model).missing == tuple(sorted(model.files))


def test_an_artifact_folder_replaced_by_a_link_to_equal_files_is_not_taken_for_it(model, tmp_path):
    (tmp_path / model.path).rename(tmp_path / "copy")
    (tmp_path / model.path).symlink_to(tmp_path / "copy")
    assert difference(tmp_path, model).missing


def test_measuring_what_is_not_there_says_where(tmp_path):
    with pytest.raises(EnvironmentProblem, match="artifacts/none"):
        measure(tmp_path, "artifacts/none", type_name="Examples")


def test_the_root_does_not_appear_in_recorded_properties(model, tmp_path):
    properties = {"pushed_destination": f"{tmp_path}/serving/1", "splits": {"train": [str(tmp_path), 1.0]}}
    found = measure(tmp_path, model.path, type_name="PushedModel", properties=properties).properties
    assert found == {"pushed_destination": "{root}/serving/1", "splits": {"train": ["{root}", 1.0]}}


ESCAPES = ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", "a/.", "a\\b", "a\nb", "a\0b", "x" * 256, "caf\udce9"]


@pytest.mark.fault(36)
@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_could_leave_the_root_or_break_a_line_is_refused(path):
    with pytest.raises(BadInput, match="plain relative path") as refused:
        checked_path(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["a", "a/b.json", "artifacts/Données/1", "x" * 255])
def test_a_plain_relative_path_is_taken_as_it_is(path):
    assert checked_path(path) == path


@pytest.mark.fault(36)
def test_a_recorded_file_name_cannot_escape_either():
    with pytest.raises(BadInput, match="plain relative path"):
        ArtifactEntry(type="Model", path="a", sha256="0" * 64, bytes=0, files={"../../x": {"sha256": "", "bytes": 0}})
