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

from pipeline.config.pipeline_config import PipelineConfig
from pipeline.stages import Stage, stages_of


def create_pipeline(config: PipelineConfig) -> tfx_pipeline.Pipeline:
    """Return the pipeline; nothing is read or written yet."""
    nodes: dict[str, base_node.BaseNode] = {}
    for stage in stages_of(config.settings):
        nodes[stage.id] = _node(stage, config, nodes)
    return tfx_pipeline.Pipeline(
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
