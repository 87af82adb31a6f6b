"""Placement of a training's replicas, and what they do together.

`single` is one device, `mirrored` all devices that this process sees, `multiworker` one process per entry of TF_CONFIG.
Whatever their number, a step is one batch of the settings' size: each replica takes its share of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components import progress
from components.errors import EnvironmentProblem
from components.settings import MULTIWORKER, DataSettings, TrainingSettings
from components.training.cluster import Cluster
from components.training.device import AUTO, GPU, VISIBLE
from components.training.estimate import Choice, choose
from components.training.process import DEVICE
from components.training.task import Batch

DRIVER_GPUS: Final = Path("/proc/driver/nvidia/gpus")
"""Has a folder for each GPU of NVIDIA's driver."""

_SEEN_RECORDS: Final = 100

_SEED_STATE = "seed_generator_state"
"""Keras' name for the variable that a layer draws its noise from: a seed and a counter."""


@dataclass(frozen=True, eq=False)
class Placement:
    """The replicas of one training, seen from this process.

    Attributes:
      strategy: TensorFlow's.
    """

    strategy: tf.distribute.Strategy

    @classmethod
    def of(cls, model: keras.Model) -> Placement:
        """Return the placement in whose `scope` the model was built."""
        return cls(model.distribute_strategy)

    @property
    def replicas(self) -> int:
        """Replicas in all processes together."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def workers(self) -> int:
        """Processes."""
        resolver = self.strategy.cluster_resolver
        return 1 if resolver is None else max(1, len(resolver.cluster_spec().as_dict().get("worker", ())))

    @property
    def worker(self) -> int:
        """Number of this process among them."""
        resolver = self.strategy.cluster_resolver
        return 0 if resolver is None else int(resolver.task_id or 0)

    @property
    def is_chief(self) -> bool:
        """Return whether this process keeps what the training leaves; checkpoints are its own, too."""
        return self.worker == 0

    @property
    def scope(self) -> Callable[[], AbstractContextManager[Any]]:
        """The context manager under which networks are built."""
        scope: Callable[[], AbstractContextManager[Any]] = self.strategy.scope
        return scope

    def summed(self, step: Callable[..., tf.Tensor], batch: Batch) -> tf.Tensor:
        """Return the sum over replicas of what `step` gives; each is handed all of `batch` and takes its `share`."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(step, args=(batch,)), axis=None)

    def vary_noise(self, model: keras.Model) -> None:
        """Give each replica noise and dropout of its own; without this, all draw the same for their share of a batch.

        The first replica keeps what it has, and its state is what checkpoints hold.
        """
        states = [variable.value for variable in model.variables if variable.name == _SEED_STATE]
        if self.replicas == 1 or not states:
            return

        def vary() -> None:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign(state + tf.stack([tf.cast(number, state.dtype), tf.zeros([], state.dtype)]))

        tf.function(lambda: self.strategy.run(vary), autograph=False)()

    def from_chief(self, figures: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the chief's `figures` [N] in every process; N is the same in all. Whole numbers below 2**53."""
        if self.workers == 1:
            return figures
        # Nothing but the chief adds anything, so that the sum is what it has, bit for bit.
        return self.added(figures if self.is_chief else np.zeros_like(figures))

    def added(self, figures: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the sum over processes of `figures` [N], in every process. Whole numbers below 2**53."""
        if self.workers == 1:
            return figures
        everywhere = self._over_workers(tf.constant(figures.astype(np.float64)))
        here = self.strategy.experimental_local_results(everywhere)[0]
        return np.asarray(here.numpy()).astype(figures.dtype)

    @cached_property
    def _over_workers(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def added(mine: tf.Tensor) -> tf.Tensor:
            # Of the replicas of a process, the first alone.
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group % (self.replicas // self.workers), 0)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(is_first, mine, tf.zeros_like(mine)))

        signature = [tf.TensorSpec([None], tf.float64)]
        compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
            lambda mine: self.strategy.run(added, args=(mine,)), input_signature=signature
        )
        return compiled

    def bytes_from_chief(self, content: bytes) -> bytes:
        """Return the chief's `content` in every process; its workers need no disk in common."""
        if self.workers == 1:
            return content
        length = int(self.from_chief(np.array([len(content)]))[0])
        mine = np.frombuffer(content, np.uint8) if self.is_chief else np.zeros(length, np.uint8)
        return self.from_chief(mine).tobytes() if length else b""

    def facts(self) -> dict[str, str | int]:
        """Return what a record says of the devices and of the TensorFlow that is built for them."""
        build = tf.sysconfig.get_build_info()
        versions = {
            f"built_for_{name}": str(build[f"{name}_version"])
            for name in ("cuda", "cudnn")
            if f"{name}_version" in build
        }
        return {
            "device": _device_name(),
            "tf32": _may_use_tf32(),
            "replicas": self.replicas,
            "workers": self.workers,
            "tensorflow": tf.version.VERSION,
            "tensorflow_git": tf.version.GIT_VERSION,
            **versions,
        }


def share(batch: Batch, workers: int = 1) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Return the rows of a batch that are this replica's, and how often each counts; None where all count once.

    Args:
      batch: as this process has it.
      workers: how many processes it was shared out among before.

    Some kernels fail on no rows at all, and the last batch may be smaller than the number of replicas: so each is given
    equally many, and what is missing at the end is made up by the first row, which counts 0 there.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync // workers
    if replicas == workers == 1:
        return batch.inputs, batch.targets, None
    each = tf.maximum(1, (batch.here + replicas - 1) // replicas)
    numbers = tf.range(each) * replicas + context.replica_id_in_sync_group % replicas
    counts = numbers < batch.here
    numbers = tf.where(counts, numbers, 0)
    return tf.gather(batch.inputs, numbers), tf.gather(batch.targets, numbers), tf.cast(counts, tf.float32)


def chosen(settings: TrainingSettings, data: DataSettings, train: Sequence[str]) -> Choice | None:
    """Return what `--device auto` comes to where there is a GPU, and say so; None where there is nothing to choose.

    Args:
      settings: of the training.
      data: what the rows are.
      train: patterns of the TFRecord files with its rows, which are counted by the length of the first few.
    """
    if os.environ.get(DEVICE) != AUTO:
        return None
    if not tf.config.list_physical_devices("GPU"):
        if os.environ.get(VISIBLE) not in ("", "-1") and any(DRIVER_GPUS.glob("*")):
            progress.say(
                "trains on the CPU: TensorFlow cannot use the GPU that NVIDIA's driver has, see `mnist-tfx doctor`"
            )
        return None
    found = choose(settings, data, rows=records_in(train), cores=len(os.sched_getaffinity(0)))
    if found is not None:
        progress.say(str(found))
    return found


def records_in(patterns: Sequence[str]) -> int:
    """Return about how many records TFRecord files hold, of nearly one length; TensorFlow's devices stay untouched."""
    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    total = sum(tf.io.gfile.stat(file).length for file in files)
    lengths: list[int] = []
    for file in files:
        with tf.io.gfile.GFile(file, "rb") as opened:
            # The length in 8 bytes and its checksum in 4, the record, the record's checksum in 4.
            while len(lengths) < _SEEN_RECORDS and len(header := opened.read(8)) == 8:
                lengths.append(16 + int.from_bytes(header, "little"))
                opened.seek(lengths[-1] - 8, whence=1)
    return round(total * len(lengths) / sum(lengths)) if lengths else 0


def place(settings: TrainingSettings, choice: Choice | None = None) -> Placement:
    """Set this process up for a training; to be called before anything is computed in it.

    GPU memory is taken as it is needed; layers that are built from now on compute in `settings.precision`.

    Args:
      settings: of the training.
      choice: from `chosen`; where it is the CPU, GPUs are hidden.

    Raises:
      BadInput: for `multiworker` without workers.
      EnvironmentProblem: where a GPU was asked for and this process sees none, or TF_CONFIG is unusable.
    """
    gpus = tf.config.list_physical_devices("GPU")
    asked = os.environ.get(DEVICE, "")
    if asked.startswith(GPU) and not gpus:
        raise EnvironmentProblem(
            "the Trainer sees no GPU", where=f"--device {asked}", hint="`mnist-tfx doctor` says what is missing"
        )
    if choice is not None and choice.takes_cpu:
        tf.config.set_visible_devices([], "GPU")
    elif settings.strategy == "single" and len(gpus) > 1:
        tf.config.set_visible_devices(gpus[:1], "GPU")
    for gpu in tf.config.get_visible_devices("GPU"):
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(settings.tf32)
    keras.config.set_dtype_policy(settings.precision)
    return Placement(_strategy(settings))


def _strategy(settings: TrainingSettings) -> tf.distribute.Strategy:
    if settings.strategy == "mirrored":
        return tf.distribute.MirroredStrategy(_logical_devices())
    if settings.strategy == MULTIWORKER:
        Cluster.from_environment().require_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def _logical_devices() -> list[str]:
    """Return the GPUs or, without any, the CPU: one, unless somebody has divided it."""
    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]


def _may_use_tf32() -> bool:
    """Return whether products of `float32` may have been taken in TensorFloat-32; only GPUs know it."""
    enabled = bool(tf.config.experimental.tensor_float_32_execution_enabled())
    return enabled and bool(tf.config.get_visible_devices("GPU"))


def _device_name() -> str:
    gpus = tf.config.get_visible_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return ", ".join(names) or "cpu"
