"""Compiled files of the digits pipeline and a simulated run of one, made once; a Kubeflow Pipelines server in this process."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Answer, mnist_tfx
from kubeflow.kfp_server import KfpServer, serving

from pipeline.kubeflow.client.transport import RetryPolicy

IMAGE = "registry.example/mnist-tfx:1"
ROOTS = {"oss": "minio://mlpipeline/m", "vertex": "gs://b/m"}
SUFFIXES = {"oss": ".yaml", "vertex": ".json"}


def compiled_file(folder: Path, target: str, *options: object) -> Path:
    """Compiles the digits pipeline through the command line."""
    path = folder / f"digits{SUFFIXES[target]}"
    answer = mnist_tfx(
        "kubeflow",
        "compile",
        "--target",
        target,
        "--image",
        IMAGE,
        "--pipeline-root",
        ROOTS[target],
        *options,
        "-o",
        path,
    )
    assert answer.code == 0, answer.err
    return path


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{target: compiled file of the embedded digits}."""
    folder = tmp_path_factory.mktemp("compiled")
    return {target: compiled_file(folder, target) for target in ROOTS}


@pytest.fixture(scope="session")
def first_simulation(tmp_path_factory: pytest.TempPathFactory, compiled: dict[str, Path]) -> tuple[Path, Answer]:
    """The root and the answer of a simulated run on open-source KFP."""
    root = tmp_path_factory.mktemp("simulated") / "oss"
    return root, mnist_tfx("kubeflow", "simulate", compiled["oss"], "--root", root, "--json")


@pytest.fixture
def simulated(first_simulation: tuple[Path, Answer], tmp_path: Path) -> Path:
    """A copy of the simulated run's root, to do with as one likes."""
    copy = tmp_path / "simulated"
    shutil.copytree(first_simulation[0], copy, symlinks=True)
    return copy


@pytest.fixture
def server() -> Iterator[KfpServer]:
    """A Kubeflow Pipelines server in this process."""
    with serving() as running:
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has commands wait for hundredths of a second where they would wait for seconds."""
    options = "pipeline.cli.kubeflow.options.RetryPolicy"
    monkeypatch.setattr(options, lambda timeout=30.0: RetryPolicy(timeout=timeout, first_pause=0.01, search=0.5))
