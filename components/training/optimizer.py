"""Keras 3 optimisers with their learning-rate schedules."""

from __future__ import annotations

from typing import Any

import keras

from components.settings import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, *, epochs: int, steps_per_epoch: int, replicas: int = 1
) -> keras.optimizers.Optimizer:
    """Return the optimiser, its schedule laid over `epochs` of `steps_per_epoch` each.

    Under `mixed_float16`, the loss is scaled so that small gradients are not lost. With `clip_norm`, several replicas
    give it equal shares of a batch's gradients, and each is cut to its share of the norm.
    """
    options: dict[str, Any] = {
        "learning_rate": _learning_rate(settings, epochs * steps_per_epoch, steps_per_epoch),
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm and settings.clip_norm / replicas,
    }
    if settings.name == "adamw":
        options["weight_decay"] = settings.weight_decay  # AdamW takes no None
    if settings.momentum:
        options["momentum"] = settings.momentum
    optimizer = keras.optimizers.get({"class_name": settings.name, "config": options})
    is_scaled = keras.config.dtype_policy().name == "mixed_float16"
    return keras.optimizers.LossScaleOptimizer(optimizer) if is_scaled else optimizer


def _learning_rate(settings: OptimizerSettings, steps: int, steps_per_epoch: int) -> Any:
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if settings.schedule == "constant" and not warmup:
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else settings.learning_rate,
        decay_steps=max(1, steps - warmup),
        # "Decays" to all of itself: a constant rate after the warm-up.
        alpha=1.0 if settings.schedule == "constant" else 0.0,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
