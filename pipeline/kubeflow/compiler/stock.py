"""PipelineJob that TFX's own compiler writes for the pipeline, which runs on Vertex AI alone.

That compiler imports every executor for the sake of its name, and with them TensorFlow: 7 s. Here a class that stands
in for all of them goes through it, and the names are told apart from the job.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.pipeline_config import PipelineConfig
from pipeline.process.lean_imports import orchestrating
from pipeline.process.output import redirect_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stock:
    """What TFX says about the pipeline.

    Attributes:
      job: the PipelineJob as JSON values, in whose arguments no executor is named; the caller may change it.
      executors: {node id: import path of its executor}.
      beam: the nodes whose executor is a Beam pipeline.
    """

    job: dict[str, Any]
    executors: Mapping[str, str]
    beam: frozenset[str]

    @property
    def spec(self) -> dict[str, Any]:
        """The PipelineSpec in the job."""
        spec: dict[str, Any] = self.job["pipelineSpec"]
        return spec


class PlaceholderExecutor:
    """Goes through the compiler for an executor that is better not imported."""


def compile_stock(config: PipelineConfig, *, image: str, command: Sequence[str]) -> Stock:
    """Compiles; writes nothing and fetches nothing, as no node has a `module_file` that would be packed."""
    # What TFX's imports print is about packages that nobody misses.
    with redirect_output(Path(os.devnull)):
        with orchestrating():
            from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as stock

            from pipeline.pipeline import create_pipeline

            _complete_bare_package()
        pipeline = create_pipeline(config, recorded=True)
        executors, beam = _without_executors(pipeline.components)
        options = stock.KubeflowV2DagRunnerConfig(
            default_image=image, default_commands=list(command), use_pipeline_spec_2_1=True
        )
        job = stock.KubeflowV2DagRunner(options, output_dir=os.devnull).run(pipeline, write_out=False)
    return Stock(job=job, executors=executors, beam=beam)


def _complete_bare_package() -> None:
    """Put into TFX's package of components, if it is bare, the two classes that the compiler asks every node about."""
    import tfx.components
    from tfx.components.example_gen.component import FileBasedExampleGen

    for name, class_ in (("FileBasedExampleGen", FileBasedExampleGen), ("InfraValidator", PlaceholderExecutor)):
        if not hasattr(tfx.components, name):
            setattr(tfx.components, name, class_)


def _without_executors(nodes: Sequence[Any]) -> tuple[dict[str, str], frozenset[str]]:
    """Put the stand-in into every node; returns the executors' import paths, and which nodes are Beam pipelines."""
    from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec

    executors, beam = {}, set()
    for node in nodes:
        executors[node.id] = node.executor_spec.class_path
        if isinstance(node.executor_spec, BeamExecutorSpec):
            beam.add(node.id)
        node.executor_spec = ExecutorClassSpec(PlaceholderExecutor)
    return executors, frozenset(beam)
