"""The component that trains the autoencoder."""

from __future__ import annotations

from components.training.component import KerasTrainer


class AutoencoderTrainer(KerasTrainer):
    """Trains the autoencoder; its Model exports `encode` and `reconstruct_xf`."""

    RUN_FN = "components.autoencoder.trainer.run_fn"
