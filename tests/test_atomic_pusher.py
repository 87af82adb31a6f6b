"""The Pusher node: blessings, records, the manifest; and what the stock Pusher does in the same places.

That a version is whole or absent is shown in test_publish.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tfx.dsl.components.base import base_executor
from tfx.orchestration import data_types
from tfx.types import channel, standard_artifacts

from components.atomic_pusher import AtomicPusher, AtomicPusherDriver, AtomicPusherExecutor
from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, Refused
from components.serving import FORMAT_SERVING, versions

pytestmark = pytest.mark.e2e

STOCK_PUSHES = """
# Pushes the models in argv[2:] with the stock executor, all within the same second; prints what each record says.
import sys, time
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

time.time = lambda: 1700000000.0
to = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=sys.argv[1]))
for uri in sys.argv[2:]:
    model, pushed = standard_artifacts.Model(), standard_artifacts.PushedModel()
    model.uri, pushed.uri = uri, uri + "-pushed"
    model.mlmd_artifact.custom_properties["tfx_version"].string_value = "1.16.0"
    executor.Executor().Do({"model": [model]}, {"pushed_model": [pushed]}, {"push_destination": proto_utils.proto_to_json(to)})
    print(pushed.get_int_custom_property("pushed"), pushed.get_string_custom_property("pushed_destination"))
