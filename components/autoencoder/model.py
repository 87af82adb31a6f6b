"""The autoencoder's network, and what its Model exports of the trained one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import keras
import tensorflow as tf

from components.features import ENCODE, IMAGE_XF, RECONSTRUCT_XF
from components.settings import AutoencoderSettings, DataSettings
from components.training.export import FrozenLayers, describe
from components.training.own_network import FrozenNetwork, build_network

LATENT: Final = "latent"
"""Output of the signature `encode`."""


@dataclass(frozen=True)
class Autoencoder:
    """The network and its two halves, which share their layers with it.

    Attributes:
      whole: image_xf [N, pixels] -> image_xf [N, pixels], with noise on the input while training.
      encoder: image_xf [N, pixels] -> latent [N, latent].
      decoder: latent [N, latent] -> image_xf [N, pixels].
    """

    whole: keras.Model
    encoder: keras.Sequential
    decoder: keras.Sequential

    def exported(self) -> ExportedAutoencoder:
        """Return what its Model exports."""
        return ExportedAutoencoder(self)

    def described(self) -> str | None:
        """Return its layers as text, see `components.training.export.describe`."""
        return describe([*self.encoder.layers, *self.decoder.layers])


@dataclass(frozen=True)
class OwnAutoencoder:
    """A network that a function of the user's own built; nobody knows where it is narrowest.

    Attributes:
      whole: image_xf [N, pixels] -> image_xf [N, pixels], with noise on the input while training.
    """

    whole: keras.Sequential

    def exported(self) -> ExportedNetwork:
        """Return what its Model exports."""
        return ExportedNetwork(self.whole)

    def described(self) -> None:
        """Return nothing: its layers can be of any kind."""


def build_autoencoder(settings: AutoencoderSettings, data: DataSettings) -> Autoencoder | OwnAutoencoder:
    """Build the symmetric dense network: `layers` down to `latent`, the same widths in reverse up to the pixels.

    Raises:
      BadInput: if the settings name a function that does not build a network from images to images.
    """
    dense, pixels = keras.layers.Dense, data.pixels
    noise = [keras.layers.GaussianNoise(settings.noise, seed=settings.seed)] if settings.noise else []
    if settings.build is not None:
        return OwnAutoencoder(build_network("autoencoder", settings, data, outputs=pixels, before=noise))
    encoder = keras.Sequential(
        [
            keras.Input((pixels,)),
            *(dense(width, settings.activation) for width in settings.layers),
            dense(settings.latent, settings.latent_activation),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((settings.latent,)),
            *(dense(width, settings.activation) for width in reversed(settings.layers)),
            dense(pixels, settings.output_activation),
        ]
    )
    return Autoencoder(keras.Sequential([keras.Input((pixels,)), *noise, encoder, decoder]), encoder, decoder)


class ExportedAutoencoder(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """A trained autoencoder as plain ops."""

    def __init__(self, trained: Autoencoder) -> None:
        super().__init__()
        self.pixels = trained.whole.input_shape[1]
        self.encoder = FrozenLayers(trained.encoder.layers)
        self.decoder = FrozenLayers(trained.decoder.layers)

    def signatures(self) -> dict[str, Callable[..., tf.Tensor]]:
        """Return `encode` and `reconstruct_xf` (see `components.features`)."""
        image_xf = [tf.TensorSpec([None, self.pixels], tf.float32, IMAGE_XF)]
        return {
            ENCODE: tf.function(self._encode, autograph=False, input_signature=image_xf),
            RECONSTRUCT_XF: tf.function(self._reconstruct_xf, autograph=False, input_signature=image_xf),
        }

    def _encode(self, image_xf: tf.Tensor) -> dict[str, tf.Tensor]:
        return {LATENT: self.encoder(image_xf)}

    def _reconstruct_xf(self, image_xf: tf.Tensor) -> dict[str, tf.Tensor]:
        return {IMAGE_XF: self.decoder(self.encoder(image_xf))}


class ExportedNetwork(tf.Module):  # type: ignore[misc]  # tensorflow has no annotations
    """A trained network from images to images as plain ops."""

    def __init__(self, trained: keras.Sequential) -> None:
        super().__init__()
        self.pixels = trained.input_shape[1]
        self.network = FrozenNetwork(trained)

    def signatures(self) -> dict[str, Callable[..., tf.Tensor]]:
        """Return `reconstruct_xf` (see `components.features`)."""
        image_xf = [tf.TensorSpec([None, self.pixels], tf.float32, IMAGE_XF)]
        return {RECONSTRUCT_XF: tf.function(self._reconstruct_xf, autograph=False, input_signature=image_xf)}

    def _reconstruct_xf(self, image_xf: tf.Tensor) -> dict[str, tf.Tensor]:
        return {IMAGE_XF: self.network(image_xf)}
