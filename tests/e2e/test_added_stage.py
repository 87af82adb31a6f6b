"""A stage added to a copy of the project as CONTRIBUTING says: one component, one row of `pipeline.stages`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COMPONENT = '''"""RowCount: counts the rows of every split."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.declaration import OWN_PARAMETERS


class RowCountSpec(ComponentSpec):
    PARAMETERS = dict(OWN_PARAMETERS)
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"count": ChannelParameter(type=standard_artifacts.ExampleStatistics)}


class RowCountExecutor(base_executor.BaseExecutor):
    def Do(self, input_dict, output_dict, exec_properties):
        facts = json.loads((Path(input_dict["examples"][0].uri) / "data.json").read_text())
        folder = Path(output_dict["count"][0].uri)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.json").write_text(json.dumps(facts["splits"]))


class RowCount(base_component.BaseComponent):
    SPEC_CLASS = RowCountSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(RowCountExecutor)

    def __init__(self, *, examples, code_digest):
        count = channel.Channel(type=standard_artifacts.ExampleStatistics)
        super().__init__(RowCountSpec(examples=examples, count=count, code_digest=code_digest))
'''

ROW = """    Stage(
        id="RowCount",
        component="components.row_count.RowCount",
        inputs={"examples": "ExampleGen.examples"},
        in_process=True,
    ),
"""
BEFORE = "    Stage(\n        id=TRANSFORM,"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project, copied, with a stage that counts rows."""
    folder = tmp_path_factory.mktemp("with_a_stage")
    for name in ("components", "pipeline", "schema"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", ".gitignore"):
        shutil.copy(PROJECT / name, folder)
    (folder / "components" / "row_count.py").write_text(COMPONENT)
    table = folder / "pipeline" / "stages.py"
    rows = table.read_text()
    assert rows.count(BEFORE) == 1
    table.write_text(rows.replace(BEFORE, ROW + BEFORE))
    # The audit's policy asks for the commit behind a model.
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "a stage"]):
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def command(project):
    """Runs the copy's command line, and returns what it prints."""

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(project)}
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd=project, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def root(command, tmp_path_factory):
    """A root in which the copy has run."""
    root = tmp_path_factory.mktemp("root") / "digits"
    answer = json.loads(command("run", "--root", root, *QUICK, "--json"))["data"]
    states = {node["id"]: node["state"] for node in answer["nodes"]}
    assert states["RowCount"] == "executed"
    return root


def test_an_added_stage_runs_and_its_output_is_kept(root):
    (counted,) = root.glob("artifacts/RowCount/count/*/rows.json")
    assert json.loads(counted.read_text())["train"]["rows"] == 1215


def test_an_added_stage_is_cached_the_next_time(command, root):
    again = json.loads(command("run", "--root", root, *QUICK, "--json"))["data"]
    assert {node["id"]: node["state"] for node in again["nodes"]}["RowCount"] == "cached"


def test_an_added_stage_is_recorded_with_its_own_code(root):
    records = [json.loads(file.read_text()) for file in (root / "records").glob("*.json")]
    (record,) = [record for record in records if record.get("node") == "RowCount"]
    assert "components/row_count.py" in record["code"]["files"]


def test_an_added_stage_does_not_disturb_the_audit(command, root):
    (audited,) = json.loads(command("lineage", "audit", "--root", root, "--json"))["data"]["audits"]
    assert {audited["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")} == {"PASS"}


def test_an_added_stage_is_reported(command, root, tmp_path):
    page = tmp_path / "report.html"
    command("report", "--root", root, "-o", page)
    assert "RowCount" in page.read_text()


def test_an_added_stage_is_rebuilt_into_a_metadata_store(command, root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, symlinks=True)
    (copy / "metadata.db").unlink()
    command("lineage", "rebuild", "--root", copy)
    command("lineage", "audit", "--root", copy)


def test_an_added_stage_is_compiled_and_simulated(command, tmp_path):
    compiled = tmp_path / "digits.yaml"
    command(
        "kubeflow", "compile", "--target", "oss", "--image", "registry.example/mnist-tfx:1",
        "--pipeline-root", "minio://mlpipeline/digits", *QUICK, "-o", compiled,
    )  # fmt: skip
    command("kubeflow", "lint", compiled)
    answer = json.loads(command("kubeflow", "simulate", compiled, "--root", tmp_path / "root", "--json"))["data"]
    assert {task["id"]: task["state"] for task in answer["nodes"]}["RowCount"] == "executed"
    assert answer["audit"]["verdicts"]["COMPLETENESS"] == "PASS"
