"""The Evaluator's executor: TFX's own measures through TFMA, `thresholds` decides, the blessing says what was decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator import constants, executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from components.beam_arguments import works_alone
from components.errors import EnvironmentProblem
from components.evaluation import single_pass
from components.evaluation.eval_config import BASELINE, CANDIDATE, eval_config
from components.evaluation.results import Measured, read_measured, write_metrics
from components.evaluation.thresholds import NOT_BLESSED_FILE, VERDICT_FILE, Verdict, judge
from components.features import TEST
from components.files import files_in
from components.serving import BASELINE_PROPERTY, NO_BASELINE
from components.settings import DataSettings, EvaluationSettings

EXTRACTORS: Final = "components.evaluation.extraction.custom_extractors"

MODEL: Final = standard_component_specs.MODEL_KEY
BASELINE_MODEL: Final = standard_component_specs.BASELINE_MODEL_KEY


class MnistEvaluatorExecutor(executor.Executor):  # type: ignore[misc]  # tfx has no annotations
    """The stock executor with our eval_config, and with a verdict of our own in place of its blessing.

    TFMA's Beam pass is left out where it would run on this machine alone.
    """

    def Do(  # noqa: N802  # TFX's name
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Evaluate; a refused candidate is no error here, but a blessing that says no."""
        served = _baseline_of(input_dict)
        inputs = {key: found for key, found in input_dict.items() if key != BASELINE_MODEL or served != NO_BASELINE}
        if works_alone(self._beam_pipeline_args):
            _measure(inputs, output_dict)
        else:
            self._measure_by_beam(inputs, output_dict)
        uri = Path(artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY]))
        candidate, baseline = _measured(uri, compared=served != NO_BASELINE)
        write_metrics(uri, candidate, baseline, served)
        verdict = judge(
            EvaluationSettings.from_json(exec_properties["settings"]),
            DataSettings.from_json(exec_properties["data"]),
            candidate,
            baseline,
            served,
        )
        (uri / VERDICT_FILE).write_text(verdict.to_json())
        _bless(
            artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY]), verdict, input_dict
        )

    def _measure_by_beam(self, inputs: dict[str, list[Any]], output_dict: dict[str, list[Any]]) -> None:
        # TFMA 0.52 leaves its protos out of `sdk.__all__`, and TFX 1.21 asks for this one where 0.47 had it.
        tfma.EvalConfig = config_pb2.EvalConfig
        super().Do(
            inputs,
            output_dict,
            {
                standard_component_specs.EVAL_CONFIG_KEY: eval_config(baseline=BASELINE_MODEL in inputs),
                standard_component_specs.EXAMPLE_SPLITS_KEY: json.dumps([TEST]),
                "custom_extractors": EXTRACTORS,
            },
        )


def _measure(inputs: Mapping[str, list[Any]], output_dict: Mapping[str, list[Any]]) -> None:
    """Evaluate in one pass, on what the stock executor would give TFMA."""
    folders = {
        key: Path(path_utils.serving_model_path(found.uri, path_utils.is_old_model_artifact(found)))
        for key, artifacts in inputs.items()
        if key in (MODEL, BASELINE_MODEL)
        for found in [artifact_utils.get_single_instance(artifacts)]
    }
    splits = artifact_utils.get_split_uris(inputs[standard_component_specs.EXAMPLES_KEY], TEST)
    single_pass.evaluate(
        json_format.Parse(eval_config(baseline=BASELINE_MODEL in folders), config_pb2.EvalConfig()),
        folders[MODEL],
        folders.get(BASELINE_MODEL),
        [shard for split in splits for shard in files_in(split)],
        Path(artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])),
    )


def _baseline_of(input_dict: Mapping[str, list[Any]]) -> str:
    """Name the baseline; an artifact that does not say what it is must not pass for none."""
    found = input_dict.get(BASELINE_MODEL)
    if not found:
        return NO_BASELINE
    artifact = artifact_utils.get_single_instance(found)
    name = str(artifact.get_string_custom_property(BASELINE_PROPERTY))
    if not name:
        raise EnvironmentProblem(
            "a baseline without a name", where=artifact.uri, wanted=f"the property `{BASELINE_PROPERTY}`"
        )
    return name


def _measured(uri: Path, *, compared: bool) -> tuple[Measured, Measured | None]:
    slices = list(tfma.load_metrics(str(uri)))
    if not compared:
        return read_measured(slices, ""), None
    return read_measured(slices, CANDIDATE), read_measured(slices, BASELINE)


def _bless(blessing: Any, verdict: Verdict, input_dict: Mapping[str, list[Any]]) -> None:
    """Write the blessing as stock consumers expect it, and names the baseline."""
    model = artifact_utils.get_single_instance(input_dict[MODEL])
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_string_custom_property(BASELINE_PROPERTY, verdict.baseline)
    if verdict.baseline != NO_BASELINE:
        served = artifact_utils.get_single_instance(input_dict[BASELINE_MODEL])
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, served.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, served.id)
    name = constants.BLESSED_FILE_NAME if verdict.blessed else NOT_BLESSED_FILE
    Path(blessing.uri).mkdir(parents=True, exist_ok=True)
    # A pod that pushes sees the blessing alone, and has to say what the model lacks; consumers ask for the name only.
    (Path(blessing.uri) / name).write_text("" if verdict.blessed else verdict.to_json())
    value = constants.BLESSED_VALUE if verdict.blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
