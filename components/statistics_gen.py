"""Examples -> TFDV statistics of every split: the stock executor under a declaration that carries the code digest."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component
from tfx.types import channel, standard_artifacts, standard_component_specs

from components.declaration import OWN_PARAMETERS, BeamExecutorByPath


class MnistStatisticsGenSpec(standard_component_specs.StatisticsGenSpec):  # type: ignore[misc]  # tfx has no annotations
    """StatisticsGen's interface and our own parameters."""

    PARAMETERS = {**standard_component_specs.StatisticsGenSpec.PARAMETERS, **OWN_PARAMETERS}  # noqa: RUF012  # TFX's idiom


class MnistStatisticsGen(base_beam_component.BaseBeamComponent):  # type: ignore[misc]  # tfx has no annotations
    """Statistics over raw `image` and `label` of each split."""

    SPEC_CLASS = MnistStatisticsGenSpec
    EXECUTOR_SPEC = BeamExecutorByPath("tfx.components.statistics_gen.executor.Executor")

    def __init__(self, *, examples: channel.BaseChannel, code_digest: str) -> None:
        super().__init__(
            MnistStatisticsGenSpec(
                examples=examples,
                exclude_splits="[]",
                code_digest=code_digest,
                statistics=channel.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
