"""A Trainer's `run_fn` as one of several workers: who writes where, and what is left of the others."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training.conftest import AUTOENCODER

from components.training.cluster import TF_CONFIG, Cluster
from components.training.process import CHECKPOINTS, WORKERS
from components.training.workers import on_all_workers

ADDRESSES = ("127.0.0.1:1", "127.0.0.1:2")


def _arguments(folder, strategy):
    return SimpleNamespace(
        custom_config={"settings": json.dumps({"strategy": strategy})},
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
    )


@on_all_workers
def _writes(fn_args):
    Path(fn_args.model_run_dir).mkdir(parents=True)
    (Path(fn_args.model_run_dir) / "training.json").touch()


@pytest.mark.parametrize(("index", "left"), [(0, ["training.json"]), (1, [])])
def test_only_the_chief_leaves_anything(tmp_path, monkeypatch, index, left):
    monkeypatch.setenv(TF_CONFIG, Cluster(ADDRESSES, index).to_json())
    _writes(_arguments(tmp_path, "multiworker"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == left


def test_another_strategy_takes_no_notice_of_the_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv(TF_CONFIG, Cluster(ADDRESSES, 1).to_json())
    _writes(_arguments(tmp_path, "single"))
    assert (tmp_path / "run" / "training.json").is_file()


@pytest.mark.slow
def test_workers_that_are_started_here_train_one_model_and_leave_nothing(fn_args, start_training, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {WORKERS: "2", CHECKPOINTS: str(tmp_path / "checkpoints"), "TMPDIR": str(scratch)}
    parted = AUTOENCODER.model_copy(update={"strategy": "multiworker", "epochs": 3})
    runs = {
        "whole": (fn_args(parted.model_copy(update={"strategy": "single"}), tmp_path / "whole"), {}),
        "parted": (fn_args(parted, tmp_path / "parted"), environment),
    }
    records = {}
    for name, (fields, env) in runs.items():
        assert start_training("autoencoder", fields, env=env).wait() == 0
        records[name] = json.loads((Path(fields["model_run_dir"]) / "training.json").read_text())
    losses = {name: [epoch["loss"] for epoch in record["history"]] for name, record in records.items()}
    np.testing.assert_allclose(losses["parted"], losses["whole"], rtol=1e-4)
    assert [records["parted"][name] for name in ("strategy", "workers", "replicas", "device")] == [
        "multiworker",
        2,
        2,
        "cpu",
    ]
    # TensorFlow's AutoGraph imports what it generates, so Python caches it where it may write; a run has its own folder.
    assert [name for name in os.listdir(scratch) if name != "__pycache__"] == []
