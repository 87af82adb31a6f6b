"""Sdist and wheel: that no file is forgotten, and the pipeline from a wheel in an environment that holds nothing else."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from command_line import PROJECT, QUICK

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UV = PROJECT / ".tools" / "bin" / "uv"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with an sdist, and the wheel that was built from the sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The console script in an environment into which the wheel alone was installed, as docs/how-to/install.md says."""
    if not UV.exists():
        pytest.skip("no .tools/bin/uv: `make install` brings it")
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv" / "bin" / "python"
    _uv("venv", "--python", Path(sys.executable).resolve(), folder / "venv")
    _uv("pip", "install", "--python", python, "--constraints", PROJECT / "requirements.lock", wheel)
    _uv("pip", "check", "--python", python)
    return folder / "venv" / "bin" / "mnist-tfx"


def _uv(*arguments):
    done = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr


def _run(script, *arguments, cwd, wanted=(0,)):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [script, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd, env=env, timeout=500
    )
    assert done.returncode in wanted, done.stderr
    return done.stdout


def _tracked(*folders):
    listed = ["git", "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name for name in names if name and (PROJECT / name).is_file()}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    packages = {name for name in files if not name.startswith("mnist_tfx-")}
    assert packages == _tracked("components", "pipeline", "mnist_tfx")
    assert {"components/py.typed", "pipeline/py.typed", "mnist_tfx/py.typed"} <= packages
    shared = {name.partition("/share/mnist-tfx/")[2] for name in files if "/share/mnist-tfx/" in name}
    assert shared == _tracked("schema") | {"requirements.lock"}


def test_the_sdist_holds_what_a_wheel_is_built_from_and_no_tests(built):
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert _tracked("components", "pipeline", "mnist_tfx", "schema", "README.md", "LICENSE", "requirements.*") <= files
    assert [name for name in files if name.startswith(("tests", "docs", "data", "runs"))] == []


def test_the_version_is_the_same_wherever_it_is_said(wheel, installed, tmp_path):
    version = metadata.version("mnist-tfx")
    assert wheel.name.split("-")[1] == version
    assert _run(installed, "--version", cwd=tmp_path) == f"mnist-tfx, version {version}\n"
    assert f"\n## {version}" in (PROJECT / "CHANGELOG.md").read_text()
    said = [name for name in _tracked("*.py", "*.toml") if f'"{version}"' in (PROJECT / name).read_text()]
    assert said == ["setup.py"]


def test_an_installed_wheel_runs_the_pipeline_from_another_folder(installed, digits_folder, tmp_path):
    command = ("run", "--data", digits_folder, "--root", "mine", *QUICK, "--json")
    answer = json.loads(_run(installed, *command, cwd=tmp_path))
    assert '"version": 1' in json.dumps(answer)
    assert (tmp_path / "mine" / "serving" / "1" / "saved_model.pb").is_file()
    [record] = [r for r in _records(tmp_path / "mine") if r.get("node") == "Transform"]
    assert record["lock_digest"]
    assert "components/preprocessing.py" in record["code"]["files"]
    said = _run(installed, "lineage", "audit", "--root", "mine", cwd=tmp_path, wanted=(0, 1))
    assert "INTEGRITY     PASS" in said
    assert "COMPLETENESS  PASS" in said


def _records(root):
    return [json.loads(path.read_text()) for path in (root / "records").glob("*.json")]


def test_an_installed_wheel_completes_in_bash(installed, tmp_path):
    assert "complete -o nosort -F _mnist_tfx_completion mnist-tfx" in _run(
        installed, "completion", "bash", cwd=tmp_path
    )


def test_doctor_of_an_installed_wheel_finds_all_as_the_lock_has_it(installed, tmp_path):
    # A disk with little room is wrong too, by exit code 4, and nothing that the wheel is at fault for.
    said = json.loads(_run(installed, "doctor", "--no-devices", "--json", cwd=tmp_path, wanted=(0, 4)))
    findings = {one["check"]: one for one in said["data"]["findings"]}
    del findings["disk"]
    assert "in the lock" in findings["other packages"]["found"]
    assert [one for one in findings.values() if one["wrong"]] == []
