"""The compiled digits in containers of the image that `make image` builds, under the restricted Pod Security Standard.

Each task is another user than the image's, without capabilities, new privileges or network, on a root that it cannot write
to. What the image holds is asked from inside.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import build_image
import pytest
import second_lane
from command_line import PROJECT, Answer, mnist_tfx
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from kubeflow.conftest import compiled_file
from toy_pipelines import run, states

from pipeline.kubeflow import document
from pipeline.kubeflow.simulate.container import OTHER_USER, Container
from pipeline.root.paths import RunPaths

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

IMAGES_USER = 10001
LARGEST = 3.4e9
"""Bytes of the CPU image, unpacked."""

RULES = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def writable(folder):
    try:
        open(f"{folder}/probe", "w").close()
    except OSError:
        return False
    return True
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
    "writable": [f for f in ("/", "/etc", "/opt/mnist-tfx", "/run", "/var/tmp", os.environ["HOME"], "/tmp") if writable(f)],
    "interfaces": [name for _, name in socket.if_nameindex()],
}))
"""

DIGESTS = """
import json
from pipeline.provenance import code
from pipeline.stages import STAGES
print(json.dumps({one.id: code.code_digest(one.modules, code.lock_digest()) for one in STAGES.values()}))
"""

NOT_WANTED = """
import json, os, shutil
from importlib.metadata import distributions
tools = [tool for tool in ("cc", "gcc", "g++", "ld", "make", "pip", "uv", "git") if shutil.which(tool)]
tests = [place for place, _, _ in os.walk("/opt") if os.path.basename(place) in ("tests", ".git", "include")]
names = {one.name.lower() for one in distributions()} & {"pip", "uv", "pytest", "ruff", "mypy", "sphinx", "hypothesis"}
print(json.dumps({"tools": tools, "folders": [t for t in tests if "tensorflow" in t or not t.endswith("include")], "distributions": sorted(names)}))
"""


@pytest.fixture(scope="module")
def obstacle() -> Iterator[str | None]:
    """Why no container of the image runs here; if one does, podman and whatever calls it find the image."""
    storage = build_image.Storage()
    storage.wait()
    missing = [tool for tool in ("podman", "runc") if shutil.which(tool) is None]
    if missing:
        yield f"no {missing[0]}: {build_image.INSTALL}"
        return
    if not Path(storage.variables["CONTAINERS_STORAGE_CONF"]).exists():
        yield "no image: `make image` builds it"
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage.variables.items():
            patch.setenv(name, value)
        tried = _podman("run", "--rm", "--network=none", "--pull=never", build_image.TAG, "/bin/true")
        if tried.returncode == 0:
            yield None
        else:
            yield f"podman runs no container of {build_image.TAG} here: {tried.stderr.strip().splitlines()[-1]}"


@pytest.fixture(scope="module")
def image(obstacle: str | None) -> str:
    """The image that `make image` left."""
    if obstacle is not None:
        pytest.skip(obstacle)
    return build_image.TAG


def _podman(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)


def asked(image: str, script: str) -> Any:
    """Returns what a script of Python prints in a container under the rules, as JSON."""
    with Container(image=image).started(["python", "-c", script], {}, {}) as command:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def served(image: str, compiled: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """The root and the answer of a run whose tasks were containers."""
    root = tmp_path_factory.mktemp("containers") / "root"
    simulate = ("kubeflow", "simulate", compiled["oss"], "--image", image, "--root", root, "--json")
    return root, mnist_tfx(*simulate, timeout=1500)


def test_a_container_gets_what_the_restricted_standard_leaves_it_and_no_more(image: str) -> None:
    found = asked(image, RULES)
    assert found["user"] == [OTHER_USER, 0]
    assert found["status"] == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    assert found["writable"] == []
    assert found["interfaces"] == ["lo"]


def test_the_digits_are_trained_served_and_audited_by_containers(image: str, served: tuple[Path, Answer]) -> None:
    root, answer = served
    assert answer.error is None, RunPaths(root).log(answer.json["run_id"]).read_text()[-4000:]
    assert set(answer.states().values()) == {"executed"}
    assert answer.json["metrics"]["accuracy"] == pytest.approx(0.9851, abs=5e-5)
    tree = asked(image, "import json, os; print(json.dumps(os.environ['MNIST_TFX_GIT_TREE']))")
    verdicts = answer.json["audit"]["verdicts"]
    assert verdicts == {"INTEGRITY": "PASS", "COMPLETENESS": "PASS", "POLICY": "PASS" if tree == "clean" else "FAIL"}


def test_what_containers_served_is_theirs(served: tuple[Path, Answer]) -> None:
    version = served[0] / "serving" / "1"
    assert {path.stat().st_uid for path in version.rglob("*")} == {OTHER_USER}


def test_the_next_run_may_be_another_users_on_the_same_volume(
    image: str, served: tuple[Path, Answer], tmp_path: Path
) -> None:
    again = document.read(compiled_file(tmp_path, "oss", "--set", "evaluation.accuracy=0.95"))
    finished = run(again, served[0], container=Container(image=image, user=IMAGES_USER))
    assert finished.error is None
    assert states(finished)["Pusher"] == "executed"


def test_a_container_is_gone_when_whoever_waits_for_it_is_interrupted(image: str) -> None:
    waiting = contextlib.ExitStack()
    command = waiting.enter_context(Container(image=image).started(["sleep", "600"], {}, {}))
    [name] = [word.removeprefix("--name=") for word in command if word.startswith("--name=")]
    with subprocess.Popen(command) as client:
        while not _podman("ps", "--quiet", f"--filter=name={name}").stdout:
            assert client.poll() is None
        client.kill()
    with pytest.raises(KeyboardInterrupt), waiting:
        raise KeyboardInterrupt
    assert _podman("ps", "--all", "--quiet", f"--filter=name={name}").stdout == ""


def test_the_code_in_the_image_is_that_of_the_wheel(image: str, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, PROJECT]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "unpacked")}
    command = [sys.executable, "-c", DIGESTS.replace("code.lock_digest()", repr("0" * 64))]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert asked(image, DIGESTS.replace("code.lock_digest()", repr("0" * 64))) == json.loads(done.stdout)


