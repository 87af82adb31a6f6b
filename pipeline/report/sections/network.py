"""The network that is served: its layers with shapes and parameters, its size on disk, and how long an answer takes."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from components.serving import FORMAT_SERVING
from pipeline.lineage.diff.tensors import Tensor, tensors
from pipeline.report.model_answers import LATENCY
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import CLASSIFIER

_LISTS: Final = ("kernels", "biases")
_FROZEN: Final = "autoencoder_weights"
"""List of the served model's autoencoder: kernel and bias of each layer by turns."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: its name, what it takes to what it gives, the window of a convolution, and its parameters."""

    name: str
    form: str
    parameters: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What is served.

    Attributes:
      layers: in the order of their names.
      parameters: of all of them.
      bytes: of the SavedModel's files.
      latency: medians in milliseconds, of one image and of 64 at once; None where the model was not asked.
    """

    layers: tuple[Layer, ...]
    parameters: int
    bytes: int
    latency: tuple[float, float] | None


def network(evidence: RunData, answers: Mapping[str, Any]) -> Network:
    """Return the network of a run.

    Raises:
      NotThereError: if the run has no model.
      EnvironmentProblem: if its variables cannot be read.
    """
    folder = evidence.artifact(CLASSIFIER, "model") / FORMAT_SERVING
    if not folder.is_dir():
        raise NotThereError("the model has no SavedModel")
    layers = layers_of(tensors(folder))
    measured = answers.get(LATENCY)
    return Network(
        layers=layers,
        parameters=sum(layer.parameters for layer in layers),
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        latency=None if measured is None else (float(measured[0]), float(measured[1])),
    )


def layers_of(variables: Mapping[str, Tensor]) -> tuple[Layer, ...]:
    """Return the layers that a SavedModel's variables belong to: a kernel and its bias are one."""
    found: dict[str, list[Tensor]] = {}
    for name in sorted(variables, key=_by_number):
        found.setdefault(_layer_of(name), []).append(variables[name])
    return tuple(
        Layer(
            name=name,
            form=_form(max((one.shape for one in of_layer), key=len)),
            parameters=sum(math.prod(one.shape) for one in of_layer),
        )
        for name, of_layer in found.items()
    )


def _layer_of(name: str) -> str:
    """Return the layer that a variable belongs to, by its place among the objects that were saved."""
    parts = name.partition("/.ATTRIBUTES")[0].split("/")
    if parts[0] == _FROZEN and parts[-1].isdecimal():
        return f"autoencoder {int(parts[-1]) // 2 + 1}"
    if len(parts) > 2 and parts[-2] in _LISTS and parts[-1].isdecimal():
        return f"{' '.join(parts[:-2])} {int(parts[-1]) + 1}"
    return " ".join(parts[:-1]) or name


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _form(shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return " \N{MULTIPLICATION SIGN} ".join(map(str, shape)) or "one number"
    *window, inputs, outputs = shape
    through = f"{inputs:,} \N{RIGHTWARDS ARROW} {outputs:,}"
    times = " \N{MULTIPLICATION SIGN} ".join(map(str, window))
    return f"{times}, {through}" if window else through
