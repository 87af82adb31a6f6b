"""What TFX's own compiler writes, executed under the rules of open-source Kubeflow Pipelines: six ways to fail.

The seventh test is the one on the other side: what we write does not.
"""

from pathlib import Path
from typing import Any

import pytest
from kubeflow.compiled_files import broken, digits, stock, stock_resolver
from rich.console import Console

from components.errors import BadInput
from pipeline.kubeflow import names
from pipeline.kubeflow.document import OSS, Document
from pipeline.kubeflow.simulate.outcome import Simulated
from pipeline.kubeflow.simulate.run import Options, Simulation, simulate
from pipeline.runner.progress import RunView

ARTIFACT = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}


def run(document: Document, root: Path, **options: Any) -> Simulated:
    return simulate(document, Options(root=root, target=OSS, **options), RunView(Console(quiet=True)))


def with_root(document: Document) -> Document:
    """Puts back what the YAML form loses, so that other failures can show."""
    return broken(document, lambda d: d.spec.update(defaultPipelineRoot="minio://b/m"))


def keep(document: Document, *tasks: str) -> None:
    dag = document.spec["root"]["dag"]["tasks"]
    document.spec["root"]["dag"]["tasks"] = {name: dag[name] for name in tasks}


def renamed(document: Document) -> None:
    tasks = document.spec["root"]["dag"]["tasks"]
    tasks["Example.Gen"] = tasks.pop("ExampleGen")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (lambda: with_root(stock(schema_2_1=False)), r"2\.1\.0"),
        (stock_resolver, "resolver"),
        (lambda: broken(with_root(stock(schema_2_1=True)), renamed), r"Example\.Gen"),
    ],
    ids=["schema 2.0.0", "a resolver", "an id that Argo refuses"],
)
def test_the_api_server_or_argo_refuses(document: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        run(document(), tmp_path / "root")


@pytest.mark.e2e
@pytest.mark.slow
def test_tensorflow_cannot_open_what_the_object_store_is_called_there(tmp_path: Path) -> None:
    alone = broken(with_root(stock(schema_2_1=True)), makes_its_output_folder)
    failed = run(alone, tmp_path / "root")
    assert failed.error.exit_code == 4
    assert "scheme 'minio' not implemented" in failed.log.read_text(errors="replace")


def makes_its_output_folder(document: Document) -> None:
    """Leaves ExampleGen alone, and of its work the first thing that a stock executor does."""
    keep(document, "ExampleGen")
    script = (
        "import json, sys; from tfx.dsl.io import fileio;"
        "made = json.loads(sys.argv[1])['outputs']['artifacts']['examples']['artifacts'][0];"
        "fileio.makedirs(made['uri'])"
    )
    spec: Any = document.spec
    container = spec["deploymentSpec"]["executors"]["ExampleGen_executor"]["container"]
    container |= {"command": ["python", "-c", script], "args": ["{{$}}"]}


@pytest.mark.e2e
@pytest.mark.slow
def test_an_input_comes_without_its_type(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    examples.mkdir()
    alone = broken(with_root(stock(schema_2_1=True)), reads_imported_examples)
    failed = run(alone, tmp_path / "root", buckets={"minio://b/lake/examples": examples})
    assert failed.error.exit_code == 4
    assert "'NoneType' object has no attribute 'get'" in failed.log.read_text(errors="replace")


def reads_imported_examples(document: Document) -> None:
    """Leaves StatisticsGen alone, with Examples from an importer."""
    keep(document, "StatisticsGen")
    spec: Any = document.spec
    tasks = spec["root"]["dag"]["tasks"]
    schema = spec["components"]["ExampleGen"]["outputDefinitions"]["artifacts"]["examples"]["artifactType"]
    tasks["ExampleGen"] = {"taskInfo": {"name": "ExampleGen"}, "componentRef": {"name": "imported"}}
    spec["components"]["imported"] = {
        "executorLabel": "imported",
        "outputDefinitions": {"artifacts": {"examples": {"artifactType": schema}}},
    }
    importer = {"artifactUri": {"constant": "minio://b/lake/examples"}, "typeSchema": schema, "reimport": True}
    spec["deploymentSpec"]["executors"]["imported"] = {"importer": importer}


def test_the_hook_in_which_the_data_is_looked_at_is_ignored_and_kfps_key_has_nothing_else_of_the_data() -> None:
    container = stock(schema_2_1=True).tasks["ExampleGen"].container or {}
    assert "file_based_example_gen.driver" in " ".join(container["lifecycle"]["preCacheCheck"]["command"])
    asked = stock(schema_2_1=True).tasks["ExampleGen"].spec["inputs"]["parameters"]
    # All of it was known when the file was compiled: what the files hold now changes no key.
    assert {next(iter(value)) for value in asked.values()} == {"runtimeValue"}


def test_ours_has_none_of_the_six(tmp_path: Path) -> None:
    document = digits()
    Simulation(document, Options(root=tmp_path / "root", target=OSS))  # refuses what a cluster would
    example_gen = document.tasks["ExampleGen"]
    assert "lifecycle" not in (example_gen.container or {})
    told = example_gen.spec["inputs"]["parameters"][names.FINGERPRINT]["taskOutputParameter"]
    assert told == {"producerTask": names.DRIVER, "outputParameterKey": names.FINGERPRINT}
    assert not document.tasks[names.DRIVER].cached
    commands = {tuple(task.container["command"]) for task in document.tasks.values() if task.container}
    assert commands == {("python", "-m", names.ENTRYPOINT)}
