"""Our components under TFX's own InteractiveContext, and our pipeline under its LocalDagRunner."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT

from components.errors import Refused
from pipeline.stages import STAGES

pytestmark = pytest.mark.e2e

EXPLORE = """
import json, sys, warnings
from pathlib import Path
from tfx.orchestration.experimental.interactive.interactive_context import InteractiveContext
from pipeline.config.request import Request, configure, settings_and_paths
from pipeline.pipeline import create_pipeline

data, root, place = map(Path, sys.argv[1:])
request = Request(data=(data,), root=root, overrides=("classifier.epochs=1", "autoencoder.epochs=1"))
pipeline = create_pipeline(configure(request, *settings_and_paths(request)))
context = InteractiveContext(pipeline_name="digits", pipeline_root=str(place))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    ran = {node.id: context.run(node).execution_id for node in pipeline.components}
outputs = {node.id: {name: channel.get()[0].uri for name, channel in node.outputs.items()} for node in pipeline.components}
again = context.run(pipeline.components[0]).component.outputs["examples"].get()[0].uri
pushed = pipeline.components[-1].outputs["pushed_model"].get()[0].get_int_custom_property("pushed")
warned = [str(one.message) for one in said if "InteractiveContext" in str(one.message)]
print(json.dumps({"ran": ran, "outputs": outputs, "again": again, "pushed": pushed, "warned": warned}))
"""


def test_interactive_context_runs_every_stage_in_order_and_serves_nothing(digits_folder, tmp_path):
    script, place = tmp_path / "explore.py", tmp_path / "explored"
    script.write_text(EXPLORE)
    # Outside of IPython the context does nothing at all.
    command = [sys.executable, "-m", "IPython", script, "--", digits_folder, tmp_path / "root", place]
    env = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(found["ran"]) == sorted(STAGES)
    assert list(found["ran"].values()) == sorted(found["ran"].values())
    assert all(
        any(Path(uri).iterdir()) for node, made in found["outputs"].items() if node != "Pusher" for uri in made.values()
    )
    assert found["again"] == found["outputs"]["ExampleGen"]["examples"]  # from the cache: the data have not changed
    assert found["pushed"] == 0
    assert [text.partition(":")[0] for text in found["warned"]] == [
        "nothing is served from an InteractiveContext, which keeps no record of what the model was made from"
    ]
    # What the drivers copy is below the context's own folder, and nothing beside it.
    assert {one.name for one in place.iterdir()} >= {"inputs", "ExampleGen"}
    assert {one.name for one in tmp_path.iterdir()} == {"explore.py", "explored", "ipython"}


@pytest.mark.parametrize("store", [True, False])
def test_local_dag_runner_is_refused_before_anything_is_written(digits_folder, tmp_path, store):
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from pipeline.config.request import Request, configure, settings_and_paths
    from pipeline.pipeline import create_pipeline

    request = Request(data=(digits_folder,), root=tmp_path / "root")
    pipeline = create_pipeline(configure(request, *settings_and_paths(request)))
    if store:
        pipeline.metadata_connection_config = sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))
    with pytest.raises(Refused, match=r"TFX's own runners keep no records.* `mnist-tfx run`, or mnist_tfx\.run\(\)"):
        LocalDagRunner().run(pipeline)
    assert list(tmp_path.iterdir()) == []
