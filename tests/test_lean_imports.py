"""Lean imports change how long TFX takes to import, and nothing else."""

import os
import subprocess
import sys

import pytest
from command_line import PROJECT

pytestmark = [pytest.mark.e2e]

COMPILE = """
import hashlib, sys
from pathlib import Path
from pipeline.process import lean_imports
from pipeline.config.request import Request, configure, settings_and_paths
request = Request(data=(Path(sys.argv[1]),), root=Path("/tmp/nowhere-at-all"))
config = configure(request, *settings_and_paths(request))
with lean_imports.orchestrating():
    from pipeline.runner.compiled import compile_pipeline
from tfx.proto.orchestration import pipeline_pb2
proto = compile_pipeline(config, "run").proto
deployment = pipeline_pb2.IntermediateDeploymentConfig()
proto.deployment_config.Unpack(deployment)  # packed, its maps are in no particular order
proto.ClearField("deployment_config")
whole = b"".join(one.SerializeToString(deterministic=True) for one in (proto, deployment))
print(hasattr(sys.modules["tensorflow"], "constant"), hashlib.sha256(whole).hexdigest())
"""


def _compiled(folder, **env):
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={**os.environ, **env},
    )
    return done.stdout.split()[-2:]


@pytest.mark.slow
def test_the_compiled_pipeline_is_the_same_with_and_without_the_engines(digits_folder):
    lean_has_engines, lean = _compiled(digits_folder)
    full_has_engines, full = _compiled(digits_folder, MNIST_TFX_FULL_IMPORTS="1")
    assert (lean_has_engines, full_has_engines) == ("False", "True")
    assert lean == full


RUNNER = """
import sys
from pipeline.process import lean_imports
with lean_imports.orchestrating():
    from pipeline.runner import dry_run, run
    import components.ingest.example_gen
print("apache_beam" in sys.modules, "docker.api" in sys.modules)
import apache_beam
import docker
print(hasattr(apache_beam, "Pipeline"), hasattr(docker, "DockerClient"))
"""


def test_what_plans_and_starts_executors_has_neither_beam_nor_docker_and_whoever_imports_them_later_does():
    done = subprocess.run([sys.executable, "-c", RUNNER], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.split() == ["False", "False", "True", "True"]


ANALYSIS = """
import sys
from pipeline.process import lean_imports
lean_imports.install(lean_imports.COMPONENTS, lean_imports.MODEL_ANALYSIS)
import components.statistics_executor
from tfx.types import standard_component_specs
bare = sys.modules["tensorflow_model_analysis"]
print(hasattr(bare, "load_metrics"))
lean_imports.complete(lean_imports.MODEL_ANALYSIS)
lean_imports.complete(lean_imports.MODEL_ANALYSIS)
import tensorflow_model_analysis as tfma
import components.evaluation.executor
print(tfma is bare, tfma.sdk is standard_component_specs.tfma, hasattr(tfma, "load_metrics"), tfma.__file__ is not None)
"""


@pytest.mark.slow
def test_what_only_the_evaluator_needs_comes_after_the_statistics_and_into_the_module_that_is_there():
    done = subprocess.run([sys.executable, "-c", ANALYSIS], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.split() == ["False", "True", "True", "True", "True"]
