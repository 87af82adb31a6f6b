"""`make image` where it cannot work: one line, and the exit code that CI needs."""

import subprocess
import sys
from pathlib import Path

import build_image
import pytest
from command_line import PROJECT

from components.errors import EnvironmentProblem
from pipeline.kubeflow.simulate.container import Container


def _build(*arguments: str, path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, PROJECT / "tests" / "build_image.py", *arguments]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arguments", "code"), [((), build_image.CANNOT_BUILD), (("--or-skip",), 0)])
def test_without_buildah_it_says_what_to_install(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = _build(*arguments, path=tmp_path)
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert line.endswith(f"no buildah: {build_image.INSTALL}")
    assert ("skipped" in line) == bool(arguments)


def test_without_room_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _tool(tmp_path, "buildah", f"touch {tmp_path}/begun")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(build_image, "STORAGE", tmp_path / "storage")
    monkeypatch.setattr(build_image, "ROOM", 2**60)
    monkeypatch.setattr(sys, "argv", ["build_image.py", "--or-skip"])
    assert build_image.main() == 0
    assert f"skipped, {tmp_path / 'storage'}: " in (said := capsys.readouterr().err)
    assert f"GiB free, wanted {2**30}" in said
    assert not (tmp_path / "begun").exists()


def _tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("ends", "code", "says"),
    [
        (build_image.NO_NETWORK, 0, "skipped, no mirror of Debian and no package index answers"),
        (1, 1, "the stage cpu of kubeflow/Dockerfile does not build"),
    ],
)
def test_only_what_the_machine_lacks_is_skipped(
    ends: int, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _tool(tmp_path, "buildah", f"exit {ends}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(build_image, "STORAGE", tmp_path / "storage")
    monkeypatch.setattr(build_image, "ROOM", 0)
    monkeypatch.setattr(sys, "argv", ["build_image.py", "--or-skip", "--base", "localhost/base:1"])
    try:
        ended = build_image.main()
    except SystemExit as err:
        ended = err.code
    assert ended == code
    assert says in capsys.readouterr().err


def test_what_leads_to_an_index_is_mounted_and_goes_into_no_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX", "http://mirror.example/it's")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    build_image._write_reach(tmp_path / "reach")
    shell = f'. {tmp_path}/reach/environment && printf %s "$UV_INDEX"'
    assert subprocess.check_output(["/bin/sh", "-c", shell], text=True) == "http://mirror.example/it's"


def test_the_folder_of_running_containers_has_a_name_that_podman_takes(tmp_path: Path) -> None:
    assert len(str(build_image.Storage(folder=tmp_path / ("x" * 200)).running)) <= 50


BUILDS = """
import fcntl, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
lock = (folder / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(flush=True)
time.sleep(0.3)
(folder / "built").touch()
"""


def test_a_build_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    build_image.Storage(folder=tmp_path / "none").wait()
    with subprocess.Popen([sys.executable, "-c", BUILDS, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        build_image.Storage(folder=tmp_path).wait()
        assert (tmp_path / "built").exists()


def test_without_podman_simulate_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"no podman to run containers by.*apt-get install podman runc"):
        Container(image="localhost/mnist-tfx:dev").check()
