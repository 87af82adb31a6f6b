"""Exports of the trained classifier in other forms: Keras' own two files, and a graph without variables.

They lie beside the training's history, in `exports/` of the Trainer's model_run, whose record holds a digest of each.
The served model knows nothing of them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.classifier.augmentation import RandomMoves
from components.classifier.served import ServedClassifier
from components.errors import BadInput
from components.features import SERVING_DEFAULT
from components.settings import DataSettings, Export
from components.training.input import TransformGraph

FOLDER: Final = "exports"
KERAS_FILES: Final = {"keras": "classifier.keras", "h5": "classifier.h5"}
FROZEN_FILE: Final = "classifier.pb"
FROZEN_NAMES: Final = "classifier.pb.json"
"""Names of the tensors to feed and to fetch: a graph without signatures cannot tell them."""


def write_exports(folder: Path, kinds: Iterable[Export], model: keras.Model | None, served: ServedClassifier) -> None:
    """Write the trained model in further forms.

    Args:
      folder: made where it is missing.
      kinds: the forms.
      model: as `keras_model` makes it; None where neither `keras` nor `h5` is wanted.
      served: what is served; used for `frozen`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        if kind == "frozen":
            _write_frozen(folder, served)
        elif model is not None:
            model.save(folder / KERAS_FILES[kind])


def require_possible(kinds: Iterable[Export], model: keras.Model, build: str) -> None:
    """Refuse a network of the user's own that Keras cannot write, before it is trained.

    Raises:
      BadInput: with what Keras says.
    """
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-export-") as folder:
        for kind in (kind for kind in kinds if kind in KERAS_FILES):
            _require_written(model, Path(folder) / KERAS_FILES[kind], build)


def _require_written(model: keras.Model, file: Path, build: str) -> None:
    try:
        model.save(file)
    except Exception as err:
        got = f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"
        hint = "a layer of your own needs a `get_config`; or leave the export out"
        raise BadInput(f"Keras cannot write it as {file.suffix[1:]}", where=build, got=got, hint=hint) from err


def keras_model(transform: TransformGraph, layers: Iterable[keras.layers.Layer], data: DataSettings) -> keras.Model:
    """Return a network of Keras' own layers: raw pixels [N, pixels] -> probabilities [N, label_count].

    Args:
      transform: its scaling becomes the first layer.
      layers: trained, from scaled pixels to logits; they are shared, not copied.
      data: gives the number of pixels.
    """
    own = [layer for layer in layers if not isinstance(layer, RandomMoves)]
    # Whatever the layers compute in: what is served scales, and makes probabilities, in 32 bits.
    softmax = keras.layers.Softmax(dtype="float32")
    return keras.Sequential([keras.Input((data.pixels,)), _scaling(transform, data), *own, softmax])


def _scaling(transform: TransformGraph, data: DataSettings) -> keras.layers.Layer:
    # All scalings are affine in each pixel, so what black and white map to says all there is to know.
    probes = tf.tile(tf.constant([[0], [data.pixel_max]], tf.int64), [1, data.pixels])
    black, white = transform.scale(probes).numpy().astype(np.float64)
    scale, offset = (white - black) / data.pixel_max, black
    if np.ptp(scale) == 0 and np.ptp(offset) == 0:
        scale, offset = scale[:1], offset[:1]
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32")


def _write_frozen(folder: Path, served: ServedClassifier) -> None:
    signature: Any = served.signatures()[SERVING_DEFAULT]
    concrete = signature.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    (folder / FROZEN_FILE).write_bytes(graph.SerializeToString(deterministic=True))
    outputs = dict(zip(sorted(concrete.structured_outputs), frozen.outputs, strict=True))
    names: dict[str, Any] = {
        "inputs": {"images": frozen.inputs[0].name},
        "outputs": {name: tensor.name for name, tensor in outputs.items()},
    }
    (folder / FROZEN_NAMES).write_text(json.dumps(names, indent=1) + "\n")
