"""The same training on one device, on two logical ones, and in two processes that find each other over loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.progress import PROGRESS_FD
from components.training.cluster import TF_CONFIG, Cluster
from components.training.process import CHECKPOINTS

SCRIPT = Path(__file__).with_name("replicas.py")
SETTINGS = {"batch": 8, "epochs": 6, "optimizer": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.5}}
"""Plain descent shows a gradient of the wrong size, which Adam would forgive."""

CLIPPED = {"name": "adamw", "learning_rate": 0.02, "clip_norm": 0.1, "weight_decay": 0.01}
CLIPPED_DESCENT = {"name": "sgd", "learning_rate": 0.2, "clip_norm": 0.1, "weight_decay": 0.01}


def start(settings, folder, *, devices=1, cluster=None, rows="resident", **environment):
    given = {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", **environment}
    worker = {} if cluster is None else {TF_CONFIG: cluster.to_json()}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(settings), str(devices), str(folder), rows],
        env={**os.environ, **given, **worker},
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("ab"),
        cwd=SCRIPT.parents[2],
        pass_fds=[int(environment[PROGRESS_FD])] if PROGRESS_FD in environment else (),
    )


def ended(process, folder):
    out = process.communicate()[0]
    assert process.returncode == 0, (folder / "stderr").read_text()[-3000:]
    return json.loads(out.splitlines()[-1])


def train(settings, folder, **options):
    return ended(start({**SETTINGS, **settings}, folder, **options), folder)


def two_workers(settings, folder, rows="resident", **environment):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    asked = {**SETTINGS, "strategy": "multiworker", **settings}
    other = start(asked, folder, cluster=Cluster(addresses, 1), rows=rows)
    return start(asked, folder, cluster=Cluster(addresses, 0), rows=rows, **environment), other


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return train({}, tmp_path_factory.mktemp("single"))


def same_curve(one, other):
    return all(one[curve] == pytest.approx(other[curve], rel=1e-4) for curve in ("losses", "val_losses"))


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_two_devices_learn_what_one_does(single, tmp_path, jit):
    """The last batch has one row, so that one of them has none of its own."""
    mirrored = train({"strategy": "mirrored", "jit": jit}, tmp_path, devices=2)
    assert (single["replicas"], mirrored["replicas"], mirrored["workers"]) == (1, 2, 1)
    assert same_curve(mirrored, single)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [CLIPPED, CLIPPED_DESCENT], ids=["adamw", "sgd"])
def test_the_gradient_of_the_whole_batch_is_clipped_not_each_replicas_own(tmp_path, optimizer):
    one = train({"optimizer": optimizer}, tmp_path)
    two = train({"optimizer": optimizer, "strategy": "mirrored"}, tmp_path, devices=2)
    assert same_curve(two, one)


@pytest.mark.slow
def test_replicas_draw_noise_of_their_own(tmp_path):
    mirrored = train({"strategy": "mirrored", "noise": 0.5}, tmp_path, devices=2)
    assert mirrored["seeds"] == [[1, 2]]
    assert mirrored["losses"][-1] < mirrored["losses"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("mixed_bfloat16", 0.02), ("mixed_float16", 0.25)])
def test_sixteen_bits_learn_nearly_what_thirty_two_do(single, tmp_path, precision, tolerance):
    """With float16 the first steps are skipped, until the scale of the loss is low enough for the gradients."""
    losses = train({"precision": precision}, tmp_path)["losses"]
    assert losses == pytest.approx(single["losses"], rel=tolerance)
    assert losses != single["losses"]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_agree(single, tmp_path):
    chief, other = (ended(process, tmp_path) for process in two_workers({}, tmp_path))
    assert (chief["replicas"], chief["workers"]) == (2, 2)
    assert same_curve(chief, single)
    assert [chief[name] for name in ("losses", "val_losses", "weights")] == [
        other[name] for name in ("losses", "val_losses", "weights")
    ]


@pytest.mark.slow
def test_two_processes_with_half_of_the_rows_each_learn_what_one_does_with_all(tmp_path):
    """In batches of 41 rows there is no order, and one has 21 of them, the other 20."""
    whole = train({"batch": 41}, tmp_path)
    chief, other = (ended(process, tmp_path) for process in two_workers({"batch": 41}, tmp_path, rows="stored"))
    assert same_curve(chief, whole)
    assert [chief[name] for name in ("val_losses", "weights")] == [other[name] for name in ("val_losses", "weights")]


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_and_all_go_on_from_the_chiefs_checkpoint(tmp_path):
    # Plain descent: near its end, Adam blows the last bits up in which one process and two differ.
    descent = {"name": "sgd", "learning_rate": 0.01, "schedule": "cosine"}
    settings, checkpoints = {"epochs": 300, "optimizer": descent}, str(tmp_path / "checkpoints")
    whole = train(settings, tmp_path)
    read, write = os.pipe()
    chief, killed = two_workers(settings, tmp_path, **{CHECKPOINTS: checkpoints, PROGRESS_FD: str(write)})
    os.close(write)
    with open(read) as lines:
        while (line := json.loads(next(lines)))["stage"] != "epoch" or line["done"] < 3:
            pass
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        chief.communicate()
    assert chief.returncode == 1
    assert "another worker of this training is gone" in (tmp_path / "stderr").read_text()
    resumed = [ended(process, tmp_path) for process in two_workers(settings, tmp_path, **{CHECKPOINTS: checkpoints})]
    for worker in resumed:
        assert 3 <= worker["resumed_from_epoch"] < 300
        assert len(worker["losses"]) == 300
        assert worker["losses"] == pytest.approx(whole["losses"], rel=1e-3, abs=1e-5)
