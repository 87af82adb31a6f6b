"""Base classes of our own components, executors and drivers.

TFX wants each component to build its own spec and to make its output channels, each executor to unpack lists of one
artifact, and each driver to be two base classes at once. That stands here once.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_beam_component, base_component, base_driver, base_executor
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils, channel

from components.errors import BadInput
from components.layout import LEDGER, root_above, root_of


class Component(base_component.BaseComponent):  # type: ignore[misc]  # tfx has no annotations
    """A component whose constructor takes the inputs and parameters of its `SPEC_CLASS` by keyword."""

    def __init__(self, **arguments: Any) -> None:
        # An optional output asks a stock executor for more work: Transform would materialise the examples.
        outputs = {
            name: channel.Channel(type=output.type)
            for name, output in self.SPEC_CLASS.OUTPUTS.items()
            if not output.optional
        }
        # By name, since the next class in line may be a stock component, whose constructor builds a spec of its own.
        base_component.BaseComponent.__init__(self, self.SPEC_CLASS(**arguments, **outputs))


class BeamComponent(Component, base_beam_component.BaseBeamComponent):  # type: ignore[misc]  # tfx has no annotations
    """A component whose executor is a Beam pipeline."""


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # tfx has no annotations
    """An executor whose channels hold one artifact each."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: Mapping[str, Sequence[Any]],
        output_dict: Mapping[str, Sequence[Any]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        """Execute the node, as TFX calls it."""
        self.execute(_single(input_dict), _single(output_dict), exec_properties)

    @abc.abstractmethod
    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Execute the node.

        Args:
          inputs: {channel: artifact}; an optional channel that nothing feeds is not there.
          outputs: {channel: artifact}, to be filled.
          properties: execution properties, as the driver resolved them.
        """


class Driver(base_driver.BaseDriver, portable_base_driver.BaseDriver):  # type: ignore[misc]  # tfx has no annotations
    """A driver that resolves execution properties before the cache is looked up.

    TFX asks a driver in two ways: its runners' Launcher by `run`, and the launcher of the InteractiveContext, which is
    an older one, by `pre_execution`. Both come to `resolved`.
    """

    def __init__(self, metadata_handle: Any) -> None:
        # The compiler accepts only the first base, whose name for the argument the InteractiveContext uses; the Launcher
        # calls the second.
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    @abc.abstractmethod
    def resolved(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return the execution properties that cache key and executor get; None leaves one out.

        Args:
          properties: as the component declares them.
          inputs: {channel: artifact}; an optional channel that nothing feeds is not there.
          root: of the pipeline.
        """

    def unrecorded(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return them for the InteractiveContext, which keeps no records of ours."""
        return self.resolved(properties, inputs, root)

    def run(self, execution_info: Any) -> driver_output_pb2.DriverOutput:
        """Return the resolved execution properties, as TFX's Launcher asks for them."""
        outputs = _single(execution_info.output_dict)
        root = root_of(next(iter(outputs.values())).uri)
        result = driver_output_pb2.DriverOutput()
        resolved = self.resolved(execution_info.exec_properties, _single(execution_info.input_dict), root)
        for name, value in resolved.items():
            if value is not None:
                data_types_utils.set_metadata_value(result.exec_properties[name], value)
        return result

    def pre_execution(  # noqa: PLR0913  # TFX's arguments
        self,
        input_dict: Mapping[str, Any],
        output_dict: Mapping[str, Any],
        exec_properties: Mapping[str, Any],
        driver_args: Any,
        pipeline_info: Any,
        component_info: Any,
    ) -> Any:
        """Register the execution with the resolved execution properties, as the InteractiveContext asks for it."""
        root = root_above(pipeline_info.pipeline_root)
        if (root / LEDGER).exists():
            # Executions are numbered by a store of its own, and would overwrite recorded artifacts of the same numbers.
            hint = "pipeline_root=None takes a temporary folder"
            raise BadInput(
                "an InteractiveContext keeps no records", where=root, wanted="a folder without any", hint=hint
            )
        properties = dict(exec_properties)
        inputs = self.resolve_input_artifacts(input_dict, properties, driver_args, pipeline_info)
        resolved = self.unrecorded(properties, _single(inputs), root)
        return super().pre_execution(
            input_dict, output_dict, dict(resolved), driver_args, pipeline_info, component_info
        )


def _single(artifacts: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {name: artifact_utils.get_single_instance(found) for name, found in artifacts.items() if found}
