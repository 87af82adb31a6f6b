"""The choice that `--device auto` makes where there is a GPU: the device on which a training is estimated to be over first.

A GPU takes seconds to start and milliseconds to launch a step, whatever is in it; a small network on a few thousand rows
is through on the CPU by then. The figures are of an H100, of which a small network's steps use a hundredth, and of cores
like those beside it: they are not asked of the machine, so that the same recipe on the same data has one answer on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from components.settings import AutoencoderSettings, ClassifierSettings, DataSettings, TrainingSettings

GPU_START_S: Final = 4.5
"""Until a process has the GPU, its libraries and its first kernels: 3 to 6 seconds, measured."""

GPU_STEP_S: Final = 2.5e-3
"""The least that a step takes there: 2 to 3 ms for each of MNIST's 2,532, measured on an H100; most of it is launches."""

GPU_FLOPS: Final = 1e13
"""Operations a second that it does beyond that, assumed: a tenth of what such a card has for products of this size."""

CPU_STEP_S: Final = 0.5e-3
"""The least that a step takes on the CPU."""

CORE_FLOPS: Final = 8e10
"""Operations a second and core: MNIST's 1.95e12 took two cores 11.6 s, moves and starts left out, measured."""

FLOPS_TO_A_CORE: Final = 4e8
"""Of a step, what makes another core worth while: with 16 cores, MNIST's steps of 8e8 took as long as with two, measured."""

MOVE_S: Final = 15e-6 / 784
"""Of a core, for a pixel of an image that is moved while training; measured."""

BACK_AND_FORTH: Final = 3
"""A step's operations for each of inference: forwards, and back to the inputs and to the weights."""


@dataclass(frozen=True)
class Work:
    """What a training has to do.

    Attributes:
      steps: of all epochs.
      flops: floating-point operations of a step.
      moved: pixels of a step that augmentation moves.
    """

    steps: int
    flops: float
    moved: int = 0

    def cpu_s(self, cores: int) -> float:
        """Return the seconds that it is estimated to take on so many cores."""
        used = min(cores, max(1, math.ceil(self.flops / FLOPS_TO_A_CORE)))
        return self.steps * (CPU_STEP_S + self.flops / (used * CORE_FLOPS) + self.moved * MOVE_S / cores)

    @property
    def gpu_s(self) -> float:
        """Return the seconds that it is estimated to take on a GPU."""
        return GPU_START_S + self.steps * (GPU_STEP_S + self.flops / GPU_FLOPS)


@dataclass(frozen=True)
class Choice:
    """A device, and why.

    Attributes:
      cpu_s: estimated seconds of training on the CPU.
      gpu_s: estimated seconds of training on the GPU, its start included.
    """

    cpu_s: float
    gpu_s: float

    @property
    def takes_cpu(self) -> bool:
        """Return whether the CPU is estimated to be faster."""
        return self.cpu_s < self.gpu_s

    def __str__(self) -> str:
        device, others = ("CPU", "GPU") if self.takes_cpu else ("GPU", "CPU")
        seconds, other_seconds = sorted((self.cpu_s, self.gpu_s))
        return f"trains on the {device}: about {seconds:.0f} s, on the {others} about {other_seconds:.0f} s"

    def facts(self) -> dict[str, str | int]:
        """Return what a record says of it."""
        return {"estimated_s_cpu": math.ceil(self.cpu_s), "estimated_s_gpu": math.ceil(self.gpu_s)}


def choose(settings: TrainingSettings, data: DataSettings, *, rows: int, cores: int) -> Choice | None:
    """Return the choice for a training; None where nothing is estimated, and a GPU is taken.

    Args:
      settings: of the training. A network of the user's own is not known; several devices, 16 bits and XLA are asked
        for by those who have GPUs in mind.
      data: gives the network's first and last width.
      rows: of train.
      cores: that this process may use.
    """
    if settings.build is not None or settings.strategy != "single" or settings.precision != "float32" or settings.jit:
        return None
    work = work_of(settings, data, rows)
    return None if work is None else Choice(work.cpu_s(cores), work.gpu_s)


def work_of(settings: TrainingSettings, data: DataSettings, rows: int) -> Work | None:
    """Return what a training without an early stop has to do; None for one that is neither of the two networks'."""
    steps_of_epoch = math.ceil(rows / settings.batch)
    steps = max(settings.epochs * steps_of_epoch, settings.min_steps)
    batch = min(settings.batch, rows)
    if isinstance(settings, AutoencoderSettings):
        widths = [data.pixels, *settings.layers, settings.latent, *reversed(settings.layers), data.pixels]
        return Work(steps, BACK_AND_FORTH * batch * _dense(widths))
    if isinstance(settings, ClassifierSettings):
        flops = BACK_AND_FORTH * batch * _classified(settings, data)
        moved = 0 if settings.augmentation is None else batch * data.pixels
        return Work(steps * (2 if settings.retrain else 1), flops, moved)
    return None


def _classified(settings: ClassifierSettings, data: DataSettings) -> int:
    """Return the operations for one image."""
    height, width, channels, flops = *data.shape, 1, 0
    for one in settings.convolutions:
        border = 0 if one.padding == "same" else one.kernel - 1
        flops += 2 * (height - border) * (width - border) * one.kernel**2 * channels * one.filters
        height, width, channels = one.output_size(height), one.output_size(width), one.filters
    return flops + _dense([height * width * channels, *settings.layers, data.label_count])


def _dense(widths: Sequence[int]) -> int:
    return sum(2 * a * b for a, b in itertools.pairwise(widths))
