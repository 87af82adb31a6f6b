"""The probe for this machine's GPUs, as a bare process sees them: JSON lines on standard output.

Run by `pipeline.runner.devices` in a process of its own: asking a driver leaves its marks on the process that asks. With the
argument `driver`, TensorFlow is imported only where the driver has a GPU to offer; with `driver-only`, never.

The first line says what is there. Where TensorFlow sees a GPU, a second line says what becomes of a small convolution on it:
`libcudnn.so.8` is a shim, and the libraries behind it are opened, or found missing, at the first convolution, where
TensorFlow may end the whole process.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

DRIVER = "driver"
DRIVER_ONLY = "driver-only"
LIBRARIES = ("libcudart.so.12", "libcublas.so.12", "libcudnn.so.8", "libcudnn.so.9")
"""Some that TensorFlow opens itself; of cuDNN, one release or the other."""


def main() -> None:
    """Print what is there, and whether it computes."""
    driver, gpus = _driver()
    found: dict[str, Any] = {"driver": driver, "driver_gpus": gpus, "tensorflow": None, "gpus": [], "with_cuda": None}
    if DRIVER_ONLY not in sys.argv and (gpus or DRIVER not in sys.argv):
        found |= _tensorflow()
    _answer({**found, "unloadable": [name for name in LIBRARIES if not _loads(name)]})
    if found["gpus"]:
        _answer({"failure": _convolved(len(found["gpus"]))})


def _answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201  # the next step may end the process


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
    for gpu in gpus:
        # Otherwise the convolution takes all of the card's memory, which somebody else may be using.
        tf.config.experimental.set_memory_growth(gpu, True)
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    return {"tensorflow": tf.version.VERSION, "gpus": names, "with_cuda": bool(tf.test.is_built_with_cuda())}


def _convolved(gpus: int) -> str | None:
    """Compute a small convolution on each GPU; return why it failed, None where it did not."""
    import tensorflow as tf

    try:
        for number in range(gpus):
            with tf.device(f"/GPU:{number}"):
                tf.nn.conv2d(tf.ones([1, 8, 8, 1]), tf.ones([3, 3, 1, 1]), 1, "VALID").numpy()
    except tf.errors.OpError as err:
        return " ".join(str(err).split())[:500]
    return None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
