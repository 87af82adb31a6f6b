"""Outputs are put where the launcher looks for them, and count when the output file is there."""

import dataclasses
import json
from pathlib import Path

import pytest

from components.errors import EnvironmentProblem
from pipeline.kubeflow import places
from pipeline.kubeflow.pod.delivery import Output, deliver
from pipeline.kubeflow.pod.invocation import Artifact, Invocation, parse

URI = "gs://b/m/42/job/Transform_1/graph"


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    monkeypatch.setenv(places.POD_ROOT, str(tmp_path / "pod"))
    graph = Artifact(name="graph", uri=URI, schema="", metadata={})
    return Invocation(
        parameters={}, inputs={}, outputs={"graph": graph}, output_parameters={}, output_file="/gcs/b/m/out.json"
    )


def made(folder: Path, text: str) -> dict[str, Output]:
    folder.mkdir(parents=True)
    (folder / text).write_text(text)
    return {"graph": Output(folder=folder, properties={"span": 3})}


def test_an_output_lies_at_its_uri_and_is_announced_with_its_properties(tmp_path: Path, invocation: Invocation) -> None:
    deliver(invocation, made(tmp_path / "made", "a"), {"answer": "yes"})
    assert (places.local(URI) / "a").read_text() == "a"
    told = json.loads(places.local(invocation.output_file).read_text())
    [announced] = told["artifacts"]["graph"]["artifacts"]
    assert (announced["uri"], announced["metadata"]) == (URI, {"span": 3})
    assert told["parameterValues"] == {"answer": "yes"}


def test_what_a_killed_attempt_left_in_a_mounted_bucket_is_replaced(tmp_path: Path, invocation: Invocation) -> None:
    deliver(invocation, made(tmp_path / "first", "a"))
    deliver(invocation, made(tmp_path / "second", "b"))
    assert [child.name for child in places.local(URI).iterdir()] == ["b"]


def test_an_output_that_was_declared_and_not_made_fails_the_task_before_anything_is_delivered(
    tmp_path: Path, invocation: Invocation
) -> None:
    outputs = {**invocation.outputs, "more": dataclasses.replace(invocation.outputs["graph"], uri=f"{URI}2")}
    with pytest.raises(EnvironmentProblem, match="more: an output that was declared was not made"):
        deliver(dataclasses.replace(invocation, outputs=outputs), made(tmp_path / "made", "a"))
    assert not places.local(URI).exists()


@pytest.mark.usefixtures("invocation")
def test_an_output_is_announced_by_the_name_that_the_compiled_file_has_for_it(tmp_path: Path) -> None:
    sent = {"outputs": {"artifacts": {"training_run": {"artifacts": [{"uri": URI}]}}, "outputFile": "/gcs/b/out.json"}}
    parsed = parse(json.dumps(sent), {})
    assert list(parsed.outputs) == ["model_run"]
    deliver(parsed, {"model_run": made(tmp_path / "made", "a")["graph"]})
    assert list(json.loads(places.local(parsed.output_file).read_text())["artifacts"]) == ["training_run"]


def test_nothing_is_announced_where_an_output_cannot_be_put(tmp_path: Path, invocation: Invocation) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "gcs").write_text("a file where a bucket should be")
    with pytest.raises(EnvironmentProblem, match="an output cannot be written"):
        deliver(invocation, made(tmp_path / "made", "a"))
