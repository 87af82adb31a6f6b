"""Volumes and secrets of the platform document, as a pod here sees them."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from toy_pipelines import Toy, document, run, seen, spy, states

from components.errors import BadInput
from pipeline.kubeflow.document import VERTEX, Document
from pipeline.kubeflow.simulate.run import Options, simulate
from pipeline.runner.progress import RunView

SERVING = ["{{$}}", "--serving", "/serving"]
SERVE = "(pod / 'serving/1').mkdir(parents=True)"


def pvc(claim: str, path: str, **more: str) -> dict[str, Any]:
    return {"pvcMount": [{"constant": claim, "mountPath": path, **more}]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.mark.parametrize(
    "mount",
    [
        pvc("models", "/serving"),
        {"pvcMount": [{"pvcNameParameter": {"runtimeValue": {"constant": "models"}}, "mountPath": "/serving"}]},
        pvc("models", "/"),
    ],
)
def test_the_claim_that_a_task_serves_from_is_the_roots_serving_folder(root: Path, mount: dict[str, Any]):
    toys = document(Push=Toy(script=SERVE, container={"args": SERVING}, platform=mount))

    assert states(run(toys, root)) == {"Push": "executed"}
    assert (root / "serving" / "1").is_dir()


def test_the_same_claim_is_the_same_folder_in_a_task_that_does_not_serve(root: Path):
    toys = document(
        Push=Toy(script=SERVE, container={"args": SERVING}, platform=pvc("models", "/serving")),
        Look=Toy(script=spy(root, "os.listdir(pod / 'mnt')"), platform=pvc("models", "/mnt"), after=("Push",)),
    )

    run(toys, root)

    assert seen(root) == ["1"]


def test_serving_where_nothing_is_mounted_is_refused(root: Path):
    with pytest.raises(BadInput, match="Push, /serving: no volume is mounted"):
        run(document(Push=Toy(container={"args": SERVING})), root)


def test_vertex_has_no_claims_and_serves_from_the_roots_serving_folder_and_that_is_said(root: Path):
    toys = {name: Toy(script=SERVE, container={"args": SERVING}) for name in ("Push", "Look")}
    toys["Look"] = dataclasses.replace(toys["Look"], script="", after=("Push",))

    said = told(document(VERTEX, **toys), root)

    assert (root / "serving" / "1").is_dir()
    assert said.count("Vertex AI mounts no volume at /serving by itself: simulated as if one were") == 1


def test_a_claim_is_mounted_without_a_word(root: Path):
    toys = document(Push=Toy(script=SERVE, container={"args": SERVING}, platform=pvc("models", "/serving")))

    assert "mounts no volume" not in told(toys, root)


def told(compiled: Document, root: Path) -> str:
    """Simulates a file and returns what the user is told."""
    file = io.StringIO()
    simulate(compiled, Options(root=root), RunView(Console(file=file, width=200)))
    return file.getvalue()


@pytest.mark.parametrize(
    "mount",
    [
        pvc("stuff", "/mnt"),
        {"secretAsVolume": [{"secretName": "stuff", "mountPath": "/mnt"}]},
        {"configMapAsVolume": [{"configMapName": "stuff", "mountPath": "/mnt"}]},
    ],
)
def test_any_other_volume_needs_a_folder(root: Path, tmp_path: Path, mount: dict[str, Any]):
    toys = document(Look=Toy(script=spy(root, "os.listdir(pod / 'mnt')"), platform=mount))
    folder = tmp_path / "stuff"
    (folder / "inner").mkdir(parents=True)

    with pytest.raises(
        BadInput, match="Look: no folder stands for a volume: got stuff: give one with --volume stuff=DIR"
    ):
        run(toys, root)
    run(toys, root, volumes={"stuff": folder})

    assert seen(root) == ["inner"]


def test_a_path_within_a_volume_and_an_empty_folder_are_mounted(root: Path, tmp_path: Path):
    (tmp_path / "stuff" / "inner" / "file").mkdir(parents=True)
    platform = {**pvc("stuff", "/mnt", subPath="inner"), "emptyDirMounts": [{"mountPath": "/empty"}]}
    toys = document(Look=Toy(script=spy(root, "[os.listdir(pod / p) for p in ('mnt', 'empty')]"), platform=platform))

    run(toys, root, volumes={"stuff": tmp_path / "stuff"})

    assert seen(root) == [["file"], []]


def test_an_optional_secret_may_be_missing(root: Path):
    mount = {"secretAsVolume": [{"secretName": "stuff", "mountPath": "/mnt", "optional": True}]}

    assert states(run(document(Look=Toy(platform=mount)), root)) == {"Look": "executed"}


def test_a_claim_that_a_parameter_names_is_refused(root: Path):
    mount = {"pvcMount": [{"componentInputParameter": "claim", "mountPath": "/mnt"}]}

    with pytest.raises(BadInput, match="/mnt: a claim that a parameter names is not imitated"):
        run(document(Look=Toy(platform=mount)), root)


def test_variables_from_secrets_are_empty_and_the_user_is_told(root: Path):
    secret = {"secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "TOKEN"}]}]}
    toys = document(Look=Toy(script=spy(root, "os.environ['TOKEN']"), platform=secret))

    assert "Look: TOKEN comes from a secret and is empty here" in told(toys, root)
    assert seen(root) == ""
