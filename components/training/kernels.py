"""First-layer kernels at several moments of training, for the report's pictures.

Keys are `step_<n>`, n being the optimiser's steps until then; arrays are float32 [inputs, units], or [height, width,
channels, filters] of a convolution, of as many units as fit into `MAX_BYTES` together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import keras
import numpy as np
import numpy.typing as npt

FILE: Final = "weights.npz"
MAX_BYTES: Final = 2 << 20
EPOCHS: Final = frozenset({0, 1, 3, 10, 30, 100})
"""After which they are kept; the end comes on top."""

Kernels: TypeAlias = Mapping[str, npt.NDArray[np.generic]]


def with_kernel(before: Kernels, model: keras.Model, step: int) -> Kernels:
    """Return `before` and the first kernel of `model` as it is now; unchanged for a model without one."""
    kernel = next((v for v in model.trainable_variables if v.name == "kernel"), None)
    if kernel is None:
        return before
    array = keras.ops.convert_to_numpy(kernel).astype(np.float32)
    units = MAX_BYTES // ((len(EPOCHS) + 1) * (array.nbytes // array.shape[-1]))
    return {**before, f"step_{step}": array[..., : max(1, units)].copy()}


def write(kernels: Kernels, folder: Path) -> None:
    """Write `weights.npz` into `folder`; nothing where there are none."""
    if kernels:
        np.savez_compressed(folder / FILE, **kernels)
