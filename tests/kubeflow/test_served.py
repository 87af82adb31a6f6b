"""One serving directory for the roots of one pipeline: another pipeline is refused before anything is trained."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from lineage.audited_root import build

from components.digest import tree_digest
from components.errors import BadInput
from components.publish import publish
from components.serving import PROVENANCE
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.pod.served import require_same_pipeline
from pipeline.runner.up_to_date import newest_served

DIGITS = load_recipe("digits").data


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("audited") / "root") / "serving"


def told(serving: Path, version: int) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads((serving / str(version) / PROVENANCE).read_text())
    return statement


def test_another_root_of_the_same_pipeline_may_push_there(serving: Path) -> None:
    pipeline = told(serving, 2)["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
    require_same_pipeline(serving, newest_served(serving), pipeline, DIGITS)


def test_nothing_is_refused_where_nothing_is_served(tmp_path: Path) -> None:
    require_same_pipeline(tmp_path / "serving", None, "digits", DIGITS)


def test_another_pipeline_is_refused_with_what_to_do(serving: Path) -> None:
    with pytest.raises(
        BadInput, match=r"another pipeline serves from this directory.*--serving /serving/NAME"
    ) as caught:
        require_same_pipeline(serving, newest_served(serving), "mine", DIGITS)
    assert caught.value.wanted == "mine"


def test_models_for_images_of_another_shape_are_refused(serving: Path) -> None:
    newest = newest_served(serving)
    assert newest is not None
    given = newest.provenance["predicate"]["buildDefinition"]["externalParameters"]
    data = {**DIGITS.to_dict(), "shape": [28, 28]}
    other = dataclasses.replace(newest, provenance=with_settings(newest.provenance, {"ExampleGen": data}))
    with pytest.raises(BadInput, match=r"other images.*wanted shape \[8, 8\].*got shape \[28, 28\]"):
        require_same_pipeline(serving, other, given["recipe"], DIGITS)


def with_settings(provenance: Any, settings: dict[str, Any]) -> Any:
    changed = json.loads(json.dumps(provenance))
    changed["predicate"]["buildDefinition"]["externalParameters"]["settings"] = settings
    return changed


def test_two_pipelines_that_met_nothing_when_they_began_are_told_apart_under_the_lock(tmp_path: Path) -> None:
    def push(pipeline: str) -> int:
        model = tmp_path / pipeline
        model.mkdir()
        (model / "saved_model.pb").write_text(pipeline)
        build_definition = {"externalParameters": {"recipe": pipeline}}
        manifest = tmp_path / f"{pipeline}.json"
        manifest.write_text(json.dumps({"predicate": {"buildDefinition": build_definition}}))
        return publish(model, tmp_path / "serving", manifest, tree_digest(model)).version

    assert push("digits") == 1
    with pytest.raises(BadInput, match="another pipeline serves from this directory: wanted mine, got digits"):
        push("mine")
    assert sorted(path.name for path in (tmp_path / "serving").iterdir()) == [".lock", ".versions", "1"]