"""

CRASH_BEFORE_LAST_COPY = """
import os, signal
from tfx.utils import io_utils
io_utils.copy_file = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
"""


class Push:
    """One execution of the node in a root, as the runner would start it."""

    def __init__(self, root: Path, number: int = 1) -> None:
        self.root, self.number = root, number
        self.model = standard_artifacts.Model()
        self.model.uri = str(root / "artifacts" / "Classifier" / "model" / str(number))
        self.blessings = {"model_blessing": standard_artifacts.ModelBlessing()}
        self.blessings["infra_blessing"] = standard_artifacts.InfraBlessing()
        for blessing in self.blessings.values():
            blessing.set_int_custom_property("blessed", 1)
        self.pushed = standard_artifacts.PushedModel()
        self.pushed.uri = str(root / "artifacts" / "Pusher" / "pushed_model" / str(number))
        self.manifest = root / "tmp" / str(number) / "provenance.json"
        self.manifest.parent.mkdir(parents=True)
        self.manifest.write_text("{}")

    def train(self, content: str) -> Push:
        saved_model = Path(self.model.uri) / FORMAT_SERVING
        (saved_model / "variables").mkdir(parents=True)
        (saved_model / "saved_model.pb").write_text(content)
        (saved_model / "variables" / "variables.index").write_text(content)
        self.model.set_string_custom_property("sha256", tree_digest(saved_model))
        return self

    def run(self, serving_dir: str = "serving") -> Push:
        context = base_executor.BaseExecutor.Context(tmp_dir=str(self.root / "tmp"), unique_id=str(self.number))
        AtomicPusherExecutor(context).Do(
            {"model": [self.model], **{key: [found] for key, found in self.blessings.items()}},
            {"pushed_model": [self.pushed]},
            {"serving_dir": serving_dir},
        )
        return self

    @property
    def record(self) -> dict[str, object]:
        return json.loads((Path(self.pushed.uri) / "pushed.json").read_text())


def test_a_blessed_model_is_served_and_recorded_as_the_stock_pusher_records_it(tmp_path):
    push = Push(tmp_path).train("a").run()
    assert push.pushed.get_int_custom_property("pushed") == 1
    assert push.pushed.get_string_custom_property("pushed_version") == "1"
    assert push.pushed.get_string_custom_property("pushed_destination") == str(tmp_path / "serving" / "1")
    digest = tree_digest(tmp_path / "serving" / "1")
    assert push.record == {"version": 1, "path": "serving/1", "digest": digest, "repeated": False}


@pytest.mark.parametrize("refused_by", ["model_blessing", "infra_blessing"])
@pytest.mark.parametrize("value", [0, None])
def test_without_both_blessings_nothing_is_pushed(tmp_path, refused_by, value):
    push = Push(tmp_path).train("a")
    push.blessings[refused_by] = type(push.blessings[refused_by])()
    if value is not None:
        push.blessings[refused_by].set_int_custom_property("blessed", value)
    push.run()
    assert push.pushed.get_int_custom_property("pushed") == 0
    assert versions(tmp_path / "serving") == []


def test_two_pushes_in_one_second_each_record_their_own_bytes(tmp_path):
    pushes = [Push(tmp_path, number).train(content).run() for number, content in ((1, "a"), (2, "b"))]
    assert [push.record["version"] for push in pushes] == [1, 2]
    for push in pushes:
        assert tree_digest(push.root / push.record["path"]) == push.record["digest"]
        assert push.record["digest"] == push.model.get_string_custom_property("sha256")


def test_pushing_the_very_same_bytes_records_the_version_that_is_served_already(tmp_path):
    Push(tmp_path, 1).train("a").run()
    again = Push(tmp_path, 2).train("a").run()
    assert (again.record["version"], again.record["repeated"]) == (1, True)


def test_a_model_changed_after_training_is_refused(tmp_path):
    push = Push(tmp_path).train("a")
    (Path(push.model.uri) / FORMAT_SERVING / "saved_model.pb").write_text("b")
    with pytest.raises(Refused, match="not the bytes that were evaluated"):
        push.run()
    assert versions(tmp_path / "serving") == []


def test_without_a_manifest_nothing_is_served(tmp_path):
    push = Push(tmp_path).train("a")
    push.manifest.unlink()
    with pytest.raises(EnvironmentProblem, match="provenance manifest is missing"):
        push.run()
    assert versions(tmp_path / "serving") == []


def test_a_bucket_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot serve from a bucket"):
        Push(tmp_path).train("a").run("gs://bucket/serving")


def test_the_node_declares_the_stock_channels():
    inputs = {
        "model": standard_artifacts.Model,
        "model_blessing": standard_artifacts.ModelBlessing,
        "infra_blessing": standard_artifacts.InfraBlessing,
    }
    channels = {name: channel.Channel(type=kind) for name, kind in inputs.items()}
    node = AtomicPusher(**channels, serving_dir="serving", code_digest="0" * 64)
    assert set(node.inputs) == set(inputs)
    assert node.outputs["pushed_model"].type is standard_artifacts.PushedModel


@pytest.mark.slow
def test_the_stock_pusher_records_another_models_bytes_within_a_second(tmp_path):
    """Before: the same two pushes as above. The second record says pushed, and points at the first model."""
    models = [Push(tmp_path, number).train(content).model for number, content in ((1, "a"), (2, "b"))]
    command = [sys.executable, "-c", STOCK_PUSHES, tmp_path / "serving", *(model.uri for model in models)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [line.split() for line in lines]
    assert [pushed for pushed, _ in records] == ["1", "1"]
    assert records[0][1] == records[1][1]
    assert tree_digest(records[1][1]) == models[0].get_string_custom_property("sha256")


@pytest.mark.slow
def test_the_stock_pusher_killed_in_mid_copy_leaves_a_version_without_a_model(tmp_path):
    """Before: what test_publish.py shows never to happen. A server takes this for the newest version."""
    model = Push(tmp_path).train("a").model
    script = CRASH_BEFORE_LAST_COPY + STOCK_PUSHES
    command = [sys.executable, "-c", script, tmp_path / "serving", model.uri]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    (served,) = versions(tmp_path / "serving")
    assert not served.complete


def test_in_an_interactive_context_nothing_is_pushed_and_that_is_said(tmp_path):
    driver = AtomicPusherDriver(None)
    with pytest.warns(UserWarning, match="nothing is served from an InteractiveContext"):
        properties = driver.unrecorded({"serving_dir": "serving"}, {}, tmp_path)
    push = Push(tmp_path).train("a").run(**properties)
    assert push.pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()
    assert driver.resolved({"serving_dir": "serving"}, {}, tmp_path) == {"serving_dir": "serving"}


def test_an_interactive_context_is_refused_a_root_with_records(tmp_path):
    (tmp_path / "ledger.jsonl").touch()
    info = data_types.PipelineInfo(pipeline_name="digits", pipeline_root=str(tmp_path / "artifacts"))
    with pytest.raises(BadInput, match="an InteractiveContext keeps no records"):
        AtomicPusherDriver(None).pre_execution({}, {}, {}, None, info, None)
