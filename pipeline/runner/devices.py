"""GPUs that TensorFlow sees and computes on, and where there are none, which link of the chain is missing."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import Self

from components.errors import EnvironmentProblem
from components.training.device import GPU, LIBRARY_PATH, VISIBLE, Device, cuda_environment, wheel_libraries
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
        count = f"{len(self.gpus)} GPU{'' if len(self.gpus) == 1 else 's'}"
        return f"{count} ({', '.join(self.gpus)})" if self.gpus else f"no GPU: {self.missing}"


def look(*, quick: bool = False) -> Devices:
    """Look for GPUs in a process of its own; takes some seconds, with `quick` only where the driver shows one."""
    with Look(*([device_probe.DRIVER] if quick else [])) as looking:
        return looking.found()


class Look:
    """A look for GPUs in a process of its own, which goes on beside other work; a context manager that ends it.

    Args:
      arguments: of `device_probe`.
    """

    def __init__(self, *arguments: str) -> None:
        env = {**cuda_environment(os.environ), "TF_CPP_MIN_LOG_LEVEL": "3"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self._process = child.start(device_probe.__name__, *arguments, env=env, **streams)

    @functools.cache  # noqa: B019  # one answer, and as long-lived as the look
    def found(self) -> Devices:
        """Wait for the answer and return it."""
        try:
            out, err = self._process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # A driver that hangs is no reason for a traceback.
            return Devices(gpus=(), missing="TensorFlow does not import", broken=f"no answer within {TIMEOUT_S} s")
        return understood(self._process.returncode, out, err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def understood(code: int, out: str, err: str) -> Devices:
    """Return what the probe's end means.

    Args:
      code: its exit code, negative for a signal.
      out: its JSON lines.
      err: what the libraries printed.
    """
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    last = (err.strip().splitlines() or ["no output"])[-1]
    ended = f"{signal.Signals(-code).name}, {last}" if code < 0 else last
    if not answers:
        return Devices(gpus=(), missing="TensorFlow does not import", broken=ended)
    devices = judge(answers[0])
    failure = ended if code else answers[-1].get("failure")
    if not devices.gpus or failure is None:
        return devices
    named = ", ".join(devices.gpus)
    return Devices(gpus=(), missing=f"{named} computes no convolution: {failure}", has_driver=devices.has_driver)


def judge(found: Mapping[str, object]) -> Devices:
    """Return what the first line of `device_probe` means."""
    gpus = found["gpus"]
    names = tuple(map(str, gpus)) if isinstance(gpus, list) else ()
    missing = None if names else _missing(found)
    return Devices(gpus=names, missing=missing, has_driver=bool(found["driver_gpus"]))


@contextlib.contextmanager
def required(device: Device) -> Iterator[Callable[[], None]]:
    """Look beside other work for a device that was asked for by name, for the duration.

    The driver alone is asked at once, in a tenth of a second; TensorFlow's import and a convolution take some seconds,
    and a run in which nothing is trained never waits for them.

    Yields:
      What to call before the device is used; it waits, and raises as `require` does.

    Raises:
      EnvironmentProblem: where the driver has no GPU to offer.
    """
    if device.kind != GPU:
        yield lambda: None
        return
    with Look() as looking:
        yield lambda: require(device, looking.found())


def require_driver(device: Device) -> None:
    """See to a GPU that was asked for by name before any work, by NVIDIA's driver alone.

    Raises:
      EnvironmentProblem: where the driver has none to offer.
    """
    if device.kind == GPU:
        with Look(device_probe.DRIVER_ONLY) as looking:
            found = looking.found()
        if not found.has_driver:
            require(device, found)


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


def _missing(found: Mapping[str, object]) -> str:
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
