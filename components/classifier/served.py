"""The served SavedModel: transform graph, autoencoder if there is one, and trained classifier in one.

Raw pixels in, classes and probabilities out, with nothing of this project's code needed to load it. A TF Serving REST
call is `{"instances": [[0, 12, ...]]}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import keras
import tensorflow as tf

from components.classifier.model import probabilities
from components.errors import BadInput
from components.features import (
    IMAGE,
    IMAGE_XF,
    RECONSTRUCT,
    RECONSTRUCT_XF,
    SERVING_DEFAULT,
    SERVING_EXAMPLES,
    SERVING_IMAGES,
)
from components.settings import ClassifierSettings, DataSettings
from components.training.export import LAYERS_FILE, FrozenLayers, rebuild
from components.training.input import TransformGraph
from components.training.own_network import FrozenNetwork

Frozen: TypeAlias = FrozenLayers | FrozenNetwork
"""A trained network as plain ops."""

CLASSES: Final = "classes"
CLASS_NAMES: Final = "class_names"
PROBABILITIES: Final = "probabilities"
RECONSTRUCTION_MSE: Final = "reconstruction_mse"
IMAGES: Final = "images"
EXAMPLES: Final = "examples"


@dataclass(frozen=True)
class FrozenAutoencoder:
    """The autoencoder's Model, as the classifier sees it: one signature, nothing trained any more.

    Attributes:
      saved_model: as it was loaded.
      folder: from where.
    """

    saved_model: tf.Module
    folder: Path

    @classmethod
    def load(cls, folder: str, pixels: int) -> FrozenAutoencoder:
        """Load the SavedModel in `folder`.

        Raises:
          BadInput: when it has no `reconstruct_xf` for images of `pixels` pixels.
        """
        loaded = tf.saved_model.load(folder)
        signature = loaded.signatures.get(RECONSTRUCT_XF)
        shape = None if signature is None else signature.structured_outputs[IMAGE_XF].shape.as_list()
        if shape != [None, pixels]:
            raise BadInput(
                "base_model cannot reconstruct these images",
                where=folder,
                wanted=f"a signature {RECONSTRUCT_XF} for {pixels} pixels",
                got=f"signatures {sorted(loaded.signatures)}" if shape is None else f"one for {shape[1]} pixels",
            )
        return cls(loaded, Path(folder))

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """The weights that `reconstruct` uses; who embeds it has to keep them."""
        return tuple(self.saved_model.signatures[RECONSTRUCT_XF].variables)

    def layers(self) -> list[keras.layers.Layer]:
        """Return its layers as Keras', for a file of Keras' own."""
        described = (self.folder / LAYERS_FILE).read_text()
        return rebuild(described, (self.saved_model.encoder, self.saved_model.decoder))

    def reconstruct(self, image_xf: tf.Tensor) -> tf.Tensor:
        """Return the reconstructions float32 [N, pixels] of `image_xf` float32 [N, pixels]."""
        return self.saved_model.signatures[RECONSTRUCT_XF](**{IMAGE_XF: image_xf})[IMAGE_XF]


class ServedClassifier(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """What answers where there is no autoencoder: the transform graph and the classifier behind it."""

    def __init__(
        self, transform: TransformGraph, classifier: Frozen, settings: ClassifierSettings, data: DataSettings
    ) -> None:
        super().__init__()
        self._transform = transform
        self._settings = settings
        self._data = data
        # What the traced functions use has to hang on the module; the functions of the loaded models need not.
        self.transform_resources = list(transform.saved_model.transform_fn.variables)
        self.classifier = classifier

    def signatures(self) -> dict[str, Callable[..., tf.Tensor]]:
        """Return the signatures that `components.features` describes, to be saved with this module."""
        flat = tf.TensorSpec([None, self._data.pixels], tf.uint8, IMAGES)
        square = tf.TensorSpec([None, *self._data.shape], tf.uint8, IMAGES)
        serialised = tf.TensorSpec([None], tf.string, EXAMPLES)
        return {
            SERVING_DEFAULT: tf.function(self._classify, autograph=False, input_signature=[flat]),
            SERVING_IMAGES: tf.function(self._classify, autograph=False, input_signature=[square]),
            SERVING_EXAMPLES: tf.function(self._classify_examples, autograph=False, input_signature=[serialised]),
        }

    def _classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = self._answers(self._seen(self._scaled(images)))
        return {**answers, CLASS_NAMES: tf.gather(tf.constant(self._data.names), answers[CLASSES])}

    def _classify_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {IMAGE: tf.io.FixedLenFeature([self._data.pixels], tf.int64)}
        scaled = self._scaled(tf.io.parse_example(examples, features)[IMAGE])
        seen = self._seen(scaled)
        return {**self._answers(seen), **self._measured(scaled, seen)}

    def _seen(self, scaled: tf.Tensor) -> tf.Tensor:
        """Return what the classifier is given: float32 [N, pixels]."""
        return scaled

    def _measured(self, scaled: tf.Tensor, seen: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return further outputs for Examples."""
        del scaled, seen
        return {}

    def _answers(self, seen: tf.Tensor) -> dict[str, tf.Tensor]:
        likely = probabilities(self._settings, self.classifier(seen))
        return {CLASSES: tf.argmax(likely, axis=1), PROBABILITIES: likely}

    def _scaled(self, images: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(images, [-1, self._data.pixels])
        return self._transform.scale(tf.cast(flat, tf.int64))


class ServedReconstructions(ServedClassifier):
    """What answers where there is an autoencoder: its reconstructions are what is classified, and can be asked for."""

    def __init__(
        self,
        transform: TransformGraph,
        autoencoder: FrozenAutoencoder,
        classifier: Frozen,
        settings: ClassifierSettings,
        data: DataSettings,
    ) -> None:
        super().__init__(transform, classifier, settings, data)
        self._autoencoder = autoencoder
        self.autoencoder_weights = list(autoencoder.variables)
        probes = tf.constant([[0], [data.pixel_max]], tf.int64)
        self._black, self._white = tf.unstack(transform.scale(tf.tile(probes, [1, data.pixels])))

    def signatures(self) -> dict[str, Callable[..., tf.Tensor]]:
        """Return the signatures of every classifier, and `reconstruct`."""
        flat = tf.TensorSpec([None, self._data.pixels], tf.uint8, IMAGES)
        return {
            **super().signatures(),
            RECONSTRUCT: tf.function(self._reconstruct, autograph=False, input_signature=[flat]),
        }

    def _seen(self, scaled: tf.Tensor) -> tf.Tensor:
        return self._autoencoder.reconstruct(scaled)

    def _measured(self, scaled: tf.Tensor, seen: tf.Tensor) -> dict[str, tf.Tensor]:
        return {RECONSTRUCTION_MSE: tf.reduce_mean(tf.math.squared_difference(scaled, seen), axis=1)}

    def _reconstruct(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        reconstruction = self._autoencoder.reconstruct(self._scaled(images))
        return {IMAGES: self._unscaled(reconstruction)}

    def _unscaled(self, image_xf: tf.Tensor) -> tf.Tensor:
        # All scalings are affine in each pixel, so what black and white map to says how to get back.
        share = tf.math.divide_no_nan(image_xf - self._black, self._white - self._black)
        return tf.clip_by_value(share, 0.0, 1.0) * self._data.pixel_max
