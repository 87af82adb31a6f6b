"""The built wheel, installed in an environment of its own and run from another folder."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from command_line import PROJECT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The console script of an installed wheel; the locked packages are seen, this checkout is not."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(PROJECT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    [wheel] = (folder / "dist").glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A line of a .pth file adds a folder but not the .pth files in it, so the editable install stays out of sight.
    (Path(site) / "locked.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "venv" / "bin" / "mnist-tfx"


def _run(script, *arguments, cwd, wanted=(0,)):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [script, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd, env=env, timeout=300
    )
    assert done.returncode in wanted, done.stderr
    return done.stdout


def test_an_installed_wheel_runs_the_pipeline_from_another_folder(installed, digits_folder, tmp_path):
    answer = json.loads(_run(installed, "run", "--data", digits_folder, "--root", "mine", "--json", cwd=tmp_path))
    assert answer["version"] == 1
    assert (tmp_path / "mine" / "serving" / "1" / "saved_model.pb").is_file()
    [record] = [r for r in _records(tmp_path / "mine") if r.get("node") == "Transform"]
    assert record["lock_digest"]
    assert "components/preprocessing.py" in record["code"]["files"]


def _records(root):
    return [json.loads(path.read_text()) for path in (root / "records").glob("*.json")]


def test_doctor_of_an_installed_wheel_knows_the_lock(installed, tmp_path):
    # pip and setuptools are the new environment's own, and doctor says so.
    answer = json.loads(_run(installed, "doctor", "--no-devices", "--json", cwd=tmp_path, wanted=(0, 4)))
    found = {finding["check"]: finding["wrong"] for finding in answer["findings"]}
    assert found["tfx"] is None
    assert "differ from the lock" in (found["other packages"] or "differ from the lock")
