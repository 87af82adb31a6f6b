"""A simulated pod that is a container: where its files lie here, and how it ended; no container is started."""

import os
from pathlib import Path

import pytest

from pipeline.kubeflow.simulate.container import Container, code_of
from pipeline.kubeflow.simulate.pod import Pod


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    container = Container(image="localhost/mnist-tfx:dev", user=os.getuid())
    (tmp_path / "pod").mkdir()
    return Pod(root=tmp_path / "pod", scratch=tmp_path, container=container)


def test_files_of_a_volume_lie_in_its_folder_and_all_others_in_the_pods(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    pod.mount("/serving", tmp_path / "served", is_claim=True)
    pod.mount("/scratch", None)
    assert pod.path("/serving/1/model") == tmp_path / "served/1/model"
    assert pod.path("/serving2") == tmp_path / "pod/serving2"
    assert pod.path("/minio/b/k") == tmp_path / "pod/minio/b/k"
    assert pod.mounts == {"/serving": tmp_path / "served", "/scratch": tmp_path / "pod/scratch"}


def test_a_container_has_a_root_of_its_own_and_a_process_has_the_folder(pod: Pod, tmp_path: Path) -> None:
    assert pod.prefix == ""
    assert Pod(root=tmp_path, scratch=tmp_path).prefix == str(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_volume_is_opened_to_its_group_and_a_secrets_folder_is_not(pod: Pod, tmp_path: Path) -> None:
    for name, is_claim, mode in (("claim", True, 0o2770), ("secret", False, 0o700)):
        (tmp_path / name).mkdir(mode=0o700)
        pod.mount(f"/{name}", tmp_path / name, is_claim=is_claim)
        assert (tmp_path / name).stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize(("podman", "subprocess"), [(0, 0), (3, 3), (125, 125), (137, -9), (143, -15)])
def test_a_container_that_a_signal_ended_is_told_from_one_that_ended_itself(podman: int, subprocess: int) -> None:
    assert code_of(podman) == subprocess
