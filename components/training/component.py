"""The declaration both Trainers share: TFX's generic Trainer executor around a `run_fn` named by import path."""

from __future__ import annotations

from typing import ClassVar

from tfx.proto import trainer_pb2
from tfx.types import channel, standard_component_specs

from components.base import Component
from components.declaration import OWN_PARAMETERS, PythonExecutorByPath, custom_config
from components.features import TRAIN, VALIDATION

_STOCK = standard_component_specs.TrainerSpec


class KerasTrainerSpec(_STOCK):  # type: ignore[misc,valid-type]  # tfx has no annotations
    """Trainer's interface and our own parameters."""

    PARAMETERS = {**_STOCK.PARAMETERS, **OWN_PARAMETERS}


class KerasTrainer(Component):
    """Trains on `train`, chooses on `validation`; a subclass names its `run_fn`."""

    SPEC_CLASS = KerasTrainerSpec
    EXECUTOR_SPEC = PythonExecutorByPath("tfx.components.trainer.executor.GenericExecutor")
    RUN_FN: ClassVar[str]

    def __init__(self, *, settings: str, data: str, code_digest: str, **inputs: channel.BaseChannel | None) -> None:
        super().__init__(
            train_args=trainer_pb2.TrainArgs(splits=[TRAIN]),
            eval_args=trainer_pb2.EvalArgs(splits=[VALIDATION]),
            run_fn=self.RUN_FN,
            custom_config=custom_config(settings, data, code_digest),
            code_digest=code_digest,
            **inputs,
        )
