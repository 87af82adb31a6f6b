"""Stock defects 4 and 9, shown on TFX's own runner and components, and gone in ours.

Each stock pipeline runs in a process of its own, since it needs the whole of TFX.
"""

import json
import shutil
import subprocess
import sys

import pytest
from command_line import PROJECT, mnist_tfx

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STOCK_TRAINER = """
import json, os, sys
sys.path.insert(0, os.getcwd())
from tfx import v1 as tfx
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

def run():
    examples = tfx.dsl.Importer(
        source_uri=os.path.abspath("examples"), artifact_type=tfx.types.standard_artifacts.Examples,
        properties={"split_names": json.dumps(["train", "eval"])},
    ).with_id("examples")
    trainer = tfx.components.Trainer(
        examples=examples.outputs["result"], run_fn="stage.run_fn", custom_config={},
        train_args=tfx.proto.TrainArgs(), eval_args=tfx.proto.EvalArgs(),
    )
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(os.path.abspath("metadata.db"))
    tfx.orchestration.LocalDagRunner().run(tfx.dsl.Pipeline(
        pipeline_name="stock", pipeline_root=os.path.abspath("root"), components=[examples, trainer],
        enable_cache=True, metadata_connection_config=connection,
    ))

def trainers():
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = os.path.abspath("metadata.db")
    store = metadata_store.MetadataStore(config)
    states = metadata_store_pb2.Execution.State
    return [states.Name(e.last_known_state) for e in store.get_executions_by_type("tfx.components.trainer.component.Trainer")]

run()
exec(open("between.py").read())
run()
print(json.dumps({"states": trainers(), "model": open("root/Trainer/model/2/Format-Serving/model.txt").read()}))
"""

STAGE = """
def run_fn(fn_args):
    import os
    import weights
    os.makedirs(fn_args.serving_model_dir)
    with open(os.path.join(fn_args.serving_model_dir, "model.txt"), "w") as file:
        file.write(weights.VALUE)
"""


def _stock(folder, between):
    for split in ("train", "eval"):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
    (folder / "stage.py").write_text(STAGE)
    (folder / "weights.py").write_text('VALUE = "first"\n')
    (folder / "between.py").write_text(between)
    done = subprocess.run(
        [sys.executable, "-c", STOCK_TRAINER], capture_output=True, text=True, check=False, cwd=folder, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_stock_tfx_reuses_a_cached_artifact_whose_bytes_were_changed(tmp_path):
    answer = _stock(tmp_path, 'open("root/Trainer/model/2/Format-Serving/model.txt", "w").write("tampered")')
    assert answer == {"states": ["COMPLETE", "CACHED"], "model": "tampered"}


def test_stock_tfx_misses_a_changed_helper_of_a_function_named_by_import_path(tmp_path):
    answer = _stock(tmp_path, 'open("weights.py", "w").write(\'VALUE = "second"\\n\')')
    assert answer == {"states": ["COMPLETE", "CACHED"], "model": "first"}


def test_ours_computes_a_changed_artifact_again_and_serves_nothing_new_for_it(root, digits_folder):
    [model] = (root / "artifacts" / "Autoencoder" / "model").iterdir()
    with (model / "Format-Serving" / "saved_model.pb").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 0, answer.err
    assert answer.states()["Autoencoder"] == "executed"
    assert answer.states()["Transform"] == "cached"
    assert "was changed on disk" in answer.err


@pytest.mark.parametrize(
    ("edited", "executes_first"),
    [
        ("components/preprocessing.py", "Transform"),
        ("components/autoencoder/model.py", "Autoencoder"),
        ("components/classifier/trainer.py", "Classifier"),
        ("components/statistics_gen.py", "StatisticsGen"),
        ("components/evaluation/thresholds.py", "Evaluator"),
        ("components/publish.py", "Pusher"),
    ],
)
def test_ours_executes_exactly_what_depends_on_edited_code(root, digits_folder, tmp_path, edited, executes_first):
    project = tmp_path / "project"
    for folder in ("components", "pipeline", "schema"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "requirements.lock", project)
    with (project / edited).open("a") as file:
        file.write("\n# a remark\n")
    answer = mnist_tfx(
        "run", "--data", digits_folder, "--root", root, "--dry-run", "--json",
        env={"PYTHONPATH": str(project)}, cwd=project,
    )  # fmt: skip
    states, why = answer.states(), answer.why()
    executed = [node for node, state in states.items() if state == "execute"]
    assert executed[0] == executes_first
    assert why[executes_first] == f"code changed: {edited}"
    assert all(reason.endswith("executes") for node, reason in why.items() if node in executed[1:])
