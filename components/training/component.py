"""The declaration both Trainers share: TFX's generic Trainer executor around a `run_fn` named by import path."""

from __future__ import annotations

from typing import ClassVar

from tfx.dsl.components.base import base_component
from tfx.proto import trainer_pb2
from tfx.types import channel, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.declaration import CODE_DIGEST, OWN_PARAMETERS, SETTINGS, PythonExecutorByPath
from components.features import TRAIN, VALIDATION

_STOCK = standard_component_specs.TrainerSpec


class KerasTrainerSpec(_STOCK):  # type: ignore[misc,valid-type]  # tfx has no annotations
    """Trainer's interface and our own parameters."""

    PARAMETERS = {**_STOCK.PARAMETERS, **OWN_PARAMETERS}  # noqa: RUF012  # TFX's idiom


class KerasTrainer(base_component.BaseComponent):  # type: ignore[misc]  # tfx has no annotations
    """Trains on `train`, chooses on `validation`; a subclass names its `run_fn`."""

    SPEC_CLASS = KerasTrainerSpec
    EXECUTOR_SPEC = PythonExecutorByPath("tfx.components.trainer.executor.GenericExecutor")
    RUN_FN: ClassVar[str]

    def __init__(  # noqa: PLR0913  # one argument to each arrow of the graph
        self,
        *,
        examples: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        schema: channel.BaseChannel,
        settings: str,
        data: str,
        code_digest: str,
        base_model: channel.BaseChannel | None = None,
    ) -> None:
        super().__init__(
            KerasTrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                base_model=base_model,
                train_args=trainer_pb2.TrainArgs(splits=[TRAIN]),
                eval_args=trainer_pb2.EvalArgs(splits=[VALIDATION]),
                run_fn=self.RUN_FN,
                custom_config=json_utils.dumps({SETTINGS: settings, "data": data, CODE_DIGEST: code_digest}),
                code_digest=code_digest,
                model=channel.Channel(type=standard_artifacts.Model),
                model_run=channel.Channel(type=standard_artifacts.ModelRun),
            )
        )
