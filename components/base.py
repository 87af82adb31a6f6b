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
    """A driver that resolves execution properties before the cache is looked up."""

    def __init__(self, mlmd_connection: Any) -> None:
        # The compiler accepts only the first base, the Launcher calls the second.
        base_driver.BaseDriver.__init__(self, mlmd_connection)
        portable_base_driver.BaseDriver.__init__(self, mlmd_connection)

    @abc.abstractmethod
    def resolved(self, execution_info: Any) -> Mapping[str, Any]:
        """Return the execution properties that cache key and executor get; None leaves one out."""

    def run(self, execution_info: Any) -> driver_output_pb2.DriverOutput:
        """Return the resolved execution properties, as TFX's Launcher asks for them."""
        result = driver_output_pb2.DriverOutput()
        for name, value in self.resolved(execution_info).items():
            if value is not None:
                data_types_utils.set_metadata_value(result.exec_properties[name], value)
        return result


def root_of(artifact_uri: str) -> Path:
    """Return the root of the pipeline that an artifact belongs to.

    The layout is `<root>/artifacts/<node>/<channel>/<execution id>`, of which TFX decides the last three.
    """
    return Path(artifact_uri).absolute().parents[3]


def _single(artifacts: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {name: artifact_utils.get_single_instance(found) for name, found in artifacts.items() if found}
