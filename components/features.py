"""The names that stages share: features of an Example before and after Transform, splits, SavedModel signatures."""

from __future__ import annotations

from typing import Final

IMAGE: Final = "image"
"""Raw pixels, int64, height * width values in row order, 0 to the recipe's pixel maximum."""

LABEL: Final = "label"
"""Class number, int64, one value."""

IMAGE_XF: Final = "image_xf"
"""Scaled pixels, float32, height * width values."""

LABEL_XF: Final = "label_xf"
"""One-hot label, float32, label_count values."""

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)

SERVING_DEFAULT: Final = "serving_default"
"""images uint8 [N, H*W] -> classes int64 [N], their class_names string [N], probabilities float32 [N, label_count]."""

SERVING_IMAGES: Final = "serving_images"
"""images uint8 [N, H, W] -> as serving_default."""

SERVING_EXAMPLES: Final = "serving_examples"
"""Serialised tf.Examples, string [N] -> classes, probabilities and reconstruction_mse float32 [N], for the evaluation."""

RECONSTRUCT: Final = "reconstruct"
"""images uint8 [N, H*W] -> images float32 [N, H*W] on the raw pixel scale."""

ENCODE: Final = "encode"
"""image_xf float32 [N, H*W] -> latent float32 [N, latent] (the autoencoder's own model)."""

RECONSTRUCT_XF: Final = "reconstruct_xf"
"""image_xf float32 [N, H*W] -> image_xf float32 [N, H*W] (the autoencoder's own model)."""
