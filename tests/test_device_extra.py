"""The extra `gpu` against what is locked: the same TensorFlow in both lanes, and what the GPU image installs."""

import ast
import re

import pytest
from command_line import PROJECT
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LANES = ("3.10", "3.11", "3.12", "3.13")


def extra():
    [wanted] = [
        ast.literal_eval(node.value)
        for node in ast.parse((PROJECT / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GPU"
    ]
    return [Requirement(line) for line in wanted]


def locked(file, name):
    """Returns {Python: versions of a distribution in a lock file}."""
    lines = re.findall(r"^[A-Za-z0-9][^\\\n]*==[^\\\n]*", (PROJECT / file).read_text(), re.MULTILINE)
    pins = [one for one in map(Requirement, lines) if canonicalize_name(one.name) == name]
    return {python: [spec.version for pin in pins if meant(pin, python) for spec in pin.specifier] for python in LANES}


def meant(requirement, python):
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.5"}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("python", LANES)
def test_the_extra_asks_for_cuda_of_the_tensorflow_that_is_locked(python):
    [wanted] = [one for one in extra() if meant(one, python)]
    [version] = locked("requirements.lock", "tensorflow")[python]
    assert (wanted.name, wanted.extras) == ("tensorflow", {"and-cuda"})
    assert wanted.specifier.contains(version)
    nearest = ".".join(version.split(".")[:2])
    assert not wanted.specifier.contains(f"{nearest.split('.')[0]}.{int(nearest.split('.')[1]) + 1}.0")


def test_the_gpu_image_holds_what_the_extra_asks_for():
    lines = (PROJECT / "kubeflow" / "gpu-requirements.in").read_text().splitlines()
    [wanted] = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {(wanted.name, frozenset(wanted.extras))} == {(one.name, frozenset(one.extras)) for one in extra()}
    [in_the_image] = locked("kubeflow/gpu-requirements.lock", "tensorflow")["3.13"]
    assert [in_the_image] == locked("requirements.lock", "tensorflow")["3.13"]
    [of_the_image] = [one for one in extra() if meant(one, "3.13")]
    assert of_the_image.specifier.contains(in_the_image)
