"""A transform graph of equal rows is the same, however slow the machine was that analysed them."""

import json

import pytest
from fuzz.targets import of_node
from run_results import constants, output

from pipeline.root.paths import RunPaths

pytestmark = pytest.mark.e2e

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.fixture
def transformed(first_run, tmp_path, monkeypatch):
    """Analyses the first run's rows, for standardised images, while Beam finds a batch of a size right for the machine."""
    from apache_beam.transforms.util import _BatchSizeEstimator
    from tfx.types import standard_artifacts

    from components.transform_executor import TransformExecutor

    def execute(found_right):
        real = _BatchSizeEstimator.next_batch_size

        def next_batch_size(self):
            return real(self) if self._min_batch_size == self._max_batch_size else found_right

        root = first_run[0]
        parameters = json.loads(of_node(RunPaths(root), "Transform").read_text())["parameters"]
        examples, schema = standard_artifacts.Examples(), standard_artifacts.Schema()
        examples.uri, examples.split_names = (
            str(output(root, "ExampleGen", "examples")),
            '["train", "validation", "test"]',
        )
        schema.uri = str(output(root, "SchemaGate", "schema"))
        graph = standard_artifacts.TransformGraph()
        graph.uri = str(tmp_path / str(found_right) / "artifacts" / "Transform" / "transform_graph" / "1")
        config = json.loads(parameters["custom_config"]) | {"settings": '{"scaling":"standardise"}'}
        with monkeypatch.context() as patched:
            patched.setattr(_BatchSizeEstimator, "next_batch_size", next_batch_size)
            TransformExecutor(TransformExecutor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path))).Do(
                {"examples": [examples], "schema": [schema]},
                {"transform_graph": [graph]},
                {**parameters, "custom_config": json.dumps(config)},
            )
        return constants(tmp_path / str(found_right))

    return execute


def test_it_does_not_depend_on_the_batches_that_beam_tunes_by_the_clock(transformed):
    one, other = transformed(3), transformed(100)
    assert one == other
    assert len(one[-1]) == 64
