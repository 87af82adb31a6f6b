"""The declaration of the Evaluator node; its executor runs where TensorFlow is."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component
from tfx.types import channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.declaration import OWN_PARAMETERS, BeamExecutorByPath


class MnistEvaluatorSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """Candidate and baseline in, evaluation and blessing out; channel names are the stock Evaluator's."""

    PARAMETERS = {"data": ExecutionParameter(type=str), **OWN_PARAMETERS}  # noqa: RUF012  # TFX's idiom
    INPUTS = {  # noqa: RUF012  # TFX's idiom
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {  # noqa: RUF012  # TFX's idiom
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class MnistEvaluator(base_beam_component.BaseBeamComponent):  # type: ignore[misc]  # tfx has no annotations
    """Measures the candidate on `test` beside the served model, and blesses it or says why not."""

    SPEC_CLASS = MnistEvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorByPath("components.evaluation.executor.MnistEvaluatorExecutor")

    def __init__(  # noqa: PLR0913  # one argument to each arrow of the graph
        self,
        *,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        schema: channel.BaseChannel,
        settings: str,
        data: str,
        code_digest: str,
        baseline_model: channel.BaseChannel | None = None,
    ) -> None:
        """Declares the node.

        Args:
          examples: its `test` split is measured on.
          model: the candidate.
          schema: of the raw Examples.
          settings: `EvaluationSettings` as canonical JSON.
          data: `DataSettings` as canonical JSON.
          code_digest: of this node's code.
          baseline_model: what `Baseline` gave.
        """
        super().__init__(
            MnistEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                settings=settings,
                data=data,
                code_digest=code_digest,
                evaluation=channel.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=channel.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
