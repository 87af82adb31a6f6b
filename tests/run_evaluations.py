"""Runs evaluations in a process of its own, since TFMA decides which Keras the process has.

    python run_evaluations.py CASES.json

CASES.json is a list of objects: `out`, `examples`, `schema`, `model`, `baseline` (folders; the last may be null) and
`settings`, `data` for our executor, which takes a single pass unless `beam` is true, or `eval_config` for the stock one. Each
leaves `out`/evaluation, `out`/blessing and
`out`/properties.json, which holds the blessing's properties.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.update(TF_USE_LEGACY_KERAS="1", CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

from tfx.components.evaluator import executor as stock
from tfx.types import standard_artifacts

from components.evaluation.executor import MnistEvaluatorExecutor

BEAM = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=unused"]

SHARED = ["--direct_running_mode=multi_threading"]
"""Beam shares the work out, if only among the threads of this process."""


def artifact(kind, uri):
    made = kind()
    made.uri = str(uri)
    made.mlmd_artifact.custom_properties["tfx_version"].string_value = "1.16.0"
    return made


def evaluate(case):
    out = Path(case["out"])
    examples = artifact(standard_artifacts.Examples, case["examples"])
    examples.split_names = '["test"]'
    inputs = {
        "examples": [examples],
        "model": [artifact(standard_artifacts.Model, case["model"])],
        "schema": [artifact(standard_artifacts.Schema, case["schema"])],
    }
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
        "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
    }
    for made in outputs.values():
        Path(made[0].uri).mkdir(parents=True)
    kind, properties = stock.Executor, {"example_splits": '["test"]', "eval_config": case.get("eval_config")}
    if "settings" in case:
        kind, properties = MnistEvaluatorExecutor, {"settings": case["settings"], "data": case["data"]}
        baseline = artifact(standard_artifacts.Model, case["baseline"] or "nowhere")
        baseline.set_string_custom_property("baseline", "version 3" if case["baseline"] else "none")
        inputs["baseline_model"] = [baseline]
    beam = [*BEAM, *(SHARED if case.get("beam") else [])]
    kind(kind.Context(beam_pipeline_args=beam, tmp_dir=str(out), unique_id="1")).Do(inputs, outputs, properties)
    blessing = outputs["blessing"][0]
    found = {key: blessing.get_custom_property(key) for key in blessing.mlmd_artifact.custom_properties}
    (out / "properties.json").write_text(json.dumps(found))


for asked in json.loads(Path(sys.argv[1]).read_text()):
    evaluate(asked)
