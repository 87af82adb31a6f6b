"""GPUs that TensorFlow sees, and where there are none, which link of the chain is missing."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem
from components.training.device import LIBRARY_PATH, VISIBLE, Device, cuda_environment, wheel_libraries
from pipeline.process import child
from pipeline.runner import device_probe

TIMEOUT_S: Final = 120
EXTRA: Final = "install the extra: pip install 'mnist-tfx[gpu]'"


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What a Trainer's process would see.

    Attributes:
      gpus: their names.
      missing: why there are none; None where there are some.
      broken: why TensorFlow does not import at all; None where it does, or was not asked.
      has_driver: whether NVIDIA's driver shows a GPU: without TensorFlow seeing it, something is wrong.
    """

    gpus: tuple[str, ...]
    missing: str | None = None
    broken: str | None = None
    has_driver: bool = False

    def __str__(self) -> str:
        return f"{len(self.gpus)} GPUs ({', '.join(self.gpus)})" if self.gpus else f"no GPU: {self.missing}"


def look(*, quick: bool = False) -> Devices:
    """Look for GPUs in a process of its own; takes some seconds, with `quick` only where the driver shows one."""
    try:
        done = _probe([device_probe.DRIVER] if quick else [])
    except subprocess.TimeoutExpired:
        # A driver that hangs is no reason for a traceback.
        return Devices(gpus=(), missing="TensorFlow does not import", broken=f"no answer within {TIMEOUT_S} s")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return Devices(gpus=(), missing="TensorFlow does not import", broken=last)
    return judge(json.loads(done.stdout.strip().splitlines()[-1]))


def _probe(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**cuda_environment(os.environ), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return child.run(device_probe.__name__, *arguments, env=env, text=True, timeout=TIMEOUT_S)


def judge(found: dict[str, object]) -> Devices:
    """Return what the answer of `device_probe` means."""
    gpus = found["gpus"]
    names = tuple(map(str, gpus)) if isinstance(gpus, list) else ()
    missing = None if names else _missing(found)
    return Devices(gpus=names, missing=missing, has_driver=bool(found["driver_gpus"]))


def require(device: Device, found: Devices) -> None:
    """Check that a device that was asked for is there.

    Raises:
      EnvironmentProblem: where it is not, saying what is missing.
    """
    if found.gpus and (device.index or 0) < len(found.gpus):
        return
    where = f"--device {device}"
    if found.broken is not None:
        raise EnvironmentProblem("TensorFlow does not import", where=where, got=found.broken)
    wanted = "a GPU" if device.index is None else f"at least {device.index + 1} GPUs"
    raise EnvironmentProblem(
        "not visible to TensorFlow", where=where, wanted=wanted, got=found, hint="see `mnist-tfx doctor`"
    )


def _missing(found: dict[str, object]) -> str:
    """Name the first link that is missing between the hardware and TensorFlow."""
    if found["driver"] is None:
        return "no NVIDIA driver (libcuda.so.1 is not found)"
    if not found["driver_gpus"]:
        visible = os.environ.get(VISIBLE)
        hidden = "" if visible is None else f", with {VISIBLE}={visible}"
        return f"the NVIDIA driver (CUDA {found['driver']}) shows none{hidden}"
    if not found["with_cuda"]:
        return f"tensorflow {found['tensorflow']} is built without CUDA: {EXTRA}"
    libraries = wheel_libraries()
    unloadable = found["unloadable"]
    named = ", ".join(map(str, unloadable)) if isinstance(unloadable, list) and unloadable else "a CUDA library"
    if not libraries:
        return f"{named} cannot be loaded: {EXTRA}, or put CUDA's libraries into {LIBRARY_PATH}"
    return f"{named} cannot be loaded from NVIDIA's wheels: is {LIBRARY_PATH} set to another CUDA? They are in {Path(libraries[0]).parents[1]}"
