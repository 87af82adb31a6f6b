import json

import pytest

from components.errors import BadInput, EnvironmentProblem
from components.training.checkpoint import Checkpoint
from components.training.cluster import TF_CONFIG, Cluster
from components.training.process import CHECKPOINTS

TWO = Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), 1)


def test_a_cluster_is_read_as_it_is_written(monkeypatch):
    monkeypatch.setenv(TF_CONFIG, TWO.to_json())
    assert Cluster.from_environment() == TWO
    assert not TWO.is_chief


def test_without_tf_config_there_is_one_process_and_it_is_the_chief(monkeypatch):
    monkeypatch.delenv(TF_CONFIG, raising=False)
    assert Cluster.from_environment().is_chief
    with pytest.raises(BadInput, match="strategy multiworker without workers"):
        Cluster.from_environment().require_workers()


@pytest.mark.parametrize(
    "fields",
    [
        "not JSON",
        [],
        {"cluster": {"worker": ["a:1"]}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}},
        {"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}},
    ],
)
def test_a_tf_config_that_does_not_name_this_worker_is_refused(fields, monkeypatch):
    monkeypatch.setenv(TF_CONFIG, fields if isinstance(fields, str) else json.dumps(fields))
    with pytest.raises(EnvironmentProblem, match="TF_CONFIG: does not name this worker"):
        Cluster.from_environment()


def test_only_the_chief_keeps_a_checkpoint(monkeypatch, tmp_path):
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path))
    monkeypatch.setenv(TF_CONFIG, TWO.to_json())
    assert Checkpoint.from_environment() == Checkpoint(None)
    monkeypatch.setenv(TF_CONFIG, Cluster(TWO.addresses, 0).to_json())
    assert Checkpoint.from_environment() == Checkpoint(tmp_path)
