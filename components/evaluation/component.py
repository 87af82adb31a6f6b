"""The declaration of the Evaluator node; its executor runs where TensorFlow is."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.base import BeamComponent
from components.declaration import OWN_PARAMETERS, BeamExecutorByPath


class MnistEvaluatorSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """Candidate and baseline in, evaluation and blessing out; channel names are the stock Evaluator's."""

    PARAMETERS = {"data": ExecutionParameter(type=str), **OWN_PARAMETERS}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class MnistEvaluator(BeamComponent):
    """Measures the candidate on `test` beside the served model, and blesses it or says why not."""

    SPEC_CLASS = MnistEvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorByPath("components.evaluation.executor.MnistEvaluatorExecutor")
