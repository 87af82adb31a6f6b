"""The TFX pipeline of a configuration: the stages of `pipeline.stages`, joined.

    data files, ingest, statistics, schema gate, transform, autoencoder, classifier, evaluation, check, push

A recipe without an autoencoder leaves that stage out, and its classifier gets the scaled images themselves. Runner and
compiler start here; there is no second definition of the graph.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_node
from tfx.orchestration import pipeline as tfx_pipeline

from components.errors import Refused
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.stages import Stage, stages_of


class UnrecordedPipeline(tfx_pipeline.Pipeline):  # type: ignore[misc]  # tfx has no annotations
    """A pipeline whose nodes may be looked at, and executed one by one in an InteractiveContext, but not as a whole.

    The Pusher serves a model with a statement about its origin, which is true since our runner, and a pod on a cluster,
    digest what each node reads and writes while it executes, and note in the ledger what TFX has published. TFX's own
    runners leave no place for that: what they have trained could be digested afterwards only, by whoever changed it.
    """

    @property
    def metadata_connection_config(self) -> Any:
        """The store of a runner of TFX, which its compiler asks for before that runner begins.

        Raises:
          Refused: always.
        """
        raise Refused(
            "TFX's own runners keep no records, and without them nothing is served",
            where="create_pipeline",
            wanted="a run that notes what every node read and wrote",
            hint="`mnist-tfx run`, or mnist_tfx.run(), runs this pipeline here; `mnist-tfx kubeflow compile` on a cluster",
        )

    @metadata_connection_config.setter
    def metadata_connection_config(self, _: object) -> None:
        """Take what TFX's constructor sets, and a caller who does not know better."""


def create_pipeline(config: PipelineConfig, *, recorded: bool = False) -> tfx_pipeline.Pipeline:
    """Return the pipeline; nothing is read or written yet.

    Args:
      config: of the run.
      recorded: whether what runs it writes records and ledger; without them it cannot be compiled for a runner of TFX.
    """
    nodes: dict[str, base_node.BaseNode] = {}
    for stage in stages_of(config.settings):
        nodes[stage.id] = _node(stage, config, nodes)
    return (tfx_pipeline.Pipeline if recorded else UnrecordedPipeline)(
        pipeline_name=config.settings.name,
        pipeline_root=str(config.paths.artifacts),
        components=list(nodes.values()),
        beam_pipeline_args=list(config.beam_args),
    )


def _node(stage: Stage, config: PipelineConfig, others: Mapping[str, base_node.BaseNode]) -> base_node.BaseNode:
    """Return the component of a stage, joined to those it takes its inputs from."""
    arguments: dict[str, Any] = dict(stage.options(config))
    for channel, output in stage.inputs.items():
        producer, _, name = output.partition(".")
        arguments[channel] = others[producer].outputs[name] if producer in others else None
    if stage.section is not None:
        arguments["settings"] = getattr(config.settings, stage.section).to_json()
    if stage.data:
        arguments["data"] = config.data
    module, _, name = stage.class_path(config.form).rpartition(".")
    component = getattr(importlib.import_module(module), name)
    node = component(**arguments, code_digest=config.code[stage.id].digest).with_id(stage.id)
    for other in stage.after:
        node.add_upstream_node(others[other])
    return node
