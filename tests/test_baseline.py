"""Baseline: the highest served model that is not the candidate, or an explicit none; and what the cache key sees of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from tfx.orchestration.portable import data_types
from tfx.types import channel, standard_artifacts

from components import baseline
from components.baseline import Baseline, BaselineDriver, BaselineExecutor, baseline_version
from components.digest import tree_digest
from components.errors import EnvironmentProblem
from components.publish import publish
from components.serving import FORMAT_SERVING

pytestmark = pytest.mark.e2e

DECLARED = {"serving_dir": "serving", "code_digest": "0" * 64}


def put(root: Path, version: int, content: str | None) -> str:
    """Makes a version as a push does: with a provenance that tells its digest."""
    folder = root / "serving" / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "variables.index").write_text("index")
    if content is not None:
        (folder / "saved_model.pb").write_text(content)
    tell(folder, tree_digest(folder))
    return tree_digest(folder)


def tell(folder: Path, digest: str) -> None:
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "provenance.json").write_text(statement(digest))


def statement(digest: str) -> str:
    files = [{"name": "saved_model.pb", "digest": {"sha256": "0" * 64}}]
    return json.dumps({"subject": [{"name": ".", "digest": {"treeSha256": digest}}, *files]})


def output(root: Path) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.uri = str(root / "artifacts" / "Baseline" / "baseline" / "7")
    return artifact


def resolve(root: Path, candidate: str | None) -> str:
    digests = {"model": [candidate]} if candidate else {}
    return BaselineDriver.resolve(DECLARED, root, digests)["baseline_digest"]


def test_the_highest_version_is_the_baseline(tmp_path):
    put(tmp_path, 9, "old")
    newest = put(tmp_path, 10, "new")
    assert resolve(tmp_path, "candidate") == newest


def test_a_candidate_that_is_served_already_is_compared_with_the_version_before_it(tmp_path):
    before = put(tmp_path, 1, "a")
    put(tmp_path, 2, "b")
    assert resolve(tmp_path, put(tmp_path, 3, "b")) == before


@pytest.mark.parametrize("served", [(), ("same",), (None,)], ids=["nothing", "the candidate itself", "half a model"])
def test_none_is_said_where_no_other_model_is_served(tmp_path, served):
    digest = "candidate"
    for version, content in enumerate(served, 1):
        digest = put(tmp_path, version, content)
    assert resolve(tmp_path, digest) == "none"


def test_a_link_to_a_version_of_somewhere_else_is_no_baseline(tmp_path):
    ours = put(tmp_path, 1, "ours")
    put(tmp_path / "elsewhere", 1, "theirs")
    (tmp_path / "serving" / "5").symlink_to(tmp_path / "elsewhere" / "serving" / "1")
    shutil.copytree(tmp_path / "elsewhere" / "serving" / "1", tmp_path / "serving" / "+6")
    assert resolve(tmp_path, "candidate") == ours


def test_an_incomplete_version_is_passed_over(tmp_path):
    whole = put(tmp_path, 1, "a")
    put(tmp_path, 2, None)
    assert resolve(tmp_path, "candidate") == whole


def flipped(folder):
    (folder / "saved_model.pb").write_text("tampered with")


def added(folder):
    (folder / "variables" / "more").write_text("")


def listening(folder):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(folder / "variables" / "s"))


def without_provenance(folder):
    shutil.rmtree(folder / "assets.extra")


def provenance_of_another(folder):
    tell(folder, "0" * 64)


def garbled_provenance(folder):
    (folder / "assets.extra" / "provenance.json").write_text('{"subject": ["x", 1]}')


def deep_provenance(folder):
    (folder / "assets.extra" / "provenance.json").write_text("[" * 100_000)


def oddly_named(folder):
    Path(os.fsdecode(bytes(folder) + b"/\xff")).touch()


@pytest.mark.parametrize(
    "harm",
    [
        *(flipped, added, lambda folder: os.mkfifo(folder / "variables" / "fifo"), listening, oddly_named),
        *(without_provenance, provenance_of_another, garbled_provenance, deep_provenance),
    ],
)
def test_a_version_that_is_not_as_it_was_pushed_is_no_baseline(tmp_path, harm):
    whole = put(tmp_path, 1, "a")
    put(tmp_path, 2, "b")
    harm(tmp_path / "serving" / "2")
    assert resolve(tmp_path, "candidate") == whole


def test_what_a_push_made_is_a_baseline(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_text("a")
    (tmp_path / "provenance.json").write_text(statement(tree_digest(model)))
    publish(model, tmp_path / "serving", tmp_path / "provenance.json", tree_digest(model))
    assert resolve(tmp_path, "candidate") == tree_digest(model)


def test_before_the_candidate_is_trained_the_highest_version_stands(tmp_path):
    newest = put(tmp_path, 1, "a")
    assert resolve(tmp_path, None) == newest


def test_the_other_properties_pass_through(tmp_path):
    resolved = BaselineDriver.resolve(DECLARED, tmp_path, {})
    assert resolved == {**DECLARED, "baseline_digest": "none"}


def test_the_driver_tells_the_launcher_the_digest(tmp_path):
    served = put(tmp_path, 1, "a")
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "artifacts" / "Classifier" / "model" / "5")
    (Path(model.uri) / FORMAT_SERVING).mkdir(parents=True)
    (Path(model.uri) / FORMAT_SERVING / "saved_model.pb").write_text("b")
    info = data_types.ExecutionInfo(
        input_dict={"model": [model]}, output_dict={"baseline": [output(tmp_path)]}, exec_properties=dict(DECLARED)
    )
    properties = BaselineDriver(None).run(info).exec_properties
    assert properties["baseline_digest"].string_value == served
    assert properties["serving_dir"].string_value == "serving"


def run(root: Path, digest: str) -> standard_artifacts.Model:
    made = output(root)
    BaselineExecutor().Do({}, {"baseline": [made]}, {**DECLARED, "baseline_digest": digest})
    return made


def test_the_artifact_holds_the_version_and_names_it(tmp_path):
    digest = put(tmp_path, 3, "a")
    made = run(tmp_path, digest)
    assert made.get_string_custom_property("baseline") == "version 3"
    assert tree_digest(Path(made.uri) / FORMAT_SERVING) == digest


def test_none_is_written_down(tmp_path):
    made = run(tmp_path, "none")
    assert made.get_string_custom_property("baseline") == "none"
    assert os.listdir(made.uri) == ["none.json"]
    assert json.loads((Path(made.uri) / "none.json").read_text())["baseline"] == "none"


def test_a_version_that_vanished_in_between_is_an_environment_problem(tmp_path):
    digest = put(tmp_path, 1, "a")
    shutil.rmtree(tmp_path / "serving" / "1")
    with pytest.raises(EnvironmentProblem, match="the baseline is gone"):
        run(tmp_path, digest)


def test_writing_into_the_artifact_leaves_what_is_served_alone(tmp_path):
    digest = put(tmp_path, 1, "a")
    made = run(tmp_path, digest)
    for file in Path(made.uri).rglob("*"):
        if file.is_file():
            file.write_text("overwritten")
    assert tree_digest(tmp_path / "serving" / "1") == digest


def test_a_version_that_changes_while_it_is_copied_is_an_environment_problem(tmp_path, monkeypatch):
    digest = put(tmp_path, 1, "a")

    def chosen_and_then_changed(*arguments):
        served = choose(*arguments)
        flipped(served.path)
        return served

    choose = baseline._with_digest
    monkeypatch.setattr(baseline, "_with_digest", chosen_and_then_changed)
    with pytest.raises(EnvironmentProblem, match="changed while it was copied"):
        run(tmp_path, digest)


def test_an_unreadable_version_is_no_baseline(tmp_path, monkeypatch):
    put(tmp_path, 1, "a")
    put(tmp_path, 2, "b")

    def refuse_the_second(path):
        if path.name == "2":
            raise PermissionError(13, "Permission denied", str(path))
        return tree_digest(path)

    monkeypatch.setattr("components.serving.tree_digest", refuse_the_second)  # root may read everything
    assert baseline_version(tmp_path / "serving", "candidate").version == 1


def test_the_node_has_its_own_driver():
    node = Baseline(model=channel.Channel(type=standard_artifacts.Model), serving_dir="serving", code_digest="0" * 64)
    assert node.driver_class is BaselineDriver
