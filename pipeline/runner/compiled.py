"""The compiled pipeline as the runner sees it: who feeds a node, what it runs, which parameters it gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import message
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import data_types_utils
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import inputs_utils, runtime_parameter_utils
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from components import reviewed_schema
from components.baseline import BaselineDriver
from components.ingest import source
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.pipeline import create_pipeline
from pipeline.provenance.artifacts import ArtifactRef
from pipeline.provenance.code import Code
from pipeline.provenance.records import Scalar
from pipeline.stages import STAGES, Stage


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One node of the compiled pipeline.

    Attributes:
      proto: its part of the intermediate representation.
      executor_spec: which executor runs it.
      driver_spec: its own driver, if it has one.
      code: its code.
    """

    proto: pipeline_pb2.PipelineNode
    executor_spec: message.Message
    driver_spec: message.Message | None
    code: Code

    @property
    def id(self) -> str:
        """The node id, such as `Classifier`."""
        return str(self.proto.node_info.id)

    @property
    def stage(self) -> Stage:
        """Its row of the table."""
        return STAGES[self.id]

    @property
    def beam(self) -> bool:
        """Return whether its executor is a Beam pipeline."""
        return isinstance(self.executor_spec, executable_spec_pb2.BeamExecutableSpec)

    @property
    def executor(self) -> str:
        """The import path of its executor."""
        spec: Any = self.executor_spec
        spec = spec.python_executor_spec if self.beam else spec
        return str(spec.class_path)

    @cached_property
    def inputs(self) -> dict[str, tuple[str, str]]:
        """{channel: (producer's node id, output of the producer)}, in the order of channel names."""
        found = {}
        for channel, spec in sorted(self.proto.inputs.inputs.items()):
            if spec.channels:
                found[channel] = (spec.channels[0].producer_node_query.id, spec.channels[0].output_key)
        return found

    @property
    def producers(self) -> tuple[str, ...]:
        """The nodes it takes artifacts from, each once."""
        return tuple(dict.fromkeys(producer for producer, _ in self.inputs.values()))

    def resolve(self, root: Path, staging: Path, inputs: Mapping[str, tuple[ArtifactRef, ...]]) -> dict[str, Scalar]:
        """Return its execution properties, those that follow from the bytes of data, schema or served model filled in.

        Args:
          root: of the pipeline.
          staging: the folder below which data and schema are copied, the root in a run.
          inputs: {channel: artifacts}.
        """
        schema = inputs_utils.resolve_parameters_with_schema(self.proto.parameters)
        parameters: dict[str, Any] = data_types_utils.build_parsed_value_dict(schema)
        if self.stage.depends_on == "data":
            parameters = source.resolve(parameters, staging)
        elif self.stage.depends_on == "schema":
            parameters = reviewed_schema.resolve(parameters, staging)
        elif self.stage.depends_on == "served":
            digests = {channel: [ref.sha256 for ref in refs] for channel, refs in inputs.items()}
            parameters = BaselineDriver.resolve(parameters, root, digests)
        return {name: value for name, value in parameters.items() if value is not None}


@dataclasses.dataclass(frozen=True, eq=False)
class CompiledPipeline:
    """The compiled pipeline of one run.

    Attributes:
      proto: the intermediate representation, the run id filled in.
      nodes: in topological order.
    """

    proto: pipeline_pb2.Pipeline
    nodes: tuple[Node, ...]


def compile_pipeline(config: PipelineConfig, run_id: str) -> CompiledPipeline:
    """Compile the pipeline for one run; every node executes when launched, since the planner alone decides reuse."""
    proto = compiler.Compiler().compile(create_pipeline(config, recorded=True))
    runtime_parameter_utils.substitute_runtime_parameter(proto, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    deployment = runner_utils.extract_local_deployment_config(proto)
    nodes = []
    for entry in proto.nodes:
        node = entry.pipeline_node
        node.execution_options.caching_options.enable_cache = False
        nodes.append(
            Node(
                proto=node,
                executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
                driver_spec=runner_utils.extract_custom_driver_spec(deployment, node.node_info.id),
                code=config.code[node.node_info.id],
            )
        )
    return CompiledPipeline(proto=proto, nodes=tuple(nodes))
