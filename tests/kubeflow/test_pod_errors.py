"""An error that leaves a pod names what a cluster's user knows, and no folder that went with the pod."""

from pathlib import Path

import pytest

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.publish import publish
from pipeline.kubeflow.pod.node import name_places

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