def test_the_image_holds_what_runs_and_nothing_that_built_or_tested_it(image: str) -> None:
    assert asked(image, NOT_WANTED) == {"tools": [], "folders": [], "distributions": []}
    [about] = json.loads(_podman("image", "inspect", image).stdout)
    assert about["Size"] < LARGEST
    assert about["Config"]["User"] == str(IMAGES_USER)
    commit = asked(image, "import json, os; print(json.dumps(os.environ['MNIST_TFX_GIT_COMMIT']))")
    assert about["Labels"]["org.opencontainers.image.revision"] == commit


def test_the_bill_of_materials_is_valid_and_names_what_the_image_holds(image: str) -> None:
    path = PROJECT / "build" / "image" / "mnist-tfx-dev.cdx.json"
    text = path.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    names = {part["name"] for part in bill["components"]}
    assert {"tensorflow", "tfx", "mnist-tfx", "libc6", "python3.13-minimal"} <= names
    assert names & {"pytest", "pip", "g++"} == set()
    assert image.rpartition(":")[0] == bill["metadata"]["component"]["name"]


def test_the_second_lane_imports_every_module_trains_the_digits_and_passes_its_audit(
    obstacle: str | None, tmp_path: Path
) -> None:
    if obstacle is not None:
        require_second_lane_in_a_root()
        return
    shutil.copytree(PROJECT / "mnist_tfx", tmp_path / "mnist_tfx")  # pods do without it, and the image does
    container = Container(image=build_image.TAG)
    container.hand_over(tmp_path)
    clean = asked(build_image.TAG, "import json, os; print(json.dumps(os.environ['MNIST_TFX_GIT_TREE']))") == "clean"
    for check in second_lane.WORKS:
        command = ["sh", "-c", f"cd /work && {check.command.replace('.venv/bin/', '')}"]
        variables = {"HOME": "/work", "TMPDIR": "/work", "PYTHONPATH": "/work"}
        with container.started(command, variables, {"/work": tmp_path}) as started:
            done = subprocess.run(started, capture_output=True, text=True, check=False)
        wanted = check.wanted if clean else check.wanted.replace("POLICY +PASS", "POLICY ")
        assert re.search(wanted, done.stdout), (check.what, done.stdout, done.stderr)


def require_second_lane_in_a_root() -> None:
    """Makes the same checks where there is no image, and skips where no root can be made either."""
    if sys.version_info >= (3, 11):
        pytest.skip("this is the second lane")
    command = [sys.executable, PROJECT / "tests" / "second_lane.py", "--short"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == second_lane.NO_ROOT:
        pytest.skip(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS ") >= len(second_lane.CHECKS)


def test_an_image_that_podman_does_not_have_is_refused_before_anything_runs(
    image: str, compiled: Mapping[str, Path], tmp_path: Path
) -> None:
    other = image.replace(":dev", ":none")
    answer = mnist_tfx("kubeflow", "simulate", compiled["oss"], "--image", other, "--root", tmp_path / "r")
    assert answer.code == 2
    assert f"{other}: podman has no such image" in answer.err
    assert f"podman pull {other}" in answer.err
