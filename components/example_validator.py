"""Anomalies by the stock executor; what to do about them is SchemaGate's part."""

from __future__ import annotations

from typing import Any

from tfx.types import standard_component_specs

from components.base import Component
from components.declaration import OWN_PARAMETERS, PythonExecutorByPath

_STOCK = standard_component_specs.ExampleValidatorSpec


class MnistExampleValidatorSpec(_STOCK):  # type: ignore[misc,valid-type]  # tfx has no annotations
    """ExampleValidator's interface and our own parameters.

    Without `custom_validation_config`, which TFX 1.21 no longer has.
    """

    PARAMETERS = {
        standard_component_specs.EXCLUDE_SPLITS_KEY: _STOCK.PARAMETERS[standard_component_specs.EXCLUDE_SPLITS_KEY],
        **OWN_PARAMETERS,
    }


class MnistExampleValidator(Component):
    """Anomalies of each split against the reviewed schema."""

    SPEC_CLASS = MnistExampleValidatorSpec
    EXECUTOR_SPEC = PythonExecutorByPath("tfx.components.example_validator.executor.Executor")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(exclude_splits="[]", **arguments)
