"""The probe for this machine's GPUs, as a bare process sees them: one JSON line on standard output.

Run by `pipeline.runner.devices` in a process of its own: asking a driver leaves its marks on the process that asks. With the
argument `driver`, TensorFlow is imported only where the driver has a GPU to offer.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

DRIVER = "driver"
LIBRARIES = ("libcudart.so.12", "libcublas.so.12", "libcudnn.so.8", "libcudnn.so.9")
"""Some that TensorFlow opens itself; of cuDNN, one release or the other."""


def main() -> None:
    """Print what was found."""
    driver, gpus = _driver()
    found: dict[str, Any] = {"driver": driver, "driver_gpus": gpus, "tensorflow": None, "gpus": [], "with_cuda": None}
    if gpus or DRIVER not in sys.argv:
        found |= _tensorflow()
    print(json.dumps({**found, "unloadable": [name for name in LIBRARIES if not _loads(name)]}))  # noqa: T201  # the answer


def _driver() -> tuple[str | None, int]:
    """Return the driver's CUDA version and how many GPUs it shows, by CUDA's driver API."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, 0
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    if cuda.cuInit(0) == 0:
        cuda.cuDeviceGetCount(ctypes.byref(count))
    return f"{version.value // 1000}.{version.value % 1000 // 10}", count.value


def _tensorflow() -> dict[str, Any]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return {"tensorflow": tf.version.VERSION, "gpus": names, "with_cuda": bool(tf.test.is_built_with_cuda())}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
