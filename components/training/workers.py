"""Multiworker training on one machine: a Trainer's `run_fn` as one of several workers, and the others' processes.

Where TF_CONFIG is set, whoever set it has started a process for each of its workers, with the same arguments: a pod each,
say. Where $MNIST_TFX_WORKERS is set instead, the first process starts the others on this machine, on its CPU. Only the
chief leaves anything: the others write into a folder that is removed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from components.progress import PROGRESS_FD
from components.settings import MULTIWORKER
from components.training.cluster import TF_CONFIG, Cluster
from components.training.device import CPU, Device
from components.training.process import CHECKPOINTS, WORKERS

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

RunFn: TypeAlias = Callable[["FnArgs"], None]

GIVEN: Final = (
    "train_files",
    "eval_files",
    "transform_graph_path",
    "serving_model_dir",
    "model_run_dir",
    "base_model",
    "custom_config",
)
"""What our `run_fn`s take of TFX's FnArgs: JSON values."""

PROJECT: Final = Path(__file__).resolve().parents[2]


def on_all_workers(run_fn: RunFn) -> RunFn:
    """Decorate a Trainer's `run_fn`, which is then called in every worker of a `multiworker` training."""

    @functools.wraps(run_fn)
    def run(fn_args: FnArgs) -> None:
        if json.loads(fn_args.custom_config["settings"]).get("strategy") != MULTIWORKER:
            run_fn(fn_args)
            return
        with _others(run_fn.__module__, fn_args), _own_outputs(fn_args):
            run_fn(fn_args)

    return run


@contextlib.contextmanager
def _others(module: str, fn_args: FnArgs) -> Iterator[None]:
    """Start the workers 1 and up on this machine, if that is asked for, and end them."""
    count = int(os.environ.get(WORKERS, "0"))
    if count < 1 or TF_CONFIG in os.environ:
        yield
        return
    addresses = _free_addresses(count)
    os.environ[TF_CONFIG] = Cluster(addresses).to_json()
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="mnist-tfx-workers-"))
        for index in range(1, count):
            stack.callback(_end, _start(module, fn_args, Cluster(addresses, index), scratch))
        try:
            yield
        finally:
            del os.environ[TF_CONFIG]


@contextlib.contextmanager
def _own_outputs(fn_args: FnArgs) -> Iterator[None]:
    """Point the outputs of a worker that is not the chief at a temporary folder."""
    if Cluster.from_environment().is_chief:
        yield
        return
    # TFX's executor looks whether a model's folder is there.
    Path(fn_args.serving_model_dir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-worker-") as folder:
        fn_args.serving_model_dir, fn_args.model_run_dir = f"{folder}/model", f"{folder}/run"
        yield


def _start(module: str, fn_args: FnArgs, cluster: Cluster, scratch: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "components.training.worker", module],
        stdin=subprocess.PIPE,
        env={**_environment(cluster, os.environ), "TMPDIR": scratch},  # they are killed in the end
        cwd=PROJECT,
    )
    assert process.stdin is not None  # noqa: S101  # a pipe was asked for
    process.stdin.write(json.dumps({name: getattr(fn_args, name) for name in GIVEN}).encode() + b"\n")
    process.stdin.flush()  # and left open: its end tells the worker that the chief is gone
    return process


def _environment(cluster: Cluster, outer: Mapping[str, str]) -> dict[str, str]:
    own = (CHECKPOINTS, PROGRESS_FD, WORKERS)
    inherited = {name: value for name, value in outer.items() if name not in own}
    return {**inherited, **Device(CPU).environment(outer), TF_CONFIG: cluster.to_json()}


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()


def _free_addresses(count: int) -> tuple[str, ...]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
