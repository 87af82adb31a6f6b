"""Checks of what a model's signatures answered; NumPy alone, no model and no TensorFlow."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.features import RECONSTRUCT, SERVING_DEFAULT, SERVING_EXAMPLES, SERVING_IMAGES
from components.settings import DataSettings

SUM_TOLERANCE: Final = 1e-3
SAME_TOLERANCE: Final = 1e-4
"""How far the signatures' probabilities for one image may lie apart: batches of other sizes round differently."""

PIXEL_TOLERANCE: Final = 1e-4
"""How far reconstructed pixels may leave their range, as a share of it: float32 rounds."""

Array = npt.NDArray[Any]
Outputs = Mapping[str, tuple[str, tuple[int, ...]]]
"""{output name: (dtype, shape)}."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong with one signature, or with the model as a whole where `signature` is empty."""

    signature: str
    reason: str

    def __str__(self) -> str:
        return f"{self.signature}: {self.reason}" if self.signature else self.reason


def judge(answer: Mapping[str, Any], rows: int, data: DataSettings, *, reconstructs: bool) -> list[Finding]:
    """Compare answers with what `components.features` promises.

    Args:
      answer: the probe's.
      rows: images it was asked about.
      data: gives pixels and label count.
      reconstructs: whether the model holds an autoencoder; one without promises no reconstructions.

    Returns:
      What is wrong; nothing, for a sound model.
    """
    if "crash" in answer:
        return [Finding("", answer["crash"])]
    if answer["ours"]:
        return [Finding("", f"the interpreter was not bare: it can import {', '.join(answer['ours'])}")]
    promised = _promised(rows, data, reconstructs=reconstructs)
    answers = answer["answers"]
    findings = [
        Finding(name, reason) for name, outputs in promised.items() for reason in _misshapen(answers[name], outputs)
    ]
    if findings:
        return findings
    arrays = {
        name: {key: _array(value) for key, value in answers[name].items() if key != "class_names"} for name in promised
    }
    findings = [Finding(name, reason) for name, outputs in arrays.items() for reason in _wrong_values(outputs)]
    if reconstructs:
        images = arrays[RECONSTRUCT]["images"]
        findings += [Finding(RECONSTRUCT, reason) for reason in _wrong_pixels(images, data.pixel_max)]
    return findings or list(_disagreements(arrays)) or list(_misnamed(answers, arrays, data))


def _promised(rows: int, data: DataSettings, *, reconstructs: bool) -> dict[str, Outputs]:
    classes: Outputs = {"classes": ("int64", (rows,)), "probabilities": ("float32", (rows, data.label_count))}
    named: Outputs = {**classes, "class_names": ("object", (rows,))}
    plain = {SERVING_DEFAULT: named, SERVING_IMAGES: named, SERVING_EXAMPLES: classes}
    if not reconstructs:
        return plain
    return {
        **plain,
        SERVING_EXAMPLES: {**classes, "reconstruction_mse": ("float32", (rows,))},
        RECONSTRUCT: {"images": ("float32", (rows, data.pixels))},
    }


def _misshapen(outputs: Mapping[str, Any], promised: Outputs) -> Iterator[str]:
    if "error" in outputs:
        yield outputs["error"]
    elif set(outputs) != set(promised):
        yield f"wanted outputs {', '.join(sorted(promised))}, got {', '.join(sorted(outputs))}"
    else:
        for name, (dtype, shape) in promised.items():
            got = outputs[name]
            if (got["dtype"], tuple(got["shape"])) != (dtype, shape):
                yield f"{name}: wanted {dtype} {list(shape)}, got {got['dtype']} {got['shape']}"


def _wrong_values(outputs: Mapping[str, Array]) -> Iterator[str]:
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            yield f"{name}: {np.count_nonzero(~np.isfinite(array))} of {array.size} values are not finite"
    if "probabilities" in outputs:
        yield from _wrong_probabilities(outputs["probabilities"], outputs["classes"])
    if "reconstruction_mse" in outputs and (outputs["reconstruction_mse"] < 0).any():
        yield "reconstruction_mse: a squared error below zero"


def _misnamed(
    answers: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Array]], data: DataSettings
) -> Iterator[Finding]:
    for signature in (SERVING_DEFAULT, SERVING_IMAGES):
        classes, names = arrays[signature]["classes"].tolist(), answers[signature]["class_names"]["texts"]
        wrong = [row for row, (label, name) in enumerate(zip(classes, names, strict=True)) if name != data.names[label]]
        if wrong:
            row, label = wrong[0], classes[wrong[0]]
            reason = f"class_names: row {row} is {names[row]!r}, but the name of class {label} is {data.names[label]!r}"
            yield Finding(signature, reason)


def _wrong_pixels(images: Array, largest: int) -> Iterator[str]:
    finite = images[np.isfinite(images)]  # the others are a finding already
    slack = PIXEL_TOLERANCE * largest
    if outside := np.count_nonzero((finite < -slack) | (finite > largest + slack)):
        seen = f"from {finite.min():.4g} to {finite.max():.4g}"
        yield f"images: {outside} of {images.size} pixels are outside 0 to {largest}: {seen}"


def _wrong_probabilities(probabilities: Array, classes: Array) -> Iterator[str]:
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if (probabilities < 0).any():
        yield f"probabilities: {probabilities.min():.4g} is below zero"
    if (off := np.abs(sums - 1)).max() > SUM_TOLERANCE:
        yield f"probabilities: a row sums to {sums[off.argmax()]:.4g}"
    if (wrong := np.flatnonzero(classes != probabilities.argmax(axis=1))).size:
        row = wrong[0]
        yield f"classes: row {row} is {classes[row]}, but class {probabilities[row].argmax()} is the most probable"


def _disagreements(arrays: Mapping[str, Mapping[str, Array]]) -> Iterator[Finding]:
    reference = arrays[SERVING_DEFAULT]["probabilities"]
    for name in (SERVING_IMAGES, SERVING_EXAMPLES):
        apart = float(np.abs(arrays[name]["probabilities"] - reference).max())
        if apart > SAME_TOLERANCE:
            yield Finding(name, f"probabilities: up to {apart:.4g} away from {SERVING_DEFAULT} on the same images")


def _array(described: Mapping[str, Any]) -> Array:
    return np.frombuffer(base64.b64decode(described["data"]), described["dtype"]).reshape(described["shape"])
