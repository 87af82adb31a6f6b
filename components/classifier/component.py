"""The component that trains the classifier, with the autoencoder as `base_model`."""

from __future__ import annotations

from components.training.component import KerasTrainer


class ClassifierTrainer(KerasTrainer):
    """Trains the classifier on reconstructions; its Model holds transform, autoencoder and classifier."""

    RUN_FN = "components.classifier.trainer.run_fn"
