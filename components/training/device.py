"""Devices: the environment by which a Trainer's process sees `auto`, `cpu`, `gpu` or `gpu:N`.

Which device a training runs on is no setting: it is where, not what. What it ran on is in its record.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from typing_extensions import Self

from components.errors import BadInput
from components.training.process import DEVICE

AUTO, CPU, GPU = "auto", "cpu", "gpu"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
LIBRARY_PATH: Final = "LD_LIBRARY_PATH"
XLA_FLAGS: Final = "XLA_FLAGS"


@dataclass(frozen=True)
class Device:
    """What `--device` asks for; `str` gives it back.

    Attributes:
      kind: `auto` takes GPUs where there are some, `gpu` takes nothing else.
      index: of the one GPU, among those that are visible; None for all of them.
    """

    kind: str = AUTO
    index: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `auto`, `cpu`, `gpu` or `gpu:N`.

        Raises:
          BadInput: for anything else.
        """
        found = re.fullmatch(r"(auto|cpu|gpu)|gpu:(\d{1,4})", text)
        if found is None:
            raise BadInput("no such device", where="--device", wanted="auto, cpu, gpu or gpu:N", got=text)
        return cls(found[1]) if found[1] else cls(GPU, int(found[2]))

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a Trainer's process, `outer` being those of the process that asks for it."""
        if self.kind == CPU:
            return {DEVICE: str(self), VISIBLE: "-1"}
        if self.index is None:
            return {DEVICE: str(self)}
        # Counted among those that are visible, as TensorFlow and `doctor` count them.
        visible = [name.strip() for name in outer.get(VISIBLE, "").split(",") if name.strip()]
        # Set to nothing at all, it hides them all.
        chosen = visible[self.index : self.index + 1] if VISIBLE in outer else [str(self.index)]
        return {DEVICE: str(self), VISIBLE: chosen[0] if chosen else "-1"}


def cuda_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return what lets a process find CUDA in NVIDIA's wheels; empty where they are not installed.

    The loader reads its path when a process starts, so this is for whoever starts one. TensorFlow 2.16.1 does not look
    into the wheels by itself (tensorflow#63362), and XLA wants the compiler's folder named.
    """
    libraries = wheel_libraries()
    if not libraries:
        return {}
    given = outer.get(LIBRARY_PATH)
    found = {LIBRARY_PATH: os.pathsep.join([*([given] if given else []), *libraries])}
    compiler = os.path.join(os.path.dirname(os.path.dirname(libraries[0])), "cuda_nvcc")
    if os.path.isdir(compiler) and XLA_FLAGS not in outer:
        found[XLA_FLAGS] = f"--xla_gpu_cuda_data_dir={compiler}"
    return found


def wheel_libraries() -> tuple[str, ...]:
    """Return the folders of shared libraries that NVIDIA's wheels have installed, sorted."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec and spec.submodule_search_locations) or ()
    return tuple(sorted(folder for place in places for folder in glob.glob(f"{place}/*/lib")))
