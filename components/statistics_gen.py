"""Statistics of every split by TFDV; see `components.statistics_executor`."""

from __future__ import annotations

from typing import Any

from tfx.types import standard_component_specs

from components.base import BeamComponent
from components.declaration import OWN_PARAMETERS, BeamExecutorByPath


class MnistStatisticsGenSpec(standard_component_specs.StatisticsGenSpec):  # type: ignore[misc]  # tfx has no annotations
    """StatisticsGen's interface and our own parameters."""

    PARAMETERS = {**standard_component_specs.StatisticsGenSpec.PARAMETERS, **OWN_PARAMETERS}


class MnistStatisticsGen(BeamComponent):
    """Statistics over raw `image` and `label` of each split."""

    SPEC_CLASS = MnistStatisticsGenSpec
    EXECUTOR_SPEC = BeamExecutorByPath("components.statistics_executor.StatisticsExecutor")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(exclude_splits="[]", **arguments)
