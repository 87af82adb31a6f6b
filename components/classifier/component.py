"""Raw Examples, the transform graph and the autoencoder as `base_model` -> the served Model."""

from __future__ import annotations

from components.training.component import KerasTrainer


class ClassifierTrainer(KerasTrainer):
    """Trains the classifier on reconstructions; its Model holds transform, autoencoder and classifier."""

    RUN_FN = "components.classifier.trainer.run_fn"
