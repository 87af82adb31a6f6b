"""Keras 3 optimisers with their learning-rate schedules."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from components.settings import OptimizerSettings


class OneKernelAdam(keras.optimizers.Adam):  # type: ignore[misc]  # keras has no annotations
    """Adam and, with a decay of the weights, AdamW, each variable by the one kernel that TensorFlow has for it.

    Keras composes the same update of a dozen operations, each of which goes through all of a variable in memory.
    """

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Update `variable` and its two moments in place; Keras calls it for each replica's own variable."""
        if isinstance(gradient, tf.IndexedSlices):  # the gradient of an embedding; the kernel takes none
            super().update_step(gradient, variable, learning_rate)
            return
        number, kind = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations + 1, kind)
        first, second, epsilon = (tf.cast(value, kind) for value in (self.beta_1, self.beta_2, self.epsilon))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(first, step),
            beta2_power=tf.pow(second, step),
            lr=tf.cast(learning_rate, kind),
            beta1=first,
            beta2=second,
            epsilon=epsilon,
            grad=tf.cast(gradient, kind),
        )


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
    if settings.momentum:
        options["momentum"] = settings.momentum
    if settings.name in ("adam", "adamw"):
        optimizer = OneKernelAdam(**options)
    else:
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
