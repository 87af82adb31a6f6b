"""Compiled files for the tests: ours, and what TFX's own compiler writes; each compiled once for all tests.

TFX is imported whole here, since the other tests of this process need it whole. The command line imports it lean.
"""

import copy
import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.ingest.data_files import DataFiles
from pipeline.config.recipe import load_recipe
from pipeline.config.request import Request, configure
from pipeline.kubeflow.compiler.compile import CompileRequest, compile_pipeline
from pipeline.kubeflow.compiler.pods import Images
from pipeline.kubeflow.document import Document, read
from pipeline.root.paths import RunPaths

IMAGE = "reg.example/mnist-tfx:1"
ROOTS = {"oss": "minio://mlpipeline/v2/artifacts/m", "vertex": "gs://b/m"}


def compiled(target: str = "oss", **asked: Any) -> Document:
    """Returns what `kubeflow compile` would write."""
    images = asked.pop("images", Images(cpu=IMAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_TFX_FULL_IMPORTS", "1")
        return compile_pipeline(CompileRequest(**{"target": target, "root": ROOTS[target], "images": images, **asked}))


@functools.cache
def digits(target: str = "oss") -> Document:
    """Returns the digits pipeline with nothing else asked for; not to be changed."""
    return compiled(target)


@functools.cache
def judged() -> Document:
    """Returns the digits pipeline with a GPU for each Trainer, as Kubeflow Pipelines has judged it; not to be changed."""
    return compiled(images=Images(cpu=IMAGE, gpus=1))


@functools.cache
def from_bucket() -> Document:
    """Returns the digits pipeline on data in a bucket; not to be changed."""
    return compiled(data="minio://mlpipeline/data/digits/", recipe="digits")


def broken(document: Document, change: Callable[[Any], None]) -> Document:
    """Returns a copy after `change` was made to it."""
    parts = {name: copy.deepcopy(getattr(document, name)) for name in ("spec", "platform", "job")}
    changed = dataclasses.replace(document, **parts)
    change(changed)
    return changed


@functools.cache
def stock(*, schema_2_1: bool, suffix: str = ".yaml") -> Document:
    """Returns our pipeline as TFX's own compiler writes it."""
    from pipeline.pipeline import create_pipeline

    compiled("oss")  # the first import decides what TFX's packages are
    paths, files = RunPaths(Path("/root-of-this-machine")), DataFiles(form="idx", parts=())
    config = configure(Request(), load_recipe("digits"), paths, files)
    return _written_by_tfx(create_pipeline(config), schema_2_1=schema_2_1, suffix=suffix)


@functools.cache
def stock_resolver() -> Document:
    """Returns a Resolver under the name that TFX's examples give it, as TFX's own compiler writes it."""
    compiled("oss")
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
    from tfx.orchestration.pipeline import Pipeline
    from tfx.types import Channel
    from tfx.types.standard_artifacts import Model, ModelBlessing

    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy, model=Channel(type=Model), model_blessing=Channel(type=ModelBlessing)
    ).with_id("latest_blessed_model_resolver")
    pipeline = Pipeline(pipeline_name="digits", pipeline_root="gs://b/m", components=[resolver])
    return _written_by_tfx(pipeline, schema_2_1=True, suffix=".yaml")


def _written_by_tfx(pipeline: Any, *, schema_2_1: bool, suffix: str) -> Document:
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner

    options = runner.KubeflowV2DagRunnerConfig(default_image=IMAGE, use_pipeline_spec_2_1=schema_2_1)
    with tempfile.TemporaryDirectory() as folder:
        runner.KubeflowV2DagRunner(options, output_dir=folder, output_filename=f"stock{suffix}").run(pipeline)
        return read(Path(folder, f"stock{suffix}"))
