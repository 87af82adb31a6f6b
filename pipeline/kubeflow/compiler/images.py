"""A container image's reference -> its tag, whether a digest pins it, and what its GPU variant is called."""

from __future__ import annotations

from typing import Final

from components.errors import BadInput

GPU_SUFFIX: Final = "-gpu"
LATEST: Final = "latest"


def is_pinned(image: str) -> bool:
    """Whether the reference says which bytes are meant."""
    return "@sha256:" in image


def tag(image: str) -> str:
    """Returns the tag; a reference without one means `latest`."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or LATEST


def gpu_variant(image: str) -> str:
    """Returns the reference of the same image with CUDA, which is pushed under the tag with `-gpu` behind it.

    Raises:
      BadInput: for an image pinned by digest, whose variant has a digest that cannot be guessed.
    """
    if is_pinned(image):
        raise BadInput(
            "the GPU image cannot be told from a digest",
            where=image,
            hint="name it with --gpu-image, or train on CPUs with --gpus 0",
        )
    without_tag = image if not image.rpartition("/")[2].count(":") else image.rpartition(":")[0]
    return f"{without_tag}:{tag(image)}{GPU_SUFFIX}"
