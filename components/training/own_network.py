"""Networks that a function of the user's own builds: imported, called, checked before anything is trained, and exported.

A recipe names the function, `classifier.build: my_package.nets:build`. What it is called with, and what it returns, is
described in docs/how-to/own-model.md; `build_network` is that contract, in code.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
import tensorflow as tf

from components.errors import BadInput, MnistTfxError
from components.settings import MOST_PARAMETERS, DataSettings, TrainingSettings
from components.training.process import OWN_CODE

if TYPE_CHECKING:
    from types import ModuleType

Build = Callable[[DataSettings, Any], keras.Model]

ROWS: Final = 3
"""Rows of noise on which a network is tried."""


def build_network(  # noqa: PLR0913  # what two trainings have different
    name: str,
    settings: TrainingSettings,
    data: DataSettings,
    *,
    outputs: int,
    before: Iterable[keras.layers.Layer] = (),
    logits: bool = False,
) -> keras.Sequential:
    """Return the network that the function of a recipe builds: image_xf [N, pixels] -> [N, outputs].

    Args:
      name: section of the recipe, for messages.
      settings: that section, which names the function and is handed to it.
      data: is handed to it too.
      outputs: values that it has to give for each image.
      before: layers that disturb images while training; they take and give [N, pixels].
      logits: whether probabilities in the place of logits are refused.

    Raises:
      BadInput: if there is no such function, it fails, or what it returns is no such network.
    """
    where = f"{name}.build: {settings.build}"
    model = _built(load(str(settings.build), where), data, settings, where)
    inputs = _input_shape(model, data, where)
    with _told_of(where, "the network cannot be called"):
        layers = [keras.Input((data.pixels,)), *before]
        layers += [] if inputs == (data.pixels,) else [keras.layers.Reshape(inputs)]
        network = keras.Sequential([*layers, model])
        if len(network.output_shape) > 2 and int(np.prod(network.output_shape[1:])) == outputs:  # images again
            network.add(keras.layers.Flatten())
    _check(network, where, outputs=outputs, logits=logits)
    return network


def load(build: str, where: str) -> Build:
    """Return the function that `package.module:function` names.

    Where there is a copy of the user's code, which the run has digested, it is imported from there and nowhere else.

    Raises:
      BadInput: if it cannot be imported, or its module is another one than the copy's.
    """
    module, _, function = build.partition(":")
    kept = os.environ.get(OWN_CODE)
    if kept is not None and kept not in sys.path:
        # The copy is named by its content: nothing may be added to it.
        sys.dont_write_bytecode = True
        sys.path.insert(0, kept)
        importlib.invalidate_caches()
    with _told_of(where, "cannot be imported"):
        found = importlib.import_module(module)
    if kept is not None:
        _require_copies(Path(kept), where)
    it: Build | None = getattr(found, function, None)
    if not callable(it):
        raise BadInput("is no function", where=where, got="nothing of this name" if it is None else type(it).__name__)
    return it


def _require_copies(kept: Path, where: str) -> None:
    """Refuse a module that was there before, under the name of one in the copy."""
    for file in sorted(kept.rglob("*.py")):
        name = ".".join(file.relative_to(kept).with_suffix("").parts).removesuffix(".__init__")
        module = sys.modules.get(name)
        at = None if module is None else _file_of(module)
        if at is not None and at != file.resolve():
            hint = "give your module a name that nothing else has"
            raise BadInput("a module of this name is there already", where=where, wanted=file.name, got=at, hint=hint)


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _built(build: Build, data: DataSettings, settings: TrainingSettings, where: str) -> keras.Model:
    with _told_of(where, "failed"):
        model = build(data, settings)
    if not isinstance(model, keras.Model):
        hint = "a network of `tf.keras` is Keras 2 here: use `import keras`"
        got = f"{type(model).__module__}.{type(model).__name__}"
        raise BadInput("builds no network", where=where, wanted="a keras.Model", got=got, hint=hint)
    return model


def _input_shape(model: keras.Model, data: DataSettings, where: str) -> tuple[int, ...]:
    """Return which of the shapes that an image may have the network takes; a network that does not say gets it flat."""
    allowed = ((data.pixels,), tuple(data.shape), (*data.shape, 1))
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):
        return allowed[0]  # a network that is built on its first call
    if isinstance(shape, tuple) and shape and not isinstance(shape[0], tuple | list):
        for one in allowed:
            if len(one) == len(shape) - 1 and all(b in (None, a) for a, b in zip(one, shape[1:], strict=True)):
                return one
    wanted = " or ".join(_shown((None, *one)) for one in allowed)
    raise BadInput("takes other images", where=where, wanted=wanted, got=_shown(shape))


def _check(network: keras.Sequential, where: str, *, outputs: int, logits: bool) -> None:
    if tuple(network.output_shape) != (None, outputs):
        raise BadInput(
            "gives other outputs", where=where, wanted=_shown((None, outputs)), got=_shown(network.output_shape)
        )
    if (weights := network.count_params()) > MOST_PARAMETERS:
        raise BadInput("has too many weights", where=where, wanted=f"at most {MOST_PARAMETERS:,}", got=f"{weights:,}")
    if not network.trainable_variables:
        raise BadInput("has no weights to train", where=where)
    rows = np.random.default_rng(0).random((ROWS, network.input_shape[1]), np.float32)
    with _told_of(where, "the network cannot be called"):
        found = keras.ops.convert_to_numpy(network(rows, training=False)).astype(np.float64)
    if not np.isfinite(found).all():
        raise BadInput("gives what is no number", where=where, wanted="finite outputs for pixels from 0 to 1")
    if logits and (found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=1e-2):
        hint = "leave out the softmax at its end: loss and served model have one"
        raise BadInput("gives probabilities", where=where, wanted="logits", hint=hint)


class FrozenNetwork(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """A trained network of any kind as plain ops on frozen variables, to be saved without Keras.

    Attributes:
      weights: the variables, in the order of Keras.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.weights = [
            tf.Variable(keras.ops.convert_to_numpy(one), trainable=False)
            for one in (*network.trainable_variables, *network.non_trainable_variables)
        ]
        trained = len(network.trainable_variables)

        # In the closure, and not on the module: TensorFlow would save Keras' objects as well.
        def call(rows: tf.Tensor) -> tf.Tensor:
            outputs, _ = network.stateless_call(self.weights[:trained], self.weights[trained:], rows, training=False)
            return tf.cast(outputs, tf.float32)

        self._call = call

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Return the network's outputs float32 [N, outputs] for `rows` float32 [N, inputs]."""
        return self._call(rows)


@contextlib.contextmanager
def _told_of(where: str, what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one line; the traceback goes to the log."""
    try:
        yield
    except MnistTfxError:
        raise
    except Exception as err:
        traceback.print_exc()
        got = f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"
        raise BadInput(what, where=where, got=f"{got}{_line_of(err)}", hint="the traceback is in the log") from err


def _line_of(err: BaseException) -> str:
    """Return where in the user's code it was, if it was there."""
    kept = os.environ.get(OWN_CODE)
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if kept is not None and kept in frame.filename]
    if not frames or kept is None:
        return ""
    return f" ({os.path.relpath(frames[-1].filename, kept)}, line {frames[-1].lineno})"


def _shown(shape: Sequence[Any] | Any) -> str:
    if not isinstance(shape, tuple | list):
        return str(shape)
    return f"[{', '.join('N' if size is None and not n else str(size) for n, size in enumerate(shape))}]"
