"""Statistics and the reviewed schema -> anomalies: the stock executor; what to do about them is SchemaGate's part."""

from __future__ import annotations

from tfx.dsl.components.base import base_component
from tfx.types import channel, standard_artifacts, standard_component_specs

from components.declaration import OWN_PARAMETERS, PythonExecutorByPath

_STOCK = standard_component_specs.ExampleValidatorSpec


class MnistExampleValidatorSpec(_STOCK):  # type: ignore[misc,valid-type]  # tfx has no annotations
    """ExampleValidator's interface and our own parameters.

    Without `custom_validation_config`, which TFX 1.21 no longer has.
    """

    PARAMETERS = {  # noqa: RUF012  # TFX's idiom
        standard_component_specs.EXCLUDE_SPLITS_KEY: _STOCK.PARAMETERS[standard_component_specs.EXCLUDE_SPLITS_KEY],
        **OWN_PARAMETERS,
    }


class MnistExampleValidator(base_component.BaseComponent):  # type: ignore[misc]  # tfx has no annotations
    """Anomalies of each split against the reviewed schema."""

    SPEC_CLASS = MnistExampleValidatorSpec
    EXECUTOR_SPEC = PythonExecutorByPath("tfx.components.example_validator.executor.Executor")

    def __init__(self, *, statistics: channel.BaseChannel, schema: channel.BaseChannel, code_digest: str) -> None:
        super().__init__(
            MnistExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits="[]",
                code_digest=code_digest,
                anomalies=channel.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
