"""An error that leaves a pod names what a cluster's user knows, and no folder that went with the pod."""

import os
from pathlib import Path

import pytest

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.evaluation.thresholds import NOT_BLESSED_FILE, Check, Verdict
from components.publish import publish
from pipeline.kubeflow import entrypoint
from pipeline.kubeflow.pod.node import not_blessed
from pipeline.kubeflow.pod.public_names import name_places

POD = "/tmp/mnist-tfx-abc"
MEANT = {f"{POD}/serving": "/serving", "/minio/b/m/x": "minio://b/m/x"}


@pytest.mark.parametrize(
    ("err", "message"),
    [
        (EnvironmentProblem("not writable", where=Path(f"{POD}/serving/.lock")), "/serving/.lock: not writable"),
        (BadInput("odd", where="x", got=f"{POD}/serving", hint=f"see {POD}/serving/1"), "x: odd: got /serving: see /serving/1"),
        (BadInput("odd", where="/minio/b/m/x/file", wanted=3), "minio://b/m/x/file: odd: wanted 3"),
    ],
)  # fmt: skip
def test_places_are_named_as_they_are_mounted(err: MnistTfxError, message: str) -> None:
    name_places(err, MEANT)
    assert str(err) == message


def test_a_serving_volume_that_cannot_be_written_is_named_by_its_mount(tmp_path: Path) -> None:
    volume, pod = tmp_path / "volume", tmp_path / "pod"
    (volume / ".lock").mkdir(parents=True)
    pod.mkdir()
    (pod / "serving").symlink_to(volume)
    (tmp_path / "model").mkdir()
    with pytest.raises(MnistTfxError) as caught:
        publish(tmp_path / "model", pod / "serving", tmp_path / "provenance.json", "0" * 64)
    name_places(caught.value, {str(pod / "serving"): "/serving"})
    assert str(caught.value).startswith("/serving/.lock: ")
    assert str(tmp_path) not in str(caught.value)


def test_a_pod_that_does_not_push_says_why_as_a_local_run_does(tmp_path: Path) -> None:
    reason = "test accuracy 0.9167, wanted at least 0.94"
    missed = Check(name="accuracy", value=0.9167, threshold=0.94, passed=False, reason=reason)
    (tmp_path / NOT_BLESSED_FILE).write_text(Verdict(baseline="none", checks=(missed,)).to_json())
    err = not_blessed("Evaluator", tmp_path, "digits/r/Evaluator/1/evaluation")
    assert str(err).startswith(f"Evaluator: the model is not good enough to be served: {reason}: nothing was pushed; ")
    assert err.commands == (
        "mnist-tfx kubeflow compile ... --set evaluation.accuracy=0.91 # serve it as good as it is",
    )
    (tmp_path / NOT_BLESSED_FILE).write_text("")  # of an older release
    assert (
        str(not_blessed("Evaluator", tmp_path, "e"))
        == "Evaluator: not blessed: all reasons are in e below the pipeline root"
    )


def test_a_pod_that_does_not_push_an_export_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "check.json").write_text('{"blessed": false, "reasons": ["no answer within 60 s"]}')
    err = not_blessed("SavedModelCheck", tmp_path, "digits/r/SavedModelCheck/1/blessing")
    assert "does not answer as a server needs it: no answer within 60 s" in str(err)
    assert list(err.commands) == ["mnist-tfx doctor # interpreter and packages"]


@pytest.mark.parametrize("home", ["", "/no/such/home", "a file"])
def test_a_user_without_a_home_is_given_one_that_libraries_can_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home) if home == "a file" else home)
    entrypoint.give_home(tmp_path)
    assert os.environ["HOME"] == str(tmp_path / "home")
    assert (tmp_path / "home").is_dir()


def test_a_home_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    entrypoint.give_home(tmp_path / "scratch")
    assert os.environ["HOME"] == str(tmp_path)
